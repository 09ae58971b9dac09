// What a running thread of the SIMT executor can see and ask for; device.h dresses it in CUDA's names. One
// grid runs at a time, on one CPU thread, so this is plain global state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/gpu/simt/vector_types.h"

namespace qmse::simt {

inline constexpr unsigned warp_size = 32;

// A place in the kernel's source. As a default argument, here() is the place of the call.
struct Site {
  const char* file;
  int line;
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
  friend bool operator==(const Site& a, const Site& b) = default;
};

struct Current {
  uint3 thread{};
  uint3 block{};
  dim3 block_size;
  dim3 grid_size;
  std::uint64_t block_serial = 0;     // number of blocks started so far in this process
  std::int64_t until_preemption = 1;  // preemption points until the thread is interrupted
};
inline Current current;

enum class WarpOperation : unsigned char {
  sync,
  shuffle,
  shuffle_up,
  shuffle_down,
  shuffle_xor,
  ballot,
  any,
  all
};

struct WarpRequest {
  WarpOperation operation;
  unsigned mask;
  unsigned lane;        // shuffles: source lane, distance or xor mask
  unsigned width;       // shuffles: size of a segment
  std::uint64_t value;  // shuffles: the bits; votes: the predicate
};

void wait_at_barrier(Site where);  // __syncthreads
std::uint64_t warp_operation(const WarpRequest& request,
                             Site where);  // returns when the warp's lanes have met
void preempt();
[[noreturn]] void fail(const std::string& what);  // throws Error naming kernel, block, thread and seed

// Where another thread may get the turn although this one could go on.
inline void preemption_point() {
  if (--current.until_preemption <= 0) preempt();
}

void* dynamic_shared_memory();

// One variable in static shared memory: a heap block of exactly its size, so that AddressSanitizer sees its
// ends, filled with the poison pattern when a block first touches it.
class SharedStorage {
 public:
  explicit SharedStorage(std::size_t bytes) : memory_(new unsigned char[bytes]), bytes_(bytes) {}
  void* memory() {
    if (block_serial_ != current.block_serial) enter_block();
    return memory_.get();
  }

 private:
  void enter_block();

  std::unique_ptr<unsigned char[]> memory_;
  std::size_t bytes_;
  std::uint64_t block_serial_ = 0;
};

// A NaN as float and as double, and no likely value as an integer; repeats every four bytes.
inline constexpr std::uint64_t poison = 0xFFF7'FFF7'FFF7'FFF7u;

}  // namespace qmse::simt
