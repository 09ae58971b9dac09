// Steps at which QMSE is lost and MSE is not (docs/theory.md 7.6).
#include "analysis/landscape/run.h"
#include "tests/support/catch.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using namespace qmse::test;

namespace {

Json run(const TempDirectory& folder, const std::string& name, Json given) {
  given.update({{"data_set", "gaussian"},
                {"samples", 60},
                {"inputs", 5},
                {"start", "descent"},
                {"pretraining", 200},
                {"hidden", {4}},
                {"seeds", 4},
                {"steps", 600},
                {"momentum_lrs", {0.01}}});
  return run_landscape({.experiment = "stability", .given = given, .out = folder / name, .threads = 2}, {})
      .result;
}

std::int64_t lost(const Json& result, const std::string& loss, double lr) {
  for (const Json& each : result["summary"])
    if (each["loss"] == loss && each["lr"] == lr && !each["momentum"].get<bool>())
      return each["lost"].get<std::int64_t>();
  FAIL("no " + loss);
  return 0;
}

}  // namespace

TEST_CASE(
    "landscape stability: a step at which QMSE is lost and MSE is not, and small ones at which neither is") {
  const TempDirectory folder;
  const Json result = run(folder, "out", {{"lrs", {0.05, 0.8}}});
  for (const char* loss : {"mse", "expected_qmse", "qmse"}) CHECK(lost(result, loss, 0.05) == 0);
  CHECK(lost(result, "mse", 0.8) == 0);
  CHECK(lost(result, "qmse", 0.8) == 4);
  CHECK(result["verdicts"][0]["verdict"] == "does not hold");
  // Where every step is small the claim stands: a verdict that can be either.
  CHECK(run(folder, "small", {{"lrs", {0.01, 0.05}}})["verdicts"][0]["verdict"] == "holds");
}
