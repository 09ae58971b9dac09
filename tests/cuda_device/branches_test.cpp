// Work on a context's second stream, and the stand-in's rules for several streams.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <functional>
#include <optional>

#include "device/branches.h"
#include "device/cuda_check.h"
#include "device/cuda_context.h"
#include "device/cuda_graph.h"
#include "kernels/reduce/reduce.h"
#include "tests/cuda_device/fill.h"
#include "tests/cuda_device/in_child.h"
#include "tests/cuda_device/tiny_training.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr std::uint64_t kSeeds = 12;  // 0: as late as may be; others: in random order

struct World {
  CudaContext context{CudaOptions{}};
  Buffer memory{context.memory(), 3 * 256, "test floats"};
  float *a = memory.as<float>(), *b = a + 64, *c = b + 64;
  cudaStream_t second = nullptr;
  cudaEvent_t event = nullptr;
  World() {
    QMSE_CUDA_CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    QMSE_CUDA_CHECK(cudaEventCreate(&event));
    for (float* x : {a, b, c}) fill(context, 1, 0, x);
    add(context, 1, a, b);  // a first launch is none for a capture
    synchronize(context);
  }
  ~World() {
    cudaEventDestroy(event);
    cudaStreamDestroy(second);
  }
  void print(const char* name, const float* from) {
    float value = 0;
    device_to_host(context, &value, from, sizeof value);
    std::fprintf(stderr, "%s = %g\n", name, static_cast<double>(value));
  }
};

}  // namespace

TEST_CASE("branches: what runs aside has what was queued before, and is there after the join") {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const Ending ending = in_child(
        [] {
          World w;
          const auto work = [&w] {
            Branches branches(&w.context);
            fill(w.context, 1, 2, w.a);
            fill(w.context, 1, 0, w.b);
            {
              const Aside aside(w.context);
              add(w.context, 1, w.a, w.b);  // b = 2
            }
            fill(w.context, 1, 5, w.c);
            branches.join();
            add(w.context, 1, w.b, w.c);  // c = 7
          };
          work();
          w.print("c", w.c);
          CudaGraph graph(w.context, work);
          fill(w.context, 1, -1, w.a);
          graph.launch();
          graph.launch();
          w.print("c", w.c);
        },
        {.seed = seed});
    CAPTURE(seed, ending.text);
    CHECK(ending.status == 0);
    CHECK(ending.text == "c = 7\nc = 7\n");
  }
}

TEST_CASE("branches: without a Branches, or where the options want none, all is one sequence") {
  for (const bool wanted : {false, true}) {
    const Ending ending = in_child([wanted] {
      CudaContext context(CudaOptions{.branches = wanted});
      std::optional<Branches> branches;
      if (!wanted) branches.emplace(&context);
      const cudaStream_t first = context.stream();
      const Aside aside(context);
      std::fprintf(stderr, "%s\n", context.stream() == first ? "the same" : "another");
    });
    CAPTURE(wanted, ending.text);
    CHECK(ending.text == "the same\n");
  }
}

TEST_CASE("branches: a training has the bits of one without branches, whatever runs first") {
  const auto train = [](bool branches, bool capture, std::uint64_t seed) {
    return in_child(
        [branches, capture] {
          constexpr std::int64_t kSteps = 10;
          TinyTraining training({.branches = branches}, kSteps, capture);
          training.loop.step(kSteps);
          training.print_weights();
        },
        {.seed = seed});
  };
  for (const std::uint64_t seed : {0, 3, 7}) {
    const Ending one = train(false, false, seed);
    CAPTURE(seed, one.text);
    CHECK(one.status == 0);
    CHECK(one.says("weights "));
    for (const bool capture : {false, true}) {
      const Ending branched = train(true, capture, seed);
      CAPTURE(capture, branched.text);
      CHECK(branched.status == 0);
      CHECK(branched.text == one.text);
    }
  }
}

TEST_CASE("stand-in: a stream that nobody waits for may run late", "[planted]") {
  int late = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const Ending ending = in_child(
        [] {
          World w;
          Branches branches(&w.context);
          {
            const Aside aside(w.context);
            fill(w.context, 1, 2, w.b);
          }
          add(w.context, 1, w.b, w.c);  // no join
          w.print("c", w.c);
        },
        {.seed = seed});
    late += ending.text == "c = 0\n" ? 1 : 0;
  }
  CHECK(late > 0);
}

TEST_CASE("stand-in: captures with a branch that is not joined, and waits across captures", "[planted]") {
  const auto captured = [](const std::function<void(World&)>& work) {
    return in_child([&] {
      World w;
      const CudaGraph graph(w.context, [&] { work(w); });
    });
  };
  const auto fork = [](World& w) {
    QMSE_CUDA_CHECK(cudaEventRecord(w.event, w.context.stream()));
    QMSE_CUDA_CHECK(cudaStreamWaitEvent(w.second, w.event, 0));
    QMSE_CUDA_CHECK(cudaMemsetAsync(w.b, 0, sizeof(float), w.second));
  };
  const Ending unjoined = captured(fork);
  CAPTURE(unjoined.text);
  CHECK(unjoined.says("cudaErrorStreamCaptureUnjoined"));
  const Ending joined = captured([&](World& w) {
    fork(w);
    QMSE_CUDA_CHECK(cudaEventRecord(w.event, w.second));
    QMSE_CUDA_CHECK(cudaStreamWaitEvent(w.context.stream(), w.event, 0));
  });
  CHECK(joined.text.empty());
  CHECK(joined.status == 0);
  const Ending from_outside = in_child([] {
    World w;
    QMSE_CUDA_CHECK(cudaEventRecord(w.event, w.second));
    const CudaGraph graph(w.context,
                          [&] { QMSE_CUDA_CHECK(cudaStreamWaitEvent(w.context.stream(), w.event, 0)); });
  });
  CAPTURE(from_outside.text);
  CHECK(from_outside.says("cudaErrorStreamCaptureIsolation"));
  const Ending ended = in_child([] {
    World w;
    const CudaGraph graph(w.context, [&] { QMSE_CUDA_CHECK(cudaEventRecord(w.event, w.context.stream())); });
    cudaStreamWaitEvent(w.second, w.event, 0);
  });
  CHECK(ended.status == cuda_device::kReported);
  CHECK(ended.says("a capture that has ended"));
  const Ending never = in_child([] {
    World w;
    cudaStreamWaitEvent(w.second, w.event, 0);
  });
  CHECK(never.says("an event that was not recorded"));
}
