// Coroutines on stacks of their own, kept and used again, for the SIMT executor's threads. Boost.Context
// switches; AddressSanitizer and ThreadSanitizer, where the program is built with one of them, are told of
// every switch.
#pragma once

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace qmse::simt {

class Fibers {
 public:
  // Each fiber calls body(its number) whenever it is resumed and has nothing suspended. `body` must
  // not throw.
  explicit Fibers(std::function<void(unsigned)> body) : body_(std::move(body)) {}
  ~Fibers();  // no fiber may be suspended inside body
  Fibers(const Fibers&) = delete;
  Fibers& operator=(const Fibers&) = delete;

  void reserve(unsigned count);

  // Runs fiber `number` until it suspends or its body returns. Not to be called from a fiber.
  void resume(unsigned number);

  // Called by the running fiber: back to resume(); returns when the fiber is resumed.
  void suspend();

 private:
  struct Fiber {
    boost::context::fiber context;
    const void* stack_bottom = nullptr;
    std::size_t stack_size = 0;
    void* fake_stack = nullptr;  // AddressSanitizer's, while suspended
    void* thread_sanitizer_fiber = nullptr;
  };
  struct Slab {  // one mapping, cut into stacks
    void* start;
    std::size_t bytes;
  };

  void add_slab(unsigned count);
  boost::context::fiber loop(unsigned number, boost::context::fiber&& caller);

  std::function<void(unsigned)> body_;
  std::vector<std::unique_ptr<Fiber>> fibers_;  // addresses stay while fibers run
  std::vector<Slab> slabs_;
  Fiber* running_ = nullptr;
  boost::context::fiber caller_;  // who called resume(), while a fiber runs
  const void* caller_stack_bottom_ = nullptr;
  std::size_t caller_stack_size_ = 0;
  void* caller_thread_sanitizer_fiber_ = nullptr;
  bool ending_ = false;
};

}  // namespace qmse::simt
