#include "tests/simt/fibers.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

// The sanitizers' interfaces for stack switches: null in a program built without them.
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom,
                                                  std::size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack_save, const void** bottom_old,
                                                   std::size_t* size_old);
[[gnu::weak]] void* __tsan_get_current_fiber();
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}

namespace qmse::simt {
namespace {

// Address space only: pages are taken when a thread first needs them. Unoptimised sanitizer frames fit too.
constexpr std::size_t stack_bytes = 128 * 1024;

void leaving(void** fake_stack, const void* bottom, std::size_t size) {
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(fake_stack, bottom, size);
}

void arrived(void* fake_stack, const void** bottom_old, std::size_t* size_old) {
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(fake_stack, bottom_old, size_old);
}

// What came before a switch happened before what comes after: the fibers are one thread.
void switch_to(void* thread_sanitizer_fiber) {
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(thread_sanitizer_fiber, 0);
}

struct StackInSlab {  // a stack the slab owns
  void deallocate(boost::context::stack_context&) {}
};

}  // namespace

void Fibers::reserve(unsigned count) {
  const auto have = static_cast<unsigned>(fibers_.size());
  if (count > have) add_slab(count - have);
}

void Fibers::add_slab(unsigned count) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  // A guard page below each stack makes an overflow a fault, not a corruption.
  const std::size_t stride = stack_bytes + page;
  void* start = mmap(nullptr, count * stride, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mapping thread stacks");
  slabs_.push_back({start, count * stride});
  for (unsigned i = 0; i < count; ++i) {
    auto* bottom = static_cast<unsigned char*>(start) + i * stride + page;
    if (mprotect(bottom, stack_bytes, PROT_READ | PROT_WRITE) != 0) {
      throw std::system_error(errno, std::generic_category(), "protecting thread stacks");
    }
    auto fiber = std::make_unique<Fiber>();
    fiber->stack_bottom = bottom;
    fiber->stack_size = stack_bytes;
    if (__tsan_create_fiber) fiber->thread_sanitizer_fiber = __tsan_create_fiber(0);
    boost::context::stack_context stack;
    // Tops are spread over a page, or the frames of all threads would compete for the same few cache sets.
    stack.size = stack_bytes - (i % 64) * 64;
    stack.sp = bottom + stack.size;
    const auto number = static_cast<unsigned>(fibers_.size());
    fiber->context = boost::context::fiber(
        std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack), StackInSlab{},
        [this, number](boost::context::fiber&& caller) { return loop(number, std::move(caller)); });
    fibers_.push_back(std::move(fiber));
  }
}

Fibers::~Fibers() {
  ending_ = true;
  for (unsigned i = 0; i < fibers_.size(); ++i) resume(i);
  for (const auto& fiber : fibers_) {
    if (__tsan_destroy_fiber) __tsan_destroy_fiber(fiber->thread_sanitizer_fiber);
  }
  for (const Slab& slab : slabs_) munmap(slab.start, slab.bytes);
}

void Fibers::resume(unsigned number) {
  Fiber& fiber = *fibers_[number];
  running_ = &fiber;
  void* fake_stack = nullptr;
  if (__tsan_get_current_fiber) caller_thread_sanitizer_fiber_ = __tsan_get_current_fiber();
  leaving(&fake_stack, fiber.stack_bottom, fiber.stack_size);
  switch_to(fiber.thread_sanitizer_fiber);
  fiber.context = std::move(fiber.context).resume();
  arrived(fake_stack, nullptr, nullptr);
  running_ = nullptr;
}

void Fibers::suspend() {
  Fiber& fiber = *running_;
  leaving(&fiber.fake_stack, caller_stack_bottom_, caller_stack_size_);
  switch_to(caller_thread_sanitizer_fiber_);
  caller_ = std::move(caller_).resume();
  arrived(fiber.fake_stack, &caller_stack_bottom_, &caller_stack_size_);
}

boost::context::fiber Fibers::loop(unsigned number, boost::context::fiber&& caller) {
  arrived(nullptr, &caller_stack_bottom_, &caller_stack_size_);
  caller_ = std::move(caller);
  while (!ending_) {
    body_(number);
    suspend();
  }
  leaving(nullptr, caller_stack_bottom_, caller_stack_size_);
  switch_to(caller_thread_sanitizer_fiber_);
  return std::move(caller_);
}

}  // namespace qmse::simt
