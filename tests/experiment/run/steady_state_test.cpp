// In steady state a training step allocates nothing.
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"

namespace {

std::atomic<bool> watching{false};
std::atomic<std::int64_t> allocations{0};

// oneDNN's primitives allocate a few small objects inside each execution, which nobody outside can change.
bool inside_onednn(void* caller) {
  Dl_info info = {};
  return dladdr(caller, &info) != 0 && info.dli_fname != nullptr &&
         std::strstr(info.dli_fname, "libdnnl") != nullptr;
}

void* counted(std::size_t bytes, std::size_t alignment, void* caller) {
  if (watching.load() && !inside_onednn(caller)) ++allocations;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// The forms that throw; the library's other forms call these. Not inlined, or GCC takes free() for a mistake.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  return counted(bytes, alignof(std::max_align_t), __builtin_return_address(0));
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment), __builtin_return_address(0));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

using namespace qmse;
using namespace qmse::test;

TEST_CASE("steady state: the steps of an epoch and an evaluation allocate nothing") {
  const TinyData data;
  for (const char* model : {"cnn", "mlp"}) {
    for (const char* loss : {"mse", "qmse", "qmse_expected", "cross_entropy"}) {
      CAPTURE(model, loss);
      const TempDirectory folder;
      Json given = data.settings(folder / "run", model);
      given["loss"] = loss;
      given["epochs"] = 3;
      // Asked after four of an epoch's five steps, after its one evaluation batch and, where another epoch
      // follows, at its end: six times in the first epoch, which warms up. The second is watched from its
      // first step on.
      int asked = 0;
      const std::int64_t before = allocations.load();
      std::int64_t in_steps = -1, with_evaluation = -1, with_files = -1;
      TrainingRun run(given, {.stop = [&] {
                        ++asked;
                        if (asked == 7) watching = true;
                        if (asked == 10) in_steps = allocations.load() - before;
                        if (asked == 11) with_evaluation = allocations.load() - before;
                        if (asked == 12) with_files = allocations.load() - before;
                        if (asked == 12) watching = false;
                        return false;
                      }});
      const std::int64_t taken = run.memory()->allocation_count();
      CHECK(taken > 0);
      CHECK(run.run() == TrainingOutcome::finished);
      REQUIRE(asked == 17);
      CHECK(in_steps == 0);
      CHECK(with_evaluation == 0);
      CHECK(with_files > 0);  // lines and a checkpoint are written: the counter does count
      CHECK(run.memory()->allocation_count() == taken);  // over the whole run
    }
  }
}
