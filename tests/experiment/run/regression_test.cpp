// Training on a table: dense targets, ||r||^2 and R² in place of accuracy.
#include <cmath>

#include "base/error.h"
#include "data/normalization.h"
#include "data/registry.h"
#include "engine/safetensors.h"
#include "experiment/report/run_groups.h"
#include "experiment/report/run_list.h"
#include "experiment/report/run_summary.h"
#include "experiment/report/tuning.h"
#include "experiment/run/evaluation.h"
#include "experiment/run/trace.h"
#include "random/philox.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

double noise(std::uint32_t row, std::uint32_t column) {
  return uniform_from_bits(random_bits(5, RandomPurpose::test, 0, 0, row, column).x[0]) - 0.5;
}

// Two targets that are linear in three columns, of very different sizes, with noise.
struct World {
  World() {
    std::string text = "size,rooms,age,price,rent\n";
    for (std::uint32_t i = 0; i < kRows; ++i) {
      const double size = 1000 + 300 * noise(i, 0), rooms = 4 * noise(i, 1), age = 0.01 * noise(i, 2);
      const double price = 5e5 + 100 * size - 3e4 * rooms + 2e4 * noise(i, 3);
      const double rent = 3 - 0.001 * size + 100 * age + 0.5 * noise(i, 4);
      char line[160];
      std::snprintf(line, sizeof(line), "%.9g,%.9g,%.9g,%.9g,%.9g\n", size, rooms, age, price, rent);
      text += line;
    }
    write_bytes(folder / "houses.csv", text);
  }
  Json settings(const std::string& out, const Json& changes = {}) const {
    Json all = {{"dataset", "table"},
                {"data", (folder / "houses.csv").string()},
                {"targets", "price,rent"},
                {"model", "mlp"},
                {"mlp_widths", Json::array()},
                {"loss", "mse"},
                {"batch_size", 16},
                {"epochs", 3},
                {"device", "cpu"},
                {"threads", 2},
                {"out", (folder / out).string()}};
    if (!changes.is_null()) all.update(changes);
    return all;
  }

  static constexpr std::uint32_t kRows = 200;
  TempDirectory folder;
};

// Least squares on the standardised rows by the normal equations, which are well conditioned here, and its R² on
// each split: what a linear network converges to.
std::pair<double, double> least_squares(const std::filesystem::path& file) {
  DatasetOptions options;
  options.table.targets = {"price", "rent"};
  const ImageDataset train = load_dataset("table", file, Split::train, options),
                     test = load_dataset("table", file, Split::test, options);
  const Normalization columns = make_normalization(NormalizationKind::standard, train),
                      targets = make_target_normalization(train);
  const auto entry = [](const std::vector<double>& values, const Normalization& by, std::size_t row,
                        std::size_t column) {
    return (values[row * by.mean.size() + column] - by.mean[column]) / by.stddev[column];
  };
  constexpr std::size_t kInputs = 4, kTargets = 2;  // three columns and the constant
  const auto input = [&](const ImageDataset& set, std::size_t row, std::size_t column) {
    return column + 1 == kInputs ? 1.0 : entry(set.columns, columns, row, column);
  };
  // [XᵀX | XᵀY], then Gauss and Jordan.
  double system[kInputs][kInputs + kTargets] = {};
  for (std::size_t row = 0; row < static_cast<std::size_t>(train.count); ++row) {
    for (std::size_t i = 0; i < kInputs; ++i) {
      for (std::size_t k = 0; k < kInputs; ++k) system[i][k] += input(train, row, i) * input(train, row, k);
      for (std::size_t k = 0; k < kTargets; ++k)
        system[i][kInputs + k] += input(train, row, i) * entry(train.targets, targets, row, k);
    }
  }
  for (std::size_t i = 0; i < kInputs; ++i) {
    for (std::size_t other = 0; other < kInputs; ++other) {
      const double factor = system[other][i] / system[i][i];
      if (other == i) continue;
      for (std::size_t k = 0; k < kInputs + kTargets; ++k) system[other][k] -= factor * system[i][k];
    }
  }
  const auto r2 = [&](const ImageDataset& set) {
    double left = 0, all = 0;
    for (std::size_t k = 0; k < kTargets; ++k) {
      double mean = 0;
      const auto rows = static_cast<std::size_t>(set.count);
      for (std::size_t row = 0; row < rows; ++row)
        mean += entry(set.targets, targets, row, k) / static_cast<double>(rows);
      for (std::size_t row = 0; row < rows; ++row) {
        double output = 0;
        for (std::size_t i = 0; i < kInputs; ++i)
          output += input(set, row, i) * system[i][kInputs + k] / system[i][i];
        const double wanted = entry(set.targets, targets, row, k);
        left += (wanted - output) * (wanted - output);
        all += (wanted - mean) * (wanted - mean);
      }
    }
    return 1 - left / all;
  };
  return {r2(train), r2(test)};
}

}  // namespace

TEST_CASE("regression: a linear network trained by MSE has least squares' R² on both splits") {
  const World world;
  const auto [train_r2, test_r2] = least_squares(world.folder / "houses.csv");
  CAPTURE(train_r2, test_r2);
  REQUIRE(train_r2 > 0.5);
  REQUIRE(train_r2 < 0.999);
  // The whole set in each step, so that it comes to rest at the minimum.
  train(world.settings(
      "run",
      {{"batch_size", 160}, {"lr", 0.3}, {"momentum", 0.0}, {"epochs", 400}, {"evaluate_train", true}}));
  const auto last = json_lines(world.folder / "run/metrics.jsonl").back();
  CHECK(last["train_r2_full"].get<double>() == Approx(train_r2).margin(2e-5));
  CHECK(last["test_r2"].get<double>() == Approx(test_r2).margin(2e-5));
  for (const char* key : {"train_accuracy", "test_accuracy", "train_accuracy_full"})
    CHECK_FALSE(last.contains(key));
  // The losses are the residuals'.
  CHECK(last["test_loss"].get<double>() ==
        Approx(0.5 * last["test_residual_sq"].get<double>()).epsilon(1e-6));
}

TEST_CASE("regression: every squared-error loss learns, and threads and resumption change no bit") {
  const World world;
  for (const std::string loss : {"mse", "qmse", "qmse_expected", "mse_noise"}) {
    CAPTURE(loss);
    const Json changes = {{"loss", loss}, {"mlp_widths", {12}}, {"lr", 0.02},
                          {"epochs", 6},  {"validation", 0.1},  {"keep_best", true}};
    train(world.settings(loss, changes));
    const auto lines = json_lines(world.folder / loss / "metrics.jsonl");
    CHECK(lines.back()["test_r2"] > lines.front()["test_r2"]);
    CHECK(lines.back()["validation_r2"] > 0.3);
    CHECK(std::filesystem::exists(world.folder / loss / "best.safetensors"));
    Json again = world.settings(loss + "-stopped", changes);
    again["threads"] = 1;
    int asked = 0;
    TrainingEvents events;
    events.stop = [&] { return ++asked >= 17; };
    train(again, events);
    again["resume"] = true;
    train(again);
    CHECK(metrics_without_times(world.folder / (loss + "-stopped")) ==
          metrics_without_times(world.folder / loss));
  }
}

TEST_CASE("regression: evaluate gives the run's last R², and refuses images and other columns") {
  const World world;
  train(world.settings("run", {{"mlp_widths", {5}}}));
  const auto last = json_lines(world.folder / "run/metrics.jsonl").back();
  const EvaluationReport report = evaluate({.given = {{"device", "cpu"}}, .weights = world.folder / "run"});
  REQUIRE(report.r2);
  CHECK(*report.r2 == last["test_r2"].get<double>());
  const Json json = to_json(report);
  CHECK_FALSE(json.contains("accuracy"));
  CHECK_FALSE(json.contains("confusion_matrix"));
  CHECK(json["targets"] == Json{"price", "rent"});
  const auto message = [&](const Json& given) {
    return message_of<Error>([&] { evaluate({.given = given, .weights = world.folder / "run"}); });
  };
  CHECK(message({{"columns", "size"}}).find("model takes images of") != std::string::npos);
  const TinyData images;
  CHECK(
      message({{"dataset", "mnist"}, {"data", images.root.path().string()}}).find("was trained on a table") !=
      std::string::npos);
}

TEST_CASE("regression: predictions are in the table's own units") {
  const World world;
  train(world.settings("run", {{"lr", 0.1}, {"epochs", 30}}));
  std::vector<double> sums(2, 0.0), means(2, 0.0), squares(2, 0.0);
  std::vector<std::vector<double>> targets;
  std::int64_t next = 0;
  const EvaluationReport report = evaluate(
      {.given = {{"device", "cpu"}}, .weights = world.folder / "run", .each = [&](const Prediction& row) {
         REQUIRE(row.outputs.size() == 2);
         REQUIRE(row.targets.size() == 2);
         CHECK(row.index == next++);
         CHECK(row.label == -1);
         targets.emplace_back(row.targets.begin(), row.targets.end());
         for (std::size_t k = 0; k < 2; ++k) {
           sums[k] += (row.targets[k] - row.outputs[k]) * (row.targets[k] - row.outputs[k]);
           means[k] += row.targets[k];
         }
       }});
  REQUIRE(next == report.samples);
  CHECK(means[0] / static_cast<double>(next) > 4e5);  // prices
  // R² again, from what was said: each target's share of it by its deviation in the training rows.
  for (double& mean : means) mean /= static_cast<double>(next);
  for (const std::vector<double>& row : targets) {
    for (std::size_t k = 0; k < 2; ++k) squares[k] += (row[k] - means[k]) * (row[k] - means[k]);
  }
  DatasetOptions options;
  options.table.targets = {"price", "rent"};
  const Normalization by =
      make_target_normalization(load_dataset("table", world.folder / "houses.csv", Split::train, options));
  double left = 0, all = 0;
  for (std::size_t k = 0; k < 2; ++k) {
    left += sums[k] / (by.stddev[k] * by.stddev[k]);
    all += squares[k] / (by.stddev[k] * by.stddev[k]);
  }
  CHECK(*report.r2 == Approx(1 - left / all).epsilon(1e-5));
}

TEST_CASE("regression: trace has the dense targets, and what is for images is refused") {
  const World world;
  Json given = world.settings("x");
  for (const char* key : {"out", "epochs"}) given.erase(key);
  write_trace({.given = given, .weights = {}, .out = world.folder / "step.safetensors"});
  const SafetensorsFile file(world.folder / "step.safetensors");
  const std::vector<float> target = file.read<float>("target"), output = file.read<float>("output"),
                           residual = file.read<float>("residual");
  REQUIRE(target.size() == 32);
  for (std::size_t i = 0; i < target.size(); ++i) CHECK(residual[i] == target[i] - output[i]);

  const auto message = [&](const Json& changes) {
    return message_of<ConfigError>([&] { train(world.settings("no", changes)); });
  };
  CHECK(message({{"loss", "cross_entropy"}}).find("is for classes; a table has none") != std::string::npos);
  CHECK(message({{"model", "cnn"}, {"mlp_widths", {128, 64}}}).find("takes --model mlp") !=
        std::string::npos);
  CHECK(message({{"normalize", "unit"}}).find("a table is standardised") != std::string::npos);
  CHECK(message({{"targets", "cost"}}).find("no column 'cost'") != std::string::npos);
  Json images = world.settings("no", {{"dataset", "mnist"}});
  CHECK(message_of<ConfigError>([&] { train(images); }) ==
        "--targets has no effect with --dataset mnist: it is for --dataset table");
  CHECK_FALSE(std::filesystem::exists(world.folder / "no"));
}

TEST_CASE("regression: tables and lists show R²") {
  const World world;
  for (const char* loss : {"mse", "qmse"})
    train(world.settings(std::string("runs/") + loss, {{"loss", loss}, {"validation", 0.1}}));
  const RunsFound found = find_runs(world.folder / "runs");
  const std::vector<RunGroup> groups = group_runs(found.runs);
  const std::string summary = table_text(summary_table(groups), TableFormat::text);
  CHECK(summary.find("final test R²") != std::string::npos);
  CHECK(summary.find("accuracy") == std::string::npos);
  CHECK(table_text(run_list(found, world.folder.path()), TableFormat::text).find("test R²") !=
        std::string::npos);
  const Tuning tuning = tune(groups, {});
  CHECK(tuning.metric == "test_r2");
  CHECK(tuning.choose == "validation_r2");
}
