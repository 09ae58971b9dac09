// What the members of a sweep have in common on a GPU, and what becomes of it where one fails.
#include "experiment/sweep/sweep.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "tests/cuda_device/in_child.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;
using cuda_device::Fault;

namespace {

// Every layer is the libraries', as it is with TF32: our own kernels need no handles and plan nothing.
struct GpuSweep {
  Json settings() const {
    Json settings = data.settings("", "cnn");
    settings.erase("out");
    settings.erase("threads");
    settings.update({{"device", "cuda"}, {"math", "tf32"}, {"epochs", 1}});
    return settings;
  }
  SweepRequest request(const std::string& out, std::int64_t jobs) const {
    SweepRequest request;
    request.spec.base = settings();
    for (const int seed : {1, 2, 3, 4}) request.spec.members.push_back({"", {{"seed", seed}}});
    complete(request.spec, "test");
    request.out = folder / out;
    request.jobs = jobs;
    return request;
  }
  std::filesystem::path member(const std::string& out, int seed) const {
    return folder / out / "members" / ("seed=" + std::to_string(seed));
  }

  TinyData data;
  TempDirectory folder;
};

void print_counts() {
  std::fprintf(stderr, "streams %ld cudnn %ld cublaslt %ld plans %ld\n",
               static_cast<long>(cuda_device::made("stream")),
               static_cast<long>(cuda_device::made("cuDNN handle")),
               static_cast<long>(cuda_device::made("cuBLASLt handle")),
               static_cast<long>(cuda_device::calls(Fault::plan)));
}

// Runs the sweep and says how it ended, on standard error.
void run(const SweepRequest& request) {
  try {
    const SweepOutcome outcome = run_sweep(request, {});
    std::fprintf(stderr, "finished %ld failed %zu\n", static_cast<long>(outcome.finished),
                 outcome.failed.size());
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
  }
}

std::int64_t number_after(const std::string& text, const std::string& word) {
  const std::size_t at = text.find(word + " ");
  return at == std::string::npos ? -1 : std::stoll(text.substr(at + word.size() + 1));
}

}  // namespace

TEST_CASE("sweep: members on one GPU share handles and plans, and have the bits of runs by themselves") {
  const GpuSweep sweep;
  const Ending alone = in_child([&] {
    Json settings = sweep.settings();
    settings.update({{"seed", 3}, {"out", (sweep.folder / "alone").string()}});
    train(settings);
    print_counts();
  });
  CAPTURE(alone.text);
  REQUIRE(alone.status == 0);
  REQUIRE(number_after(alone.text, "plans") > 0);
  for (const std::int64_t jobs : {1, 2, 4}) {
    CAPTURE(jobs);
    const std::string out = "jobs-" + std::to_string(jobs);
    const Ending ending = in_child([&] {
      run(sweep.request(out, jobs));
      print_counts();
    });
    CAPTURE(ending.text);
    CHECK(ending.status == 0);
    CHECK(ending.says("finished 4 failed 0"));
    // Two streams for each member that trains at the time, and a cuDNN handle, which is bound to the first.
    CHECK(number_after(ending.text, "streams") <= 2 * jobs);
    CHECK(number_after(ending.text, "cudnn") <= jobs);
    CHECK(number_after(ending.text, "cublaslt") == 1);
    CHECK(number_after(ending.text, "plans") == number_after(alone.text, "plans"));
    CHECK(read_bytes(sweep.member(out, 3) / "model.safetensors") ==
          read_bytes(sweep.folder / "alone" / "model.safetensors"));
  }
}

TEST_CASE("sweep: a member that runs out of memory leaves the context to nobody, and the others finish") {
  const GpuSweep sweep;
  // Whichever allocation it is, of the first member's.
  for (const std::int64_t n : {2, 20, 45}) {
    CAPTURE(n);
    cuda_device::Settings settings;
    settings.faults[static_cast<std::size_t>(Fault::allocation)] = n;
    const Ending ending =
        in_child([&] { run(sweep.request("allocation-" + std::to_string(n), 1)); }, settings);
    CAPTURE(ending.text);
    CHECK(ending.status == 0);
    CHECK((ending.says("finished 3 failed 1") || ending.says("finished 4 failed 0")));
    CHECK(ending.text.find("cuda stand-in") == std::string::npos);
  }
}

TEST_CASE("sweep: a GPU that works no more ends the sweep in one line, and a later process does the rest") {
  const GpuSweep sweep;
  for (const std::int64_t jobs : {1, 2}) {
    CAPTURE(jobs);
    const std::string out = "broken-" + std::to_string(jobs);
    cuda_device::Settings settings;
    settings.faults[static_cast<std::size_t>(Fault::synchronization)] = 60;
    const Ending broken = in_child([&] { run(sweep.request(out, jobs)); }, settings);
    CAPTURE(broken.text);
    CHECK(broken.status == 0);
    CHECK(broken.says("error: after a member's failure the GPU does not work for this process any more ("));
    CHECK(broken.says("cudaErrorIllegalAddress"));
    CHECK(std::count(broken.text.begin(), broken.text.end(), '\n') == 1);
    // Those that had not begun are no failures.
    CHECK(!std::filesystem::exists(sweep.member(out, 4)));
    const Ending later = in_child([&] { run(sweep.request(out, jobs)); });
    CAPTURE(later.text);
    CHECK(later.status == 0);
    CHECK(later.says("finished 4 failed 0"));
  }
}
