// The SIMT executor as an execution context (tests/simt/README.md): CUDA kernels on the CPU, for tests.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/launch.h"

namespace qmse::simt {

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

// Launches run on the CPU, before launch() returns. Operations take it for the CudaContext it stands for;
// their memory is the host's.
class Context {
 public:
  // Seed 0 runs blocks, and threads between two switches, in ascending order, 1 in descending order, and
  // neither interrupts them; every other seed stands for a random order of blocks, threads and interruptions.
  explicit Context(std::uint64_t seed) : seed_(seed), random_(seed) {}

  // Of a GPU that is too small for most things.
  static int multiprocessors() { return 4; }

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
