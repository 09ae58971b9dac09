// A small fixed pool of threads. Work is cut by the caller from shapes alone, never from the number of
// threads, so that results do not depend on how many there are.
#pragma once

#include <cstdint>
#include <memory>

namespace qmse {

// Reference to a callable `void(std::int64_t task, int worker)`; does not own it and does not allocate.
class TaskFunction {
 public:
  template <class F>
  TaskFunction(const F& function)  // NOLINT(google-explicit-constructor): lambdas convert at the call
      : object_(&function), call_([](const void* object, std::int64_t task, int worker) {
          (*static_cast<const F*>(object))(task, worker);
        }) {}
  void operator()(std::int64_t task, int worker) const { call_(object_, task, worker); }

 private:
  const void* object_;
  void (*call_)(const void*, std::int64_t, int);
};

// Processors this process may run on, and no more than its control group's quota (cpu_quota.h) has time for.
int available_processors();

class ThreadPool {
 public:
  // `threads` >= 1 workers, the calling thread being worker 0; 0
  // takes available_processors().
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  // Calls function(task, worker) for task = 0 .. tasks-1, in any order, and returns when all are done.
  // `worker` is in [0, size()) and no two calls with the same worker run at once, so it may index scratch
  // memory. Allocates nothing. The first exception a task throws is rethrown here after the others have
  // finished. Not reentrant: a task that calls run() on its own pool has the tasks done on its own thread, as
  // its own worker.
  void run(std::int64_t tasks, TaskFunction function);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qmse
