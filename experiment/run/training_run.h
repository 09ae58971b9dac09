// One training run in its run directory, from settings to final weights; stopped at any step and resumed, it
// gives the same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/logger.h"
#include "device/memory.h"
#include "experiment/run/config.h"
#include "experiment/run/context_cache.h"
#include "experiment/run/epoch_record.h"
#include "experiment/run/image_cache.h"

namespace qmse {

// The epoch so far.
struct TrainingProgress {
  std::int64_t epoch = 0, epochs = 0;   // this one (from 1) and how many in all
  std::int64_t step = 0, steps = 0;     // of the epoch
  double loss = 0;                      // mean
  std::optional<double> accuracy = {};  // where there are classes
  double images_per_second = 0;
  double seconds_left = 0;  // to the end of the run, estimated
};

// What a program may want to hear; each may be empty.
struct TrainingEvents {
  Logger notice = {};                                          // a choice that was made, one line
  std::function<void(const TrainingProgress&)> progress = {};  // at most ten times a second
  std::function<void(const EpochRecord&, std::int64_t epochs)> epoch = {};  // after each
  std::function<bool()> stop = {};          // asked after each step (on a GPU after each launch of
                                            // several): whether to write a checkpoint and return
  std::function<bool()> stop_loading = {};  // asked often, from several threads at once, while the data are
                                            // read and checked: whether to give up by Stopped
};

enum class TrainingOutcome {
  finished,
  already_finished,  // a finished run was resumed: there was nothing left to do
  stopped,           // by events.stop, with a checkpoint of the step before
};

class TrainingRun {
 public:
  // `given`: the settings the user gave (parse_config(), value_from_text()); all others have their defaults
  // or, resuming, their recorded values. Locks the run directory, loads the data and builds everything;
  // writes nothing yet but config.json, environment.json and outcome.json. Throws ConfigError (settings; a
  // directory that holds another run, or none where one is to be resumed; resuming with settings that differ
  // from the record), DataError (resuming on other images, or from damaged files), IoError
  // (RunDirectoryInUse where another process works there), OutOfMemory; Stopped by events.stop_loading. A
  // run that does not get through here leaves the directory as it was, and none where it would be a new one;
  // where only its first records could not be written, outcome.json says so.
  // `images` is where the data come from, and stay for other runs, `contexts` where it calculates, which it
  // may share with earlier runs; null: loaded, and made, for this run alone.
  TrainingRun(const Json& given, TrainingEvents events, ImageCache* images = nullptr,
              ContextCache* contexts = nullptr);
  ~TrainingRun();
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

  const TrainConfig& config() const;  // everything resolved
  // The device's memory: what the run takes (and earlier runs of the same context took), and by how many
  // allocations. Null where there was nothing left to do.
  const MemoryResource* memory() const;

  // Trains to the end, and records how it ended (run_outcome.h). Throws Diverged where the loss or, after an
  // epoch, the weights or the test loss are not finite and on_nan is stop; IoError where a file cannot be
  // written, or the directory is no longer this run's.
  TrainingOutcome run();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qmse
