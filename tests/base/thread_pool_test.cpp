#include "base/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "tests/support/catch.h"

using namespace qmse;

TEST_CASE("thread_pool: every task runs once, by a worker of the pool") {
  for (int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    REQUIRE(pool.size() == threads);
    for (std::int64_t tasks : {0, 1, 2, 3, 7, 64, 1000}) {
      CAPTURE(threads, tasks);
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tasks));
      std::atomic<int> strange_workers{0};
      pool.run(tasks, [&](std::int64_t task, int worker) {
        ++runs[static_cast<std::size_t>(task)];
        if (worker < 0 || worker >= threads) ++strange_workers;
      });
      int wrong = 0;
      for (const auto& count : runs) wrong += count.load() != 1;
      CHECK(wrong == 0);
      CHECK(strange_workers.load() == 0);
    }
  }
}

TEST_CASE("thread_pool: no two tasks at once have the same worker") {
  ThreadPool pool(5);
  std::vector<std::atomic<int>> busy(5);
  std::vector<std::int64_t> scratch(5, 0);  // unguarded on purpose: exclusivity is what protects it
  std::atomic<int> collisions{0};
  for (int round = 0; round < 200; ++round) {
    pool.run(50, [&](std::int64_t, int worker) {
      const auto index = static_cast<std::size_t>(worker);
      if (busy[index].exchange(1) != 0) ++collisions;
      ++scratch[index];
      busy[index].store(0);
    });
  }
  CHECK(collisions.load() == 0);
  std::int64_t total = 0;
  for (std::int64_t count : scratch) total += count;
  CHECK(total == 200 * 50);
}

TEST_CASE("thread_pool: every worker takes part") {
  for (int threads : {2, 3, 5}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 100; ++round) {
      // Each task waits for all of them to have begun, so each needs a worker of its own.
      std::atomic<int> begun{0};
      std::vector<int> runs(static_cast<std::size_t>(threads), 0);
      pool.run(threads, [&](std::int64_t, int worker) {
        ++runs[static_cast<std::size_t>(worker)];
        ++begun;
        while (begun.load() < threads) std::this_thread::yield();
      });
      if (runs != std::vector<int>(static_cast<std::size_t>(threads), 1)) FAIL("round " << round);
    }
  }
}

TEST_CASE("thread_pool: a worker begins with its own share of the tasks") {
  for (int threads : {2, 3, 5}) {
    ThreadPool pool(threads);
    for (const std::int64_t count : {std::int64_t{threads}, std::int64_t{threads} + 1, std::int64_t{23}}) {
      // First tasks wait for all workers, so that none has finished its share and takes from another's.
      std::atomic<int> begun{0};
      std::vector<std::int64_t> first(static_cast<std::size_t>(threads), -1);
      pool.run(count, [&](std::int64_t task, int worker) {
        std::int64_t& mine = first[static_cast<std::size_t>(worker)];
        if (mine >= 0) return;
        mine = task;
        ++begun;
        while (begun.load() < threads) std::this_thread::yield();
      });
      for (int worker = 0; worker < threads; ++worker) {
        CAPTURE(threads, count, worker);
        CHECK(first[static_cast<std::size_t>(worker)] == count * worker / threads);
      }
    }
  }
}

TEST_CASE("thread_pool: a run sees what came before it, and what follows sees the run") {
  ThreadPool pool(3);
  std::vector<std::int64_t> values(17, 0);  // plain memory: ordering is the pool's job
  for (std::int64_t round = 0; round < 5000; ++round) {
    const std::int64_t tasks = 1 + round % 17;
    pool.run(tasks, [&](std::int64_t task, int) { values[static_cast<std::size_t>(task)] += round; });
    values[0] -= round;
  }
  std::vector<std::int64_t> expected(17, 0);
  for (std::int64_t round = 0; round < 5000; ++round) {
    for (std::int64_t task = 1; task < 1 + round % 17; ++task)
      expected[static_cast<std::size_t>(task)] += round;
  }
  CHECK(values == expected);
}

TEST_CASE("thread_pool: runs end though workers sleep between them") {
  // Longer than the pool's spinning, so that both sides go to sleep and are woken.
  ThreadPool pool(3);
  std::atomic<std::int64_t> sum{0};
  for (int round = 0; round < 50; ++round) {
    volatile std::uint32_t work = 0;
    for (int i = 0; i < 50000; ++i) work = work + 1;
    pool.run(4, [&](std::int64_t task, int) {
      if (task == 3) {
        volatile std::uint32_t long_task = 0;
        for (int i = 0; i < 100000; ++i) long_task = long_task + 1;
      }
      sum += task;
    });
  }
  CHECK(sum.load() == 50 * 6);
}

TEST_CASE("thread_pool: the first exception comes out after the other tasks are done") {
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    CAPTURE(threads);
    for (int round = 0; round < 100; ++round) {
      std::atomic<int> done{0};
      std::string message;
      try {
        pool.run(20, [&](std::int64_t task, int) {
          if (task == 7) throw std::runtime_error("task seven");
          ++done;
        });
      } catch (const std::runtime_error& error) {
        message = error.what();
      }
      if (message != "task seven" || done.load() != 19)
        FAIL("'" << message << "', " << done.load() << " done");
    }
    std::atomic<int> after{0};
    pool.run(20, [&](std::int64_t, int) { ++after; });
    CHECK(after.load() == 20);
    CHECK_THROWS_AS(pool.run(20, [](std::int64_t, int) { throw ShapeError("every task"); }), ShapeError);
  }
}

TEST_CASE("thread_pool: a nested run stays on its thread and worker") {
  for (int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    ThreadPool other(2);
    std::atomic<int> wrong{0};
    std::atomic<int> inner{0};
    pool.run(10, [&](std::int64_t, int worker) {
      const std::thread::id thread = std::this_thread::get_id();
      pool.run(5, [&](std::int64_t, int nested_worker) {
        if (nested_worker != worker || std::this_thread::get_id() != thread) ++wrong;
        ++inner;
      });
    });
    // One task runs on the caller; what it nests does too.
    pool.run(1, [&](std::int64_t, int worker) {
      const std::thread::id thread = std::this_thread::get_id();
      pool.run(5, [&](std::int64_t, int nested_worker) {
        if (nested_worker != worker || std::this_thread::get_id() != thread) ++wrong;
        ++inner;
      });
      // Through a second pool's inline run and back.
      other.run(1, [&](std::int64_t, int) {
        pool.run(5, [&](std::int64_t, int nested_worker) {
          if (nested_worker != worker || std::this_thread::get_id() != thread) ++wrong;
          ++inner;
        });
      });
    });
    CAPTURE(threads);
    CHECK(wrong.load() == 0);
    CHECK(inner.load() == 60);
    CHECK_THROWS_AS(
        pool.run(
            3, [&](std::int64_t, int) { pool.run(2, [](std::int64_t, int) { throw ShapeError("inner"); }); }),
        ShapeError);
  }
}

TEST_CASE("thread_pool: zero threads takes the processors this process may use") {
  cpu_set_t set;
  REQUIRE(sched_getaffinity(0, sizeof(set), &set) == 0);
  const int allowed = CPU_COUNT(&set);
  CHECK(ThreadPool(0).size() == allowed);

  cpu_set_t one;
  CPU_ZERO(&one);
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (CPU_ISSET(processor, &set)) {
      CPU_SET(processor, &one);
      break;
    }
  }
  REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);
  const int pinned = ThreadPool(0).size();
  // More workers than processors: nobody spins, everything still ends.
  ThreadPool crowded(4);
  std::atomic<int> done{0};
  for (int round = 0; round < 200; ++round) crowded.run(8, [&](std::int64_t, int) { ++done; });
  REQUIRE(sched_setaffinity(0, sizeof(set), &set) == 0);
  CHECK(pinned == 1);
  CHECK(done.load() == 1600);
}

TEST_CASE("thread_pool: refuses what it cannot do") {
  CHECK_THROWS_AS(ThreadPool(-1), ConfigError);
  ThreadPool pool(2);
  CHECK_THROWS_AS(pool.run(std::int64_t{1} << 32, [](std::int64_t, int) {}), Error);
}

TEST_CASE("thread_pool: pools come and go") {
  std::atomic<int> done{0};
  for (int round = 0; round < 50; ++round) {
    ThreadPool pool(1 + round % 4);
    if (round % 2 == 0) pool.run(3, [&](std::int64_t, int) { ++done; });
  }
  CHECK(done.load() == 75);
}
