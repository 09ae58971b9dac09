#include "tests/simt/executor.h"

#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "kernels/gpu/simt/thread.h"
#include "tests/simt/fibers.h"

namespace qmse::simt {
namespace {

std::string text(const Extent& extent) {
  return std::string("(") + std::to_string(extent.x) + ", " + std::to_string(extent.y) + ", " +
         std::to_string(extent.z) + ")";
}
std::string text(const uint3& index) { return text(Extent(index.x, index.y, index.z)); }
std::string text(const Site& site) { return std::string(site.file) + ":" + std::to_string(site.line); }

const char* name(WarpOperation operation) {
  switch (operation) {
    case WarpOperation::sync:
      return "__syncwarp";
    case WarpOperation::shuffle:
      return "__shfl_sync";
    case WarpOperation::shuffle_up:
      return "__shfl_up_sync";
    case WarpOperation::shuffle_down:
      return "__shfl_down_sync";
    case WarpOperation::shuffle_xor:
      return "__shfl_xor_sync";
    case WarpOperation::ballot:
      return "__ballot_sync";
    case WarpOperation::any:
      return "__any_sync";
    case WarpOperation::all:
      return "__all_sync";
  }
  return "";
}

void fill_with_poison(void* memory, std::size_t bytes) {
  auto* to = static_cast<unsigned char*>(memory);
  for (std::size_t at = 0; at < bytes; at += sizeof(poison)) {
    std::memcpy(to + at, &poison, std::min(sizeof(poison), bytes - at));
  }
}

uint3 index_in(const Extent& extent, std::uint64_t linear) {
  return {static_cast<unsigned>(linear % extent.x), static_cast<unsigned>(linear / extent.x % extent.y),
          static_cast<unsigned>(linear / extent.x / extent.y)};
}

// Has every sanitizer of this program call `callback` before it ends the program. Each is a library with a
// function of the same name, so asking the linker for it would find the first alone.
void at_sanitizer_death(void (*callback)()) {
  dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* function) {
        void* library =
            dlopen(object->dlpi_name[0] == '\0' ? nullptr : object->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
        if (library == nullptr) return 0;
        if (void* set = dlsym(library, "__sanitizer_set_death_callback")) {
          reinterpret_cast<void (*)(void (*)())>(set)(reinterpret_cast<void (*)()>(function));
        }
        dlclose(library);
        return 0;
      },
      reinterpret_cast<void*>(callback));
}

// Appends the launch to the file QMSE_SIMT_COVERAGE names, once for each kernel and process.
void note_launch(const char* file, const char* kernel) {
  static const char* const path = std::getenv("QMSE_SIMT_COVERAGE");
  static std::set<std::pair<std::string, std::string>> noted;
  if (path == nullptr || !noted.emplace(file, kernel).second) return;
  std::FILE* out = std::fopen(path, "a");  // tests run side by side: one short write appends whole
  if (out == nullptr) throw Error(std::string("simt: cannot write the coverage file ") + path);
  std::fprintf(out, "%s\t%s\n", file, kernel);
  std::fclose(out);
}

}  // namespace

// Schedules the threads of one block after the other. A thread runs until it waits, is interrupted or exits;
// then the next one is picked from those that can go on. When none can, all of them must have met at
// one barrier.
class Executor {
 public:
  static Executor& instance() {
    static Executor executor;
    return executor;
  }

  void run(const Context::Grid& grid, Random& random);

  void wait_at_barrier(Site where);
  std::uint64_t warp_operation(const WarpRequest& request, Site where);
  void preempt();
  void* dynamic_shared_memory();
  void count_static_shared(std::size_t bytes);
  std::string place() const;

 private:
  enum class Status : unsigned char { ready, at_barrier, in_warp_operation, exited };
  struct Thread {
    uint3 index{};
    Status status = Status::exited;
    bool started = false;
    Site where{};           // while waiting
    WarpRequest request{};  // in_warp_operation
    std::uint64_t result = 0;
  };
  struct Warp {
    unsigned live = 0;     // lanes that have not exited
    unsigned waiting = 0;  // lanes in a warp operation
  };
  struct Unwind {};  // thrown through the threads that are left when one has failed

  Executor();
  void check(const LaunchShape& shape) const;
  void run_block();
  void run_thread(unsigned id);  // the body of fiber `id`
  void set_ready(unsigned id);
  unsigned take_ready();
  void suspend();
  void release_barrier();
  void complete(unsigned warp_id, unsigned mask);
  std::uint64_t result_for(unsigned warp_id, unsigned lane, unsigned participants) const;
  void unwind_all();
  std::string describe_threads() const;

  bool in_order() const { return grid_->seed < 2; }
  bool descending() const { return grid_->seed == 1; }
  unsigned block_threads() const { return static_cast<unsigned>(threads_.size()); }

  const Context::Grid* grid_ = nullptr;  // while one runs
  Random* random_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> ready_;  // taken from the back when in order
  unsigned running_ = 0;
  unsigned live_ = 0;
  std::unique_ptr<unsigned char[]> dynamic_shared_;
  std::size_t static_shared_bytes_ = 0;  // of this block
  std::exception_ptr error_;
  bool unwinding_ = false;
  Fibers fibers_;  // last: ends before what its threads use
};

Executor::Executor() : fibers_([this](unsigned id) { run_thread(id); }) {
  at_sanitizer_death([] {
    const Executor& executor = instance();
    if (executor.grid_ == nullptr) return;
    const std::string line = "simt: in " + executor.place() + "\n";
    if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
  });
}

void Executor::run(const Context::Grid& grid, Random& random) {
  if (grid_ != nullptr) throw Error("simt: a grid is running already; kernels cannot launch kernels");
  note_launch(grid.file, grid.kernel);
  const LaunchShape& shape = grid.shape;
  struct Running {  // also when a block fails
    Executor& executor;
    ~Running() {
      executor.grid_ = nullptr;
      executor.dynamic_shared_.reset();
    }
  } running{*this};
  grid_ = &grid;
  random_ = &random;
  check(shape);

  const auto threads = static_cast<unsigned>(shape.block.count());
  threads_.assign(threads, Thread{});
  for (unsigned id = 0; id < threads; ++id) threads_[id].index = index_in(shape.block, id);
  warps_.assign((threads + warp_size - 1) / warp_size, Warp{});
  ready_.reserve(threads);
  fibers_.reserve(threads);
  dynamic_shared_.reset(new unsigned char[shape.shared_bytes]);
  current.block_size = dim3(shape.block.x, shape.block.y, shape.block.z);
  current.grid_size = dim3(shape.grid.x, shape.grid.y, shape.grid.z);

  std::vector<std::uint32_t> order(shape.grid.count());
  std::iota(order.begin(), order.end(), 0u);
  if (descending()) std::reverse(order.begin(), order.end());
  if (!in_order()) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  }
  for (const std::uint32_t block : order) {
    current.block = index_in(shape.grid, block);
    run_block();
  }
}

void Executor::check(const LaunchShape& shape) const {
  const Extent& grid = shape.grid;
  const Extent& block = shape.block;
  const auto refuse = [&](const std::string& what) {
    throw Error("simt: " + what + ": launch of " + grid_->kernel + " at " +
                text(Site{grid_->file, grid_->line}));
  };
  if (grid.count() == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535) {
    refuse("a grid of " + text(grid) + " blocks is outside (1, 1, 1) to (2^31-1, 65535, 65535)");
  }
  if (grid.count() > 0xFFFFFFFF)
    refuse("a grid of " + text(grid) + " blocks is more than the executor can number");
  if (block.count() == 0 || block.count() > max_block_threads || block.x > 1024 || block.y > 1024 ||
      block.z > 64) {
    refuse("a block of " + text(block) +
           " threads is outside (1, 1, 1) to (1024, 1024, 64) or has over 1024 in all");
  }
  if (shape.shared_bytes > max_shared_bytes) {
    refuse(std::to_string(shape.shared_bytes) + " bytes of dynamic shared memory are more than " +
           std::to_string(max_shared_bytes));
  }
}

void Executor::run_block() {
  ++current.block_serial;
  static_shared_bytes_ = 0;
  fill_with_poison(dynamic_shared_.get(), grid_->shape.shared_bytes);
  const unsigned threads = block_threads();
  live_ = threads;
  for (unsigned warp = 0; warp < warps_.size(); ++warp) {
    const unsigned lanes = std::min(warp_size, threads - warp * warp_size);
    warps_[warp] = Warp{lanes == 32 ? 0xFFFFFFFFu : (1u << lanes) - 1, 0};
  }
  ready_.clear();
  for (unsigned i = 0; i < threads; ++i) {
    const unsigned id = descending() ? i : threads - 1 - i;
    threads_[id].started = false;
    set_ready(id);
  }
  while (live_ > 0) {
    if (ready_.empty()) release_barrier();
    running_ = take_ready();
    threads_[running_].started = true;
    current.thread = threads_[running_].index;
    fibers_.resume(running_);
    if (error_) {
      unwind_all();
      std::rethrow_exception(std::exchange(error_, nullptr));
    }
  }
}

void Executor::run_thread(unsigned id) {
  try {
    grid_->run_thread(grid_->thread);
  } catch (const Unwind&) {
  } catch (...) {
    error_ = std::current_exception();
  }
  threads_[id].status = Status::exited;
  --live_;
  if (unwinding_ || error_) return;
  // Lanes may be waiting for this one alone.
  Warp& warp = warps_[id / warp_size];
  warp.live &= ~(1u << id % warp_size);
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if ((warp.waiting >> lane & 1u) != 0) {
      complete(id / warp_size, threads_[id / warp_size * warp_size + lane].request.mask);
    }
  }
}

void Executor::set_ready(unsigned id) {
  threads_[id].status = Status::ready;
  ready_.push_back(id);
}

unsigned Executor::take_ready() {
  if (in_order()) {
    current.until_preemption = std::numeric_limits<std::int64_t>::max();
  } else {
    std::swap(ready_[random_->below(ready_.size())], ready_.back());
    current.until_preemption = static_cast<std::int64_t>(1 + random_->below(16));
  }
  const unsigned id = ready_.back();
  ready_.pop_back();
  return id;
}

void Executor::suspend() {
  fibers_.suspend();
  if (unwinding_) throw Unwind{};
}

void Executor::preempt() {
  if (in_order()) return;
  set_ready(running_);
  suspend();
}

void Executor::wait_at_barrier(Site where) {
  threads_[running_].status = Status::at_barrier;
  threads_[running_].where = where;
  suspend();
}

// Nobody can go on. The reason must be that every thread of the block waits at the same barrier.
void Executor::release_barrier() {
  for (const Thread& thread : threads_) {
    if (thread.status != Status::at_barrier || thread.where != threads_[0].where) {
      const std::string message =
          "simt: divergent barrier or warp operation: the threads of a block do not meet: " +
          describe_threads() + "; " + place();
      unwind_all();
      throw Error(message);
    }
  }
  const unsigned threads = block_threads();
  for (unsigned i = 0; i < threads; ++i) set_ready(descending() ? i : threads - 1 - i);
}

std::uint64_t Executor::warp_operation(const WarpRequest& request, Site where) {
  const unsigned lane = running_ % warp_size;
  if ((request.mask >> lane & 1u) == 0) {
    fail(std::string(name(request.operation)) + " at " + text(where) + ": lane " + std::to_string(lane) +
         " is not in its own mask");
  }
  if (request.width == 0 || request.width > warp_size || (request.width & (request.width - 1)) != 0) {
    fail(std::string(name(request.operation)) + " at " + text(where) + ": width " +
         std::to_string(request.width) + " is not a power of two from 1 to 32");
  }
  const unsigned id = running_;
  threads_[id].status = Status::in_warp_operation;
  threads_[id].where = where;
  threads_[id].request = request;
  warps_[id / warp_size].waiting |= 1u << lane;
  complete(id / warp_size, request.mask);
  suspend();
  return threads_[id].result;
}

// Completes the operation of the lanes in `mask`, if all of them that have not exited wait in the same one.
void Executor::complete(unsigned warp_id, unsigned mask) {
  Warp& warp = warps_[warp_id];
  const unsigned participants = mask & warp.live;
  if (participants == 0 || (warp.waiting & participants) != participants) return;
  Thread* lanes = &threads_[warp_id * warp_size];
  const Thread& first = lanes[__builtin_ctz(participants)];
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if ((participants >> lane & 1u) != 0 &&
        (lanes[lane].request.operation != first.request.operation || lanes[lane].request.mask != mask ||
         lanes[lane].where != first.where)) {
      return;
    }
  }
  warp.waiting &= ~participants;
  for (unsigned i = 0; i < warp_size; ++i) {
    const unsigned lane = descending() ? i : warp_size - 1 - i;
    if ((participants >> lane & 1u) == 0) continue;
    lanes[lane].result = result_for(warp_id, lane, participants);
    set_ready(warp_id * warp_size + lane);
  }
}

std::uint64_t Executor::result_for(unsigned warp_id, unsigned lane, unsigned participants) const {
  const Thread* lanes = &threads_[warp_id * warp_size];
  const WarpRequest& request = lanes[lane].request;
  const auto votes = [&] {
    unsigned lanes_for = 0;
    for (unsigned other = 0; other < warp_size; ++other) {
      if ((participants >> other & 1u) != 0 && lanes[other].request.value != 0) lanes_for |= 1u << other;
    }
    return lanes_for;
  };
  // PTX ISA, shfl.sync: outside [segment, segment_end] a lane gets its own value, except that an xor may
  // reach back.
  const unsigned segment = lane & ~(request.width - 1);
  const unsigned segment_end = segment + request.width - 1;
  unsigned source = lane;
  switch (request.operation) {
    case WarpOperation::sync:
      return 0;
    case WarpOperation::ballot:
      return votes();
    case WarpOperation::any:
      return votes() != 0 ? 1 : 0;
    case WarpOperation::all:
      return votes() == participants ? 1 : 0;
    case WarpOperation::shuffle:
      source = segment | (request.lane & (request.width - 1));
      break;
    case WarpOperation::shuffle_up:
      source = request.lane <= lane - segment ? lane - request.lane : lane;
      break;
    case WarpOperation::shuffle_down:
      source = request.lane <= segment_end - lane ? lane + request.lane : lane;
      break;
    case WarpOperation::shuffle_xor:
      source = lane ^ (request.lane & (warp_size - 1));
      if (source > segment_end) source = lane;
      break;
  }
  return (participants >> source & 1u) != 0 ? lanes[source].request.value : poison;
}

// Ends the threads that are suspended inside the kernel, so that their destructors run and their stacks are
// free again.
void Executor::unwind_all() {
  unwinding_ = true;
  for (unsigned id = 0; id < block_threads(); ++id) {
    if (threads_[id].started && threads_[id].status != Status::exited) fibers_.resume(id);
  }
  unwinding_ = false;
}

// The threads of the block in groups of one state, with ranges of linear numbers.
std::string Executor::describe_threads() const {
  const auto state = [&](unsigned id) {
    const Thread& thread = threads_[id];
    switch (thread.status) {
      case Status::exited:
        return std::string("exited");
      case Status::ready:
        return std::string("can go on");
      case Status::at_barrier:
        return std::string("in __syncthreads at ") + text(thread.where);
      case Status::in_warp_operation:
        break;
    }
    char mask[16];
    std::snprintf(mask, sizeof mask, "0x%08x", thread.request.mask);
    return std::string("in ") + name(thread.request.operation) + " at " + text(thread.where) + " with mask " +
           mask;
  };
  std::string all;
  for (unsigned begin = 0, end = 0; begin < block_threads(); begin = end) {
    while (end < block_threads() && state(end) == state(begin)) ++end;
    if (all.size() > 2000) return all + "; ...";
    if (!all.empty()) all += "; ";
    all += end - begin == 1 ? "thread " : "threads ";
    all += text(threads_[begin].index);
    if (end - begin > 1) all += " to " + text(threads_[end - 1].index);
    all.append(" ").append(state(begin));
  }
  return all;
}

std::string Executor::place() const {
  return std::string("kernel ") + grid_->kernel + " (launched at " + text(Site{grid_->file, grid_->line}) +
         "), block " + text(current.block) + ", thread " + text(current.thread) + ", seed " +
         std::to_string(grid_->seed);
}

void* Executor::dynamic_shared_memory() {
  if (grid_->shape.shared_bytes == 0) fail("dynamic_shared() in a launch with no dynamic shared memory");
  return dynamic_shared_.get();
}

void Executor::count_static_shared(std::size_t bytes) {
  static_shared_bytes_ += bytes;
  if (static_shared_bytes_ > max_static_shared_bytes) {
    fail(std::to_string(static_shared_bytes_) + " bytes of static shared memory are more than " +
         std::to_string(max_static_shared_bytes));
  }
  if (static_shared_bytes_ + grid_->shape.shared_bytes > max_shared_bytes) {
    fail(std::to_string(static_shared_bytes_) + " bytes of static and " +
         std::to_string(grid_->shape.shared_bytes) + " of dynamic shared memory are more than " +
         std::to_string(max_shared_bytes));
  }
}

void Context::run(const Grid& grid) { Executor::instance().run(grid, random_); }

std::vector<std::uint64_t> seeds() {
  if (const char* seed = std::getenv("QMSE_SIMT_SEED")) return {std::strtoull(seed, nullptr, 10)};
  return {0, 1, 2, 3};
}

void wait_at_barrier(Site where) { Executor::instance().wait_at_barrier(where); }
std::uint64_t warp_operation(const WarpRequest& request, Site where) {
  return Executor::instance().warp_operation(request, where);
}
void preempt() { Executor::instance().preempt(); }
void fail(const std::string& what) { throw Error("simt: " + what + "; " + Executor::instance().place()); }
void* dynamic_shared_memory() { return Executor::instance().dynamic_shared_memory(); }

void SharedStorage::enter_block() {
  block_serial_ = current.block_serial;
  Executor::instance().count_static_shared(bytes_);
  fill_with_poison(memory_.get(), bytes_);
}

}  // namespace qmse::simt
