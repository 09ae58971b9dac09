// Many training runs as one job: several at a time, in one folder, resumable after any interruption, shared
// by any number of processes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/logger.h"
#include "experiment/run/config.h"
#include "experiment/sweep/shard.h"
#include "experiment/sweep/sweep_folder.h"
#include "experiment/sweep/sweep_spec.h"

namespace qmse {

struct SweepRequest {
  SweepSpec spec;  // complete(); device and threads are those of its base
  std::filesystem::path out;
  std::int64_t jobs = 0;         // members at a time; 0: as many as there are CPU threads, or 4 on a GPU
  bool fail_fast = false;        // a member that fails, other than by its numbers, stops the sweep
  bool keep_checkpoints = true;  // false: those of finished members, which cannot be made longer then, and of
                                 // eliminated ones go
  Shard shard;                   // the members this process begins with; then it takes those of others
};

struct SweepProgress {
  std::int64_t members = 0, finished = 0, failed = 0, eliminated = 0;  // as far as this process knows
  std::int64_t running = 0, elsewhere = 0;                             // here; in other processes
  double epochs_done = 0;                                              // of the members running here
  std::optional<double> seconds_left;                                  // of the work this process has in view
};

// A member that this process is done with.
struct MemberReport {
  std::string name = {};
  std::int64_t number = 0;  // from 1, in the spec's order
  MemberStatus status = MemberStatus::finished;
  std::string error = {};         // where it failed
  std::string why = {};           // where halving has eliminated it
  bool diverged = false;          // it failed because its loss was not finite
  std::optional<Json> last = {};  // its last epoch
  double seconds = 0;             // that it took here
};

// What a program may want to hear. No two are called at once; they come from the sweep's threads.
struct SweepEvents {
  Logger notice = {};
  std::function<void(const MemberReport&, const SweepProgress&)> member = {};  // after each
  std::function<void(const SweepProgress&)> progress = {};                     // at most ten times a second
  std::function<bool()> stop = {};  // asked often, from several threads at once
};

struct SweepOutcome {
  struct Failed {
    std::string name, error;
    bool diverged = false;  // its loss was not finite
  };
  std::int64_t members = 0, finished = 0, eliminated = 0;
  std::vector<Failed> failed;
  std::string results_error;  // why results.json could not be written at the end; empty where it was
  bool stopped = false;       // by events.stop, or fail_fast, or, with halving, for want of a failed member's
                              // figures; the running members have written checkpoints
};

// Runs until every member has finished, failed or been eliminated (halving.h), here or in another process. A member is tried once by a
// process, and again by a later one unless its loss was not finite. An error of one member does not touch
// the others. Throws ConfigError, IoError and DataError where the folder cannot be used at all.
SweepOutcome run_sweep(const SweepRequest& request, const SweepEvents& events);

}  // namespace qmse
