// Runs grids of kernels on the CPU (README.md). Tests hand a Launcher to an operation's launch planning,
// which takes it for CudaLauncher's like.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "kernels/gpu/launch.h"

namespace qmse::simt {

// A launch that CUDA would refuse, or a kernel that breaks CUDA's rules. Names kernel, block, thread and
// seed.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What every device the project is built for (compute capability 7.5) can launch.
inline constexpr unsigned max_block_threads = 1024;
inline constexpr std::size_t max_shared_bytes = 64 * 1024;  // static and dynamic together
inline constexpr std::size_t max_static_shared_bytes = 48 * 1024;

// The seeds a test runs its launches with: 0, 1 and some more, or the one in the environment variable
// QMSE_SIMT_SEED.
std::vector<std::uint64_t> seeds();

// splitmix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t bound) { return (bits() >> 32) * bound >> 32; }  // bound <= 2^32

 private:
  std::uint64_t state_;
};

class Launcher {
 public:
  // Seed 0 runs blocks, and threads between two switches, in ascending order, 1 in descending order, and
  // neither interrupts them; every other seed stands for a random order of blocks, threads and interruptions.
  explicit Launcher(std::uint64_t seed) : seed_(seed), random_(seed) {}

  // Runs the whole grid before it returns. Throws Error, or whatever the kernel threw; memory the kernel
  // wrote stays written.
  template <class... Parameters>
  void launch(const Kernel<Parameters...>& kernel, const LaunchShape& shape,
              KernelArgumentT<Parameters>... arguments) {
    const auto thread = [&] {
      kernel.function(arguments...);
    };  // by value: every thread has parameters of its own
    run(Grid{kernel.name, kernel.file, kernel.line, shape, seed_, &thread,
             [](const void* object) { (*static_cast<const decltype(thread)*>(object))(); }});
  }

 private:
  friend class Executor;

  struct Grid {
    const char* kernel;
    const char* file;
    int line;
    const LaunchShape& shape;
    std::uint64_t seed;
    const void* thread;
    void (*run_thread)(const void* thread);
  };
  void run(const Grid& grid);

  std::uint64_t seed_;
  Random random_;
};

}  // namespace qmse::simt
