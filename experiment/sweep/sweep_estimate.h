// What a sweep will take, before it starts.
#pragma once

#include <cstdint>
#include <functional>

#include "experiment/sweep/sweep.h"

namespace qmse {

struct SweepEstimate {
  std::int64_t members = 0, finished = 0;  // of the sweep, and of them those that are done
  std::int64_t epochs = 0;                 // that are left to do; with halving on average
  std::int64_t jobs = 1;
  std::int64_t kinds = 0;         // members of one kind take as long an epoch; one of each was measured
  double seconds = 0;             // for what is left; on a GPU as if one member was trained at a time
  std::uint64_t bytes = 0;        // of all run directories in the end
  std::uint64_t checkpoints = 0;  // of these, those of checkpoints
};

// Trains some steps of a member of each kind, in memory: nothing is written, no folder is made. `stop` is asked
// between two kinds and while images load: Stopped. ConfigError, IoError, DataError as run_sweep().
SweepEstimate estimate_sweep(const SweepRequest& request, const std::function<bool()>& stop = {});

}  // namespace qmse
