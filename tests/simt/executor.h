// Runs grids of kernels on the CPU (README.md): what a simt::Context does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "kernels/gpu/simt/context.h"

namespace qmse::simt {

// A launch that CUDA would refuse, or a kernel that breaks CUDA's rules. Names kernel, block, thread
// and seed.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What every device the project is built for (compute capability 7.5) can launch.
inline constexpr unsigned max_block_threads = 1024;
inline constexpr std::size_t max_shared_bytes = 64 * 1024;  // static and dynamic together
inline constexpr std::size_t max_static_shared_bytes = 48 * 1024;

// The seeds a test runs its launches with: 0, 1 and some more, or the one in the environment
// variable QMSE_SIMT_SEED.
std::vector<std::uint64_t> seeds();

}  // namespace qmse::simt
