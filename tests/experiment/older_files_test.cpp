// Files that earlier versions wrote, as they are stored in tests/stored, are read as what they are; those of
// later versions are refused with a sentence.
#include "experiment/run/checkpoint.h"
#include "experiment/run/evaluation.h"
#include "experiment/sweep/sweep.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// A copy of a stored folder, and the images it is about.
struct Stored {
  explicit Stored(const std::string& name) : path(folder / name) {
    std::filesystem::copy(std::filesystem::path(QMSE_SOURCE_DIR) / "tests/stored" / name, path,
                          std::filesystem::copy_options::recursive);
    for (const std::string split : {"train", "test"}) {
      int label = 0;
      for (const std::string kind : {"ant", "bee", "cat"}) {
        std::filesystem::create_directories(folder / "pictures" / split / kind);
        for (int i = 0; i < (split == "train" ? 8 : 2); ++i) {
          std::string bytes = "P5\n8 8\n255\n";
          for (int k = 0; k < 64; ++k)
            bytes += static_cast<char>((7 * label + 13 * i + 29 * k + (split == "test" ? 101 : 0)) % 256);
          write_bytes(folder / "pictures" / split / kind / (std::to_string(i) + ".pgm"), bytes);
        }
        ++label;
      }
    }
  }
  std::string data() const { return (folder / "pictures").string(); }

  TempDirectory folder;
  std::filesystem::path path;
};

}  // namespace

TEST_CASE("older files: a checkpoint of format 1 has its place in the training, and its run goes on") {
  const Stored stored("run-1");
  const SafetensorsFile file(stored.path / "checkpoint.safetensors");
  CHECK(read_format(file) == 1);
  const TrainingPosition position = read_position(file);
  CHECK(position.epoch == 2);
  CHECK(position.counter.step == 10);
  CHECK(position.counter.index == 0);
  CHECK(position.metrics.first_non_finite_step == -1);

  CHECK(train({{"out", stored.path.string()}, {"data", stored.data()}, {"resume", true}, {"epochs", 3}}) ==
        TrainingOutcome::finished);
  const auto lines = json_lines(stored.path / "metrics.jsonl");
  REQUIRE(lines.size() == 3);
  CHECK(lines[1]["weights_sha256"] == "bac45911d42e02ac35d5b1bdcd57c93d198ffc649c3c5e6b98efeb950b03e2e3");
  CHECK(lines[2]["step"] == 15);
  const SafetensorsFile now(stored.path / "checkpoint.safetensors");
  CHECK(read_format(now) == kWeightsFormat);
  CHECK(read_position(now).counter.step == 15);
}

TEST_CASE("older files: the numbers that format 1 packs are the ones that were written") {
  const Stored stored("run-1");
  const SafetensorsFile file(stored.path / "checkpoint.safetensors");
  std::vector<TensorToWrite> tensors;
  const std::vector<std::int64_t> counts = {3, 17, 2, 128, 5, 128, 2, 1};
  const std::vector<double> sums = {0.25, 0.5, 0.75, 1.25, 1.5, 1.75};
  tensors.push_back({"training.counts", DType::i64, {8}, counts.data()});
  tensors.push_back({"training.sums", DType::f64, {6}, sums.data()});
  write_safetensors(stored.folder / "packed", tensors, {});
  const TrainingPosition at = read_position(SafetensorsFile(stored.folder / "packed"));
  CHECK(at.epoch == 3);
  CHECK(at.counter.step == 17);
  CHECK(at.counter.index == 2);
  CHECK(at.counter.first == 128);
  CHECK(at.metrics.correct == 5);
  CHECK(at.metrics.samples == 128);
  CHECK(at.metrics.steps == 2);
  CHECK(at.metrics.first_non_finite_step == 1);
  CHECK(at.metrics.loss == 0.25);
  CHECK(at.metrics.residual_sq == 0.5);
  CHECK(at.metrics.gradient_norm_sq == 0.75);
  CHECK(at.metrics.last_loss == 1.25);
  CHECK(at.seconds == 1.5);
  CHECK(at.step_seconds == 1.75);
}

TEST_CASE("older files: weights of format 1 are evaluated as their run did") {
  const Stored stored("finished-1");
  const EvaluationReport report = evaluate(
      {.given = {{"device", "cpu"}, {"data", stored.data()}}, .weights = stored.path, .split = Split::test});
  const auto last = json_lines(stored.path / "metrics.jsonl").back();
  CHECK(report.scores.accuracy == last["test_accuracy"].get<double>());
  CHECK(report.scores.loss == Approx(last["test_loss"].get<double>()).epsilon(1e-5));
}

TEST_CASE("older files: a sweep of format 1 goes on, though its images lie elsewhere now") {
  const Stored stored("sweep-1");
  SweepRequest request;
  request.spec.base = {{"dataset", "folder"}, {"data", stored.data()}, {"model", "mlp"}, {"mlp_widths", {5}},
                       {"batch_size", 5},     {"epochs", 2},           {"device", "cpu"}};
  for (const char* loss : {"mse", "qmse"}) request.spec.members.push_back({"", {{"loss", loss}}});
  complete(request.spec, "test");
  request.out = stored.path;
  const Json before = Json::parse(read_bytes(stored.path / "results.json"));
  std::vector<std::string> trained;
  const SweepOutcome outcome = run_sweep(
      request,
      {.member = [&](const MemberReport& report, const SweepProgress&) { trained.push_back(report.name); }});
  CHECK(outcome.finished == 2);
  CHECK(trained.empty());
  const Json after = Json::parse(read_bytes(stored.path / "results.json"));
  CHECK(after["format"] == kSweepFormat);
  CHECK(after["members"] == before["members"]);
}

TEST_CASE("older files: those of a later format are refused with a sentence") {
  const Stored run("finished-1"), sweep("sweep-1");
  const float one = 1;
  write_safetensors(run.folder / "later", std::vector<TensorToWrite>{{"w", DType::f32, {1}, &one}},
                    {{"qmse.format", "3"}});
  const SafetensorsFile later(run.folder / "later");
  const std::initializer_list<const char*> parts = {"later", "format 3", "knows 1 to 2", "a later one"};
  CHECK(missing(message_of<DataError>([&] { read_card(later); }), parts) == "");
  CHECK(missing(message_of<DataError>([&] { read_position(later); }), parts) == "");
  CHECK(missing(message_of<ConfigError>([] { parse_sweep(R"({"format": 3, "grid": {"seed": [1]}})", "f"); }),
                {"f: ", "format 3", "knows 1 to 2"}) == "");
  CHECK_THROWS_AS(parse_sweep(R"({"format": "2", "grid": {"seed": [1]}})", "f"), ConfigError);
  CHECK(to_json(parse_sweep(R"({"grid": {"seed": [1]}})", "f"))["format"] == 2);
}
