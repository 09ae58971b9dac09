#include "experiment/sweep/sweep_estimate.h"

#include "base/stopped.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;

namespace {

struct World {
  SweepRequest request(const Json& changes = Json::object()) const {
    SweepRequest request;
    request.spec.base = data.settings("", "mlp");
    request.spec.base.erase("out");
    request.spec.base["mlp_widths"] = {2000};  // so that weights are most of the files
    request.spec.base["lr"] = 1e-5;
    request.spec.base.update(changes);
    for (const char* loss : {"mse", "qmse"}) {
      for (const int seed : {1, 2}) request.spec.members.push_back({"", {{"loss", loss}, {"seed", seed}}});
    }
    complete(request.spec, "test");
    request.out = folder / "out";
    request.jobs = 2;
    return request;
  }

  TinyData data;
  TempDirectory folder;
};

std::uint64_t bytes_in(const std::filesystem::path& folder) {
  std::uint64_t bytes = 0;
  for (const auto& [name, content] : files(folder)) bytes += content.size();
  return bytes;
}

}  // namespace

TEST_CASE(
    "sweep estimate: its bytes are those that the members' folders have in the end, and nothing is made") {
  struct Case {
    Json changes;
    bool checkpoints;
  };
  for (const Case& each : {Case{Json::object(), true}, Case{{{"optimizer", "adam"}}, true},
                           Case{{{"snapshot_every", 1}, {"validation", 0.2}, {"keep_best", true}}, false}}) {
    CAPTURE(each.changes.dump());
    const World world;
    SweepRequest request = world.request(each.changes);
    request.keep_checkpoints = each.checkpoints;
    const SweepEstimate estimate = estimate_sweep(request);
    CHECK_FALSE(std::filesystem::exists(request.out));
    CHECK(estimate.members == 4);
    CHECK(estimate.finished == 0);
    CHECK(estimate.epochs == 12);
    CHECK(estimate.jobs == 2);
    CHECK(estimate.kinds == 2);
    CHECK(estimate.seconds > 0);
    run_sweep(request, {});
    const auto bytes = static_cast<double>(bytes_in(request.out / "members"));
    CHECK(static_cast<double>(estimate.bytes) == Approx(bytes).epsilon(0.03));
    CHECK((estimate.checkpoints > 0) == each.checkpoints);
  }
}

TEST_CASE("sweep estimate: what is finished takes no more time, and a signal ends it") {
  const World world;
  const SweepRequest request = world.request();
  run_sweep(request, {});
  const SweepEstimate estimate = estimate_sweep(request);
  CHECK(estimate.finished == 4);
  CHECK(estimate.epochs == 0);
  CHECK(estimate.seconds == 0);
  CHECK_THROWS_AS(estimate_sweep(request, [] { return true; }), Stopped);
}
