// The one way handwritten kernels are launched. An operation's `<op>.cuh` holds its kernels and the operation
// itself, a template on the context, which picks variant, grid, block and shared memory. Its `.cu` names the
// one context it is compiled for (kernels/gpu/context.h): CudaContext, or the SIMT executor's in the tests.
//
//   template <class Gpu>
//   void scale(Gpu& gpu, std::int64_t n, float factor, float* x) {
//     if (n == 0) return;
//     gpu.launch(QMSE_KERNEL(scale_kernel<4>), LaunchShape{grid_blocks(n, 4 * 256), 256}, n, factor, x);
//   }
//
// C++17: included by device code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "base/error.h"

namespace qmse {

// Sizes of a grid (in blocks) or of a block (in threads). Implicit, so that one number means one dimension.
struct Extent {
  unsigned x;
  unsigned y;
  unsigned z;
  // NOLINTNEXTLINE(google-explicit-constructor)
  constexpr Extent(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1)
      : x(x_size), y(y_size), z(z_size) {}
  constexpr std::uint64_t count() const { return std::uint64_t{x} * y * z; }
};

struct LaunchShape {
  Extent grid;
  Extent block;
  std::size_t shared_bytes = 0;  // dynamic shared memory of each block; dynamic_shared<T>() reads it
};

// A kernel with the name and the place of the launch, for error messages and for the list of kernels that
// tests ran.
template <class... Parameters>
struct Kernel {
  void (*function)(Parameters...);
  const char* name;
  const char* file;
  int line;
};

template <class... Parameters>
Kernel<Parameters...> make_kernel(void (*function)(Parameters...), const char* name, const char* file,
                                  int line) {
  static_assert(
      (std::is_trivially_copyable_v<Parameters> && ...),
      "kernel parameters are copied to the device as bytes: numbers, pointers and plain structs only");
  return {function, name, file, line};
}

// QMSE_KERNEL(sum_kernel<float, 256>): commas of template arguments need no extra parentheses.
#define QMSE_KERNEL(...) ::qmse::make_kernel(__VA_ARGS__, #__VA_ARGS__, __FILE__, __LINE__)

// Arguments convert to the kernel's parameter types at the launch, as in a call.
template <class T>
struct KernelArgument {
  using type = T;
};
template <class T>
using KernelArgumentT = typename KernelArgument<T>::type;  // not deduced

// ceil(items / per_block) blocks for `items` >= 1, at most `max_blocks` (kernels then loop over the grid).
// Throws ShapeError where a one-dimensional grid cannot hold them.
inline unsigned grid_blocks(std::int64_t items, std::int64_t per_block, std::int64_t max_blocks = 0) {
  std::int64_t blocks = items / per_block + (items % per_block != 0 ? 1 : 0);
  if (max_blocks > 0 && blocks > max_blocks) blocks = max_blocks;
  if (items < 1 || blocks > 0x7FFFFFFF) {
    throw ShapeError("kernel launch: " + std::to_string(items) + " items at " + std::to_string(per_block) +
                     " a block do not make a grid of 1 to 2^31-1 blocks");
  }
  return static_cast<unsigned>(blocks);
}

}  // namespace qmse
