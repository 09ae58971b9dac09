// Two ways to see a step kernel by kernel: CUPTI's activity records, and events between the nodes of the
// graph it is captured in, where the toolkit has no CUPTI.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "device/cuda_context.h"

namespace qmse::bench {

// One piece of a step, over all the steps that were recorded.
struct StepPiece {
  std::string name;
  std::array<std::int64_t, 3> grid{}, block{};  // zeros where it is no kernel
  std::int64_t registers = 0, shared_bytes = 0;
  std::vector<double> seconds;  // it took
  std::vector<double> waits;    // the GPU did nothing before it began, in seconds; empty: not known
};
using StepPieces = std::vector<StepPiece>;  // in the order of execution

// Whether this was built with CUPTI. Without, the next two throw CudaError.
bool has_cupti();
// Before the context is made: graphs are recorded node by node only
// if they were captured while CUPTI listened.
void start_cupti();
// Of what ran since the last call, `steps` times the same. CudaError where the steps are not the same.
StepPieces recorded_by_cupti(std::size_t steps);

// Captures `step`, which must have run before and is one sequence, and runs it so many times. An event's own
// time is in the piece before it.
StepPieces record_by_events(CudaContext& context, const std::function<void()>& step, int repetitions);

}  // namespace qmse::bench
