// `qmse inspect`.
#include <nlohmann/json.hpp>

#include "tests/program/run_program.h"
#include "tests/support/catch.h"
#include "tests/support/idx_files.h"
#include "tests/support/run_folders.h"

using namespace qmse::test;

namespace {

struct TrainedRun {
  TrainedRun() {
    write_mnist(folder / "data", 40, 20);
    const Result result =
        run_program({"train", "--dataset", "mnist", "--data", data(), "--out", path(), "--conv-channels",
                     "3,4", "--fc-width", "6", "--batch-size", "8", "--epochs", "1", "--device", "cpu"});
    REQUIRE(result.code == 0);
  }
  std::string data() const { return (folder / "data").string(); }
  std::string path() const { return (folder / "run").string(); }

  TempDirectory folder;
};

}  // namespace

TEST_CASE("program: without gnuplot an inspection has its numbers and its page") {
  const TrainedRun run;
  const TempDirectory empty;
  const ScopedPath no_gnuplot(empty.path().string());
  const Result result = run_program({"inspect", run.path(), "--samples", "3", "--unit-samples", "5"});
  CHECK(result.code == 0);
  CHECK(result.error.find("gnuplot-nox") != std::string::npos);
  for (const char* file : {"inspection.json", "report.html"})
    CHECK(std::filesystem::exists(run.folder / "run/inspection" / file));
  CHECK_FALSE(std::filesystem::exists(run.folder / "run/inspection/inspection.svg"));
}

TEST_CASE("program: inspect says what theory says of a run, and its report shows it") {
  if (!has_program("gnuplot")) return;
  const TrainedRun run;
  const Words words = {"inspect", run.path(), "--samples", "6", "--unit-samples", "20", "--threads", "2"};
  const Result sentences = run_program(words);
  CAPTURE(sentences.error);
  REQUIRE(sentences.code == 0);
  for (const char* part : {"Over the first 6 images of mnist's train split", "D has",
                           "copies of another unit", "QMSE's expected gradient", "Gauss–Newton",
                           "The Hessian of the MSE has eigenvalues from ", "the run's is "}) {
    CAPTURE(part, sentences.out);
    CHECK(sentences.out.find(part) != std::string::npos);
  }
  const std::filesystem::path out = run.folder / "run/inspection";
  for (const char* file : {"inspection.json", "inspection.svg", "inspection.png", "report.html"})
    CHECK(std::filesystem::exists(out / file));
  const std::string bytes = read_bytes(out / "inspection.json");
  const auto json = nlohmann::json::parse(bytes);
  CHECK(json["samples"] == 6);
  CHECK(json["outputs"] == 10);
  CHECK(json["eigenvalues"].size() == 60);
  CHECK(json["kappa"].size() == 6);
  CHECK(json["units"].size() == 3);
  CHECK(json["training"]["batch_size"] == 8);
  CHECK(json["hessian"]["nodes"].size() == 30);
  CHECK(json["hessian"]["exact_products"] == false);
  // The Gauss-Newton part is the whole but for the residuals' part.
  CHECK(json["hessian"]["largest"].get<double>() ==
        Approx(json["curvature"]["mse"].get<double>()).epsilon(0.2));
  CHECK(json["gradient_norm"].get<double>() == Approx(json["jacobian_residual_norm"].get<double>() / 6));
  CHECK(json["affine"]["loss_above"].get<double>() > 0);  // six images have a best affine fit of 0

  Words one = words;
  one.back() = "1";
  one.insert(one.end(), {"--out", (run.folder / "again").string()});
  REQUIRE(run_program(one).code == 0);
  CHECK(read_bytes(run.folder / "again/inspection.json") == bytes);

  REQUIRE(run_program({"report", run.path()}).code == 0);
  CHECK(read_bytes(run.folder / "run/report.html").find("Inspection of the weights of") != std::string::npos);
  write_bytes(out / "inspection.json", "{}");
  REQUIRE(run_program({"report", run.path()}).code == 0);
  CHECK(read_bytes(run.folder / "run/report.html").find("is not what qmse inspect writes") !=
        std::string::npos);

  // Of a file nothing is written unless it is said where.
  const Result file = run_program(
      {"inspect", run.path() + "/model.safetensors", "--data", run.data(), "--samples", "2", "--json"});
  REQUIRE(file.code == 0);
  CHECK(nlohmann::json::parse(file.out)["training"]["recorded"] == false);
}

TEST_CASE("program: inspect's mistakes are one line and exit code 2") {
  const TrainedRun run;
  for (const Words& words : std::vector<Words>{{"inspect"},
                                               {"inspect", run.path(), "--samples", "0"},
                                               {"inspect", run.path(), "--samples", "41"},
                                               {"inspect", run.path(), "--split", "both"},
                                               {"inspect", run.path(), "--samples", "1000"}}) {
    const Result result = run_program(words);
    CAPTURE(words, result.error);
    CHECK(result.code == 2);
    CHECK(std::count(result.error.begin(), result.error.end(), '\n') == 1);
  }
  CHECK_FALSE(std::filesystem::exists(run.folder / "run/inspection"));
}
