#include "base/error.h"
#include "bench/step_timeline/timeline.h"

#if QMSE_CUPTI

#include <cupti.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

namespace qmse::bench {
namespace {

#if CUDA_VERSION >= 13000
using CuptiKernel = CUpti_ActivityKernel10;
#else
using CuptiKernel = CUpti_ActivityKernel9;
#endif

struct KernelRun {
  std::string name;
  std::array<std::int64_t, 3> grid, block;
  std::int64_t registers, shared_bytes;
  std::uint64_t begin, end;  // ns
};

void require(CUptiResult status, const char* call) {
  if (status == CUPTI_SUCCESS) return;
  const char* text = nullptr;
  cuptiGetResultString(status, &text);
  throw CudaError(std::string(call) + ": " + (text != nullptr ? text : "unknown CUPTI error"));
}

// CUPTI calls back without an argument of ours, on a thread of its own.
std::mutex runs_mutex;
std::vector<KernelRun> runs;

void CUPTIAPI request_buffer(std::uint8_t** buffer, std::size_t* size, std::size_t* most_records) {
  *size = std::size_t{1} << 20;
  *most_records = 0;  // as many as fit
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(8, *size));
}

void CUPTIAPI take_buffer(CUcontext, std::uint32_t, std::uint8_t* buffer, std::size_t, std::size_t valid) {
  const std::lock_guard lock(runs_mutex);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    if (record->kind != CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) continue;
    const auto& k = *reinterpret_cast<const CuptiKernel*>(record);
    runs.push_back({k.name,
                    {k.gridX, k.gridY, k.gridZ},
                    {k.blockX, k.blockY, k.blockZ},
                    k.registersPerThread,
                    std::int64_t{k.staticSharedMemory} + k.dynamicSharedMemory,
                    k.start,
                    k.end});
  }
  std::free(buffer);
}

// In the order in which they began.
std::vector<KernelRun> runs_since_last() {
  require(cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), "cuptiActivityFlushAll");
  const std::lock_guard lock(runs_mutex);
  std::vector<KernelRun> result = std::move(runs);
  runs.clear();
  std::sort(result.begin(), result.end(),
            [](const KernelRun& a, const KernelRun& b) { return a.begin < b.begin; });
  return result;
}

}  // namespace

bool has_cupti() { return true; }

void start_cupti() {
  require(cuptiActivityRegisterCallbacks(request_buffer, take_buffer), "cuptiActivityRegisterCallbacks");
  require(cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL), "cuptiActivityEnable");
}

StepPieces recorded_by_cupti(std::size_t steps) {
  const std::vector<KernelRun> all = runs_since_last();
  if (steps == 0) return {};
  if (all.empty() || all.size() % steps != 0) {
    throw CudaError(std::to_string(all.size()) + " kernels were recorded in " + std::to_string(steps) +
                    " steps");
  }
  StepPieces pieces(all.size() / steps);
  for (std::size_t i = 0; i < all.size(); ++i) {
    StepPiece& piece = pieces[i % pieces.size()];
    if (i < pieces.size()) {
      piece = {all[i].name, all[i].grid, all[i].block, all[i].registers, all[i].shared_bytes, {}, {}};
    }
    if (all[i].name != piece.name) throw CudaError("the recorded steps are not the same kernels");
    piece.seconds.push_back(static_cast<double>(all[i].end - all[i].begin) * 1e-9);
    if (i > 0) {
      piece.waits.push_back((static_cast<double>(all[i].begin) - static_cast<double>(all[i - 1].end)) * 1e-9);
    }
  }
  return pieces;
}

}  // namespace qmse::bench

#else

namespace qmse::bench {

bool has_cupti() { return false; }
void start_cupti() { throw CudaError("built with a toolkit that has no CUPTI; --by events does without"); }
StepPieces recorded_by_cupti(std::size_t) { return {}; }

}  // namespace qmse::bench

#endif
