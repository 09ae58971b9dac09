// How a run ended: outcome.json in its directory.
//
//   {"end": "diverged", "epoch": 2, "step": 1204, "layer": "fc1", "reason": "the loss is not finite at ..."}
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"
#include "experiment/run/config.h"

namespace qmse {

enum class RunEnd {
  none,  // it is going on, or was killed: the directory's lock (FileLock::is_held()) tells which
  finished,
  stopped,     // by Ctrl-C or a signal, or for a while by its sweep, with a checkpoint
  diverged,    // something is not finite
  failed,      // a full disk, say
  eliminated,  // by its sweep's halving, with a checkpoint
};
// "running" for none, "finished", ...
std::string_view name(RunEnd end);

struct RunOutcome {
  RunEnd end = RunEnd::none;
  std::int64_t epoch = 0, step = 0;  // the last step that is known of, from 1, and its epoch; diverged: the
                                     // step whose loss is not finite
  std::string layer = {};   // diverged: the first with a value that is not finite; empty: the loss itself
  std::string reason = {};  // diverged, failed and eliminated: one line
};

// The record of `run_directory`. Where it has none, as with qmse before outcomes were recorded, a run with
// final weights is finished; and none is finished without them. An empty weights file counts as none.
// DataError where the record is damaged.
RunOutcome read_outcome(const std::filesystem::path& run_directory);
void write_outcome(const std::filesystem::path& run_directory, const RunOutcome& outcome);

// A training whose loss, weights or test loss are not finite.
class Diverged : public NumericError {
 public:
  Diverged(const std::string& message, std::int64_t epoch, std::int64_t step, std::string layer);

  const RunOutcome& outcome() const { return outcome_; }

 private:
  RunOutcome outcome_;
};

}  // namespace qmse
