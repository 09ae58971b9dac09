// How kernels cut the flat buffers of parameters: one block takes one chunk of kFlatChunk elements, its
// threads groups of four.
#pragma once

#include <cstdint>

#include "kernels/gpu/cuda_names.h"
#include "kernels/step_totals/step_totals.h"

namespace qmse::device {

inline constexpr unsigned kChunkThreads = 512;
inline constexpr int kChunkGroups = static_cast<int>(kFlatChunk / (4 * kChunkThreads));  // of a thread
static_assert(kChunkGroups * 4 * kChunkThreads == kFlatChunk, "a block's groups fill its chunk");

// The first element of this thread's group `group` of its block's chunk.
__device__ __forceinline__ std::int64_t chunk_group_begin(int group) {
  return blockIdx.x * kFlatChunk + 4 * (static_cast<std::int64_t>(group) * kChunkThreads + threadIdx.x);
}

}  // namespace qmse::device
