// What leaves the hand-made minima of docs/theory.md 7.3 and 7.4.
#include <fstream>

#include "analysis/landscape/run.h"
#include "base/error.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using namespace qmse::test;

namespace {

Json run(const TempDirectory& folder, Json given) {
  given["seeds"] = 6;
  given["dead_margins"] = {1.0};
  return run_landscape({.experiment = "trap", .given = given, .out = folder / "out", .threads = 2}, {})
      .result;
}

const Json& of(const Json& result, const std::string& method, std::size_t trap = 0) {
  for (const Json& each : result["summary"])
    if (each["method"] == method && trap-- == 0) return each;
  FAIL("no " + method);
  return result;
}

}  // namespace

TEST_CASE(
    "landscape trap: nothing but noise leaves the affine trap, and nothing of the form D^T u dead units") {
  const TempDirectory folder;
  const Json result = run(folder, {{"steps", 9000}});
  for (const char* method : {"mse", "mse_momentum", "mse_adam", "qmse_expected"}) {
    CAPTURE(method);
    CHECK(of(result, method)["unchanged"] == 1);
  }
  for (const char* method : {"qmse", "mse_isotropic", "sgd_one"}) {
    CAPTURE(method);
    CHECK(of(result, method)["left"] == 6);
    CHECK(of(result, method, 1)["hidden_unchanged"] == (std::string(method) == "mse_isotropic" ? 0 : 6));
  }
  CHECK(of(result, "sgd_one")["median_step"] < of(result, "qmse")["median_step"]);
  CHECK(result["verdicts"][0]["verdict"] == "exact");
  CHECK(result["verdicts"][1]["verdict"] == "holds");
}

TEST_CASE("landscape trap: with active units further from their kinks MSE stays and QMSE diverges") {
  const TempDirectory folder;
  const Json result = run(folder, {{"steps", 300}, {"margin", 2.0}});
  CHECK(of(result, "mse")["unchanged"] == 1);
  CHECK(of(result, "qmse")["not_finite"] == 6);
  CHECK(result["verdicts"][1]["verdict"] == "does not hold");
}

TEST_CASE(
    "landscape trap: a start that is no trap is not called one, and a file that is no start is refused") {
  const TempDirectory folder;
  const auto write = [&](int numbers) {
    std::ofstream file(folder / "start.txt");
    for (int i = 0; i < numbers; ++i) file << 0.3 * (i % 5) - 0.5 << (i % 2 == 0 ? ", " : "\n");
  };
  write(22);
  const Json result = run(folder, {{"steps", 50}, {"x0", (folder / "start.txt").string()}});
  CHECK(result["verdicts"][0]["verdict"] == "does not hold");
  write(21);
  CHECK(mentions(message_of<DataError>([&] {
                   run(folder, {{"x0", (folder / "start.txt").string()}});
                 }),
                 "22 numbers"));
}
