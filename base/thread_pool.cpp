#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/cpu_quota.h"
#include "base/error.h"

namespace qmse {

namespace {

int allowed_processors() {
  for (int processors = 1024; processors <= (1 << 20); processors *= 2) {
    cpu_set_t* set = CPU_ALLOC(processors);
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(processors);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return std::max(1, count);
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

int available_processors() { return within_cpu_quota(allowed_processors()); }

namespace {

int resolve_threads(int threads) {
  if (threads < 0) {
    throw ConfigError("threads: " + std::to_string(threads) +
                      " is negative; give 0 for every processor, or a number from 1");
  }
  return threads == 0 ? available_processors() : threads;
}

inline void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks at a condition before sleeping takes some 30 us: a step calls run() every few microseconds to a
// millisecond, and waking a sleeper costs tens of microseconds.
constexpr int kSpins = 2000;

}  // namespace

// Tasks are claimed through atomic words, the tickets: (generation << 32) | next task. Each worker has one, for
// a share of the tasks that are next to each other, the same in every run with as many: what it wrote is in its
// caches when a later run reads it. A worker that has finished its share takes from the others'. The generation
// is even while a run is open and odd while its description below is rewritten. A worker that wakes late finds
// nothing to claim, or a newer generation, so run() waits for tasks, never for workers.
struct ThreadPool::Impl {
  explicit Impl(int threads)
      : size(resolve_threads(threads)),
        spins(size <= available_processors() ? kSpins : 0),
        tickets(static_cast<std::size_t>(size)) {
    workers.reserve(static_cast<std::size_t>(size - 1));
    try {
      for (int worker = 1; worker < size; ++worker) {
        workers.emplace_back([this, worker] { worker_main(worker); });
      }
    } catch (const std::system_error& refusal) {
      const std::string started = std::to_string(workers.size() + 1);
      shut_down();
      throw ConfigError("threads: the system gives no more than " + started + " of " + std::to_string(size) +
                        " (" + refusal.what() + "); ask for fewer");
    }
  }
  ~Impl() { shut_down(); }

  void shut_down() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      stop.store(true);
    }
    work_ready.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  // What this thread is doing for which pools, innermost first.
  struct Scope {
    Scope(const Impl* scope_pool, int scope_worker)
        : pool(scope_pool), worker(scope_worker), outer(innermost) {
      innermost = this;
    }
    ~Scope() { innermost = outer; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    static const Scope* find(const Impl* pool) {
      const Scope* scope = innermost;
      while (scope != nullptr && scope->pool != pool) scope = scope->outer;
      return scope;
    }

    const Impl* pool;
    int worker;
    Scope* outer;
    static thread_local Scope* innermost;
  };

  void run(std::int64_t count, const TaskFunction& task_function) {
    const Scope* scope = Scope::find(this);
    if (scope != nullptr) {
      run_inline(count, task_function, scope->worker);
      return;
    }
    const Scope caller(this, 0);
    if (size == 1 || count <= 1) {
      run_inline(count, task_function, 0);
      return;
    }
    open(count, task_function);
    work(opened.load(std::memory_order_relaxed), 0);
    wait_until_done(count);
    if (failed.load(std::memory_order_relaxed)) std::rethrow_exception(std::exchange(error, nullptr));
  }

  static void run_inline(std::int64_t count, const TaskFunction& task_function, int worker) {
    std::exception_ptr first;
    for (std::int64_t task = 0; task < count; ++task) {
      try {
        task_function(task, worker);
      } catch (...) {
        if (!first) first = std::current_exception();
      }
    }
    if (first) std::rethrow_exception(first);
  }

  void open(std::int64_t count, const TaskFunction& task_function) {
    if (count > kMaxTasks) {
      throw Error("ThreadPool::run: " + std::to_string(count) + " tasks are more than " +
                  std::to_string(kMaxTasks) + "; make each do more");
    }
    // Released after the odd generation: a worker that still reads the old run's description and sees any of
    // this will fail to claim under the old generation.
    const std::uint32_t generation = opened.load(std::memory_order_relaxed);
    set_tickets(generation + 1, std::memory_order_relaxed);
    function.store(&task_function, std::memory_order_release);
    tasks.store(count, std::memory_order_release);
    done.store(0, std::memory_order_relaxed);
    failed.store(false, std::memory_order_relaxed);
    set_tickets(generation + 2, std::memory_order_release);
    // With the increment of `sleepers` before a worker's last look at `opened`, sequential consistency means
    // that the worker sees this run or this thread sees the sleeper.
    opened.store(generation + 2, std::memory_order_seq_cst);
    const int asleep = sleepers.load(std::memory_order_seq_cst);
    if (asleep > 0) {
      { const std::lock_guard<std::mutex> lock(mutex); }
      for (std::int64_t wake = std::min<std::int64_t>(asleep, count - 1); wake > 0; --wake) {
        work_ready.notify_one();
      }
    }
  }

  void set_tickets(std::uint32_t generation, std::memory_order order) {
    for (Ticket& ticket : tickets) ticket.value.store(std::uint64_t{generation} << 32, order);
  }

  // Claims and does tasks of one run until there are none left.
  void work(std::uint32_t generation, int worker) {
    const TaskFunction* const task_function = function.load(std::memory_order_acquire);
    const std::int64_t count = tasks.load(std::memory_order_acquire);
    std::int64_t completed = 0;
    for (int other = 0; other < size; ++other) {
      const int share = (worker + other) % size;
      const std::int64_t first = count * share / size, end = count * (share + 1) / size;
      std::atomic<std::uint64_t>& ticket = tickets[static_cast<std::size_t>(share)].value;
      std::uint64_t seen = ticket.load(std::memory_order_acquire);
      while (generation_of(seen) == generation && first + task_of(seen) < end) {
        if (!ticket.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel,
                                          std::memory_order_acquire))
          continue;
        try {
          (*task_function)(first + task_of(seen), worker);
        } catch (...) {
          if (!failed.exchange(true, std::memory_order_relaxed)) error = std::current_exception();
        }
        ++completed;
        seen = ticket.load(std::memory_order_acquire);
      }
    }
    if (completed > 0 && done.fetch_add(completed, std::memory_order_seq_cst) + completed == count &&
        caller_asleep.load(std::memory_order_seq_cst)) {
      { const std::lock_guard<std::mutex> lock(mutex); }
      all_done.notify_one();
    }
  }

  void wait_until_done(std::int64_t count) {
    for (int spin = 0; spin < spins; ++spin) {
      if (done.load(std::memory_order_acquire) == count) return;
      pause_processor();
    }
    std::unique_lock<std::mutex> lock(mutex);
    caller_asleep.store(true, std::memory_order_seq_cst);
    all_done.wait(lock, [&] { return done.load(std::memory_order_seq_cst) == count; });
    caller_asleep.store(false, std::memory_order_relaxed);
  }

  void worker_main(int worker) {
    const Scope scope(this, worker);
    std::uint32_t generation = 0;
    while (wait_for_run(generation)) work(generation, worker);
  }

  // Waits for an open run other than `generation` and sets it; false when the pool ends.
  bool wait_for_run(std::uint32_t& generation) {
    const std::uint32_t last = generation;
    const auto ready = [&] {
      generation = opened.load(std::memory_order_seq_cst);
      return generation != last;
    };
    for (int spin = 0; spin < spins; ++spin) {
      if (ready()) return true;
      if (stop.load(std::memory_order_relaxed)) return false;
      pause_processor();
    }
    std::unique_lock<std::mutex> lock(mutex);
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    work_ready.wait(lock, [&] { return ready() || stop.load(std::memory_order_relaxed); });
    sleepers.fetch_sub(1, std::memory_order_relaxed);
    return !stop.load(std::memory_order_relaxed);
  }

  static constexpr std::int64_t kMaxTasks = 0xFFFFFFFF;
  static std::uint32_t generation_of(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }
  static std::int64_t task_of(std::uint64_t value) { return static_cast<std::uint32_t>(value); }

  const int size;
  const int spins;
  std::vector<std::thread> workers;

  struct alignas(64) Ticket {
    std::atomic<std::uint64_t> value{0};
  };
  std::vector<Ticket> tickets;  // of each worker's share

  alignas(64) std::atomic<std::uint32_t> opened{0};  // the newest run's generation
  std::atomic<const TaskFunction*> function{nullptr};
  std::atomic<std::int64_t> tasks{0};

  alignas(64) std::atomic<std::int64_t> done{0};
  std::atomic<bool> caller_asleep{false};
  std::atomic<bool> failed{false};
  std::exception_ptr error;  // written by the task that set `failed`, read when all are done

  alignas(64) std::mutex mutex;
  std::condition_variable work_ready;
  std::condition_variable all_done;
  std::atomic<int> sleepers{0};
  std::atomic<bool> stop{false};
};

thread_local ThreadPool::Impl::Scope* ThreadPool::Impl::Scope::innermost = nullptr;

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>(threads)) {}
ThreadPool::~ThreadPool() = default;

int ThreadPool::size() const { return impl_->size; }

void ThreadPool::run(std::int64_t tasks, TaskFunction function) { impl_->run(tasks, function); }

}  // namespace qmse
