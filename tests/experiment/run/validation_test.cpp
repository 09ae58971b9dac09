// --validation, --keep-best and --stop-early.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "data/registry.h"
#include "experiment/run/best_epoch.h"
#include "experiment/run/run_record.h"
#include "experiment/run/tensor_digest.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// MNIST's files of these images.
void write_idx(const std::filesystem::path& folder, const std::string& prefix, const ImageDataset& set) {
  std::string images =
      std::string("\0\0\x08\x03", 4) + big_endian(set.count) + big_endian(set.height) + big_endian(set.width);
  images.append(set.images.begin(), set.images.end());
  std::string labels = std::string("\0\0\x08\x01", 4) + big_endian(set.count);
  for (const std::int32_t label : set.labels) labels += static_cast<char>(label);
  write_bytes(folder / (prefix + "-images-idx3-ubyte"), images);
  write_bytes(folder / (prefix + "-labels-idx1-ubyte"), labels);
}

Json validated(const TinyData& data, const std::filesystem::path& out, const Json& changes = {}) {
  Json given = data.settings(out, "mlp");
  given["validation"] = 20;
  if (!changes.is_null()) given.update(changes);
  return given;
}

std::vector<double> accuracies(const std::filesystem::path& run) {
  std::vector<double> all;
  for (const auto& line : json_lines(run / "metrics.jsonl")) all.push_back(line["validation_accuracy"]);
  return all;
}

}  // namespace

TEST_CASE("validation: the run is that on the other images alone, measured on those that were taken out") {
  // The same images as files: training's without those, and those as the test images.
  const TinyData data;
  const TempDirectory folder, apart;
  const std::filesystem::path from = data.root / "mnist";
  ImageDataset rest = load_dataset("mnist", from, Split::train);
  rest = rest.first(65);
  const ImageDataset taken = split_off(rest, 20, 3);
  std::filesystem::create_directories(apart / "mnist");
  write_idx(apart / "mnist", "train", rest);
  write_idx(apart / "mnist", "t10k", taken);

  Json given = validated(data, folder / "split", {{"validation_seed", 3}, {"train_limit", 65}});
  train(given);
  Json other = data.settings(folder / "apart", "mlp");
  other["data"] = apart.path().string();
  train(other);
  const auto lines = json_lines(folder / "split/metrics.jsonl"),
             expected = json_lines(folder / "apart/metrics.jsonl");
  REQUIRE(lines.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(lines[i]["weights_sha256"] == expected[i]["weights_sha256"]);
    for (const std::string key : {"loss", "residual_sq", "accuracy"})
      CHECK(lines[i]["validation_" + key] == expected[i]["test_" + key]);
    CHECK(lines[i]["train_loss"] == expected[i]["train_loss"]);
  }
  const auto environment = nlohmann::json::parse(read_bytes(folder / "split/environment.json"));
  CHECK(environment["data"]["images"]["train"] == 45);
  CHECK(environment["data"]["images"]["validation"] == 20);
  CHECK_FALSE(expected[0].contains("validation_loss"));
}

TEST_CASE("validation: a share is rounded to whole images, and seeds of training do not move them") {
  const TinyData data;
  const TempDirectory folder;
  train(validated(data, folder / "a", {{"validation", 0.3}, {"epochs", 1}, {"lr", 0.0}}));
  train(validated(data, folder / "b", {{"validation", 21}, {"epochs", 1}, {"lr", 0.0}, {"seed_data", 9}}));
  train(validated(data, folder / "c",
                  {{"validation", 21}, {"epochs", 1}, {"lr", 0.0}, {"validation_seed", 9}}));
  const auto loss = [&](const char* run) {
    return json_lines(folder / run / "metrics.jsonl").front()["validation_loss"];
  };
  CHECK(loss("a") == loss("b"));  // 0.3 of 70
  CHECK(loss("a") != loss("c"));
}

TEST_CASE("validation: settings that need it, and numbers that are none, are usage errors") {
  const TinyData data;
  const TempDirectory folder;
  const auto message = [&](const Json& changes) {
    Json given = data.settings(folder / "run", "mlp");
    given.update(changes);
    return message_of<ConfigError>([&] { train(given); });
  };
  for (const char* setting : {"stop_early", "validation_seed"})
    CHECK(message({{setting, 3}}).find("it is for runs with --validation") != std::string::npos);
  CHECK(message({{"keep_best", true}}) ==
        "--keep-best has no effect without --validation: it is for runs with --validation");
  CHECK(message({{"validation", 2.5}}) ==
        "--validation must be a share below 1 or a whole number of images, not 2.5");
  CHECK(message({{"validation", 70}}).find("choose between 1 and 69") != std::string::npos);
  CHECK(message({{"validation", 0.001}}).find("cannot take 0 of the 70") != std::string::npos);
  CHECK(message({{"validation", -1}}).find("--validation must be a finite number") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("best epoch: the first of equals, numbers that are none do not count") {
  BestEpoch best;
  CHECK(best.epoch() == 0);
  best.add(1, std::nan(""));
  CHECK(best.epoch() == 0);
  CHECK_FALSE(best.ends(5, 1));
  best.add(2, 0.5);
  best.add(3, 0.5);
  best.add(4, 0.4);
  CHECK(best.epoch() == 2);
  CHECK(best.ends(4, 2));
  CHECK_FALSE(best.ends(4, 3));
  CHECK_FALSE(best.ends(4, 0));
  best.add(5, 0.6);
  CHECK(best.epoch() == 5);
}

TEST_CASE(
    "keep best: the file has the weights of the epoch that validates best, stopped and resumed or not") {
  const TinyData data;
  const TempDirectory folder;
  const Json changes = {{"keep_best", true}, {"snapshot_every", 1}, {"epochs", 8}, {"lr", 0.03}};
  train(validated(data, folder / "whole", changes));
  const std::vector<double> all = accuracies(folder / "whole");
  const auto best = std::max_element(all.begin(), all.end()) - all.begin() + 1;
  CAPTURE(all);
  const std::string snapshot = "snapshots/epoch-000" + std::to_string(best) + ".safetensors";
  CHECK(read_bytes(folder / "whole/best.safetensors") == read_bytes(folder / "whole" / snapshot));

  // Stopped after each number of steps.
  for (const int steps : {1, 4, 9, 23, 30}) {
    CAPTURE(steps);
    const std::filesystem::path out = folder / ("stopped-" + std::to_string(steps));
    int asked = 0;
    TrainingEvents events;
    events.stop = [&] { return ++asked >= steps; };
    train(validated(data, out, changes), events);
    Json resumed = validated(data, out, changes);
    resumed["resume"] = true;
    train(resumed);
    CHECK(read_bytes(out / "best.safetensors") == read_bytes(folder / "whole/best.safetensors"));
    CHECK(metrics_without_times(out) == metrics_without_times(folder / "whole"));
  }
}

TEST_CASE("stop early: the run ends after so many epochs without a better one, and is finished") {
  const TinyData data;
  const TempDirectory folder;
  // Without steps nothing becomes better.
  Json given = validated(data, folder / "run", {{"lr", 0.0}, {"stop_early", 2}, {"epochs", 9}});
  std::string said;
  TrainingEvents events;
  events.notice = [&](const std::string& text) { said += text + "\n"; };
  CHECK(train(given, events) == TrainingOutcome::finished);
  CHECK(said.find("stopped early after epoch 3: no better validation accuracy since epoch 1") !=
        std::string::npos);
  CHECK(accuracies(folder / "run").size() == 3);
  const RunRecord record = read_run(folder / "run");
  CHECK(record.finished);
  CHECK(json_lines(folder / "run/metrics.jsonl").back()["weights_sha256"] ==
        tensors_sha256(folder / "run/model.safetensors"));

  // There is nothing left to do, with its checkpoint and without.
  given["resume"] = true;
  CHECK(train(given) == TrainingOutcome::already_finished);
  std::filesystem::rename(folder / "run/checkpoint.safetensors", folder / "kept");
  CHECK(train(given) == TrainingOutcome::already_finished);
  std::filesystem::rename(folder / "kept", folder / "run/checkpoint.safetensors");

  // With more patience it goes on to what it would have been.
  given["stop_early"] = 0;
  given["epochs"] = 5;
  CHECK(train(given) == TrainingOutcome::finished);
  CHECK(accuracies(folder / "run").size() == 5);
  train(validated(data, folder / "never", {{"lr", 0.0}, {"epochs", 5}}));
  CHECK(metrics_without_times(folder / "run") == metrics_without_times(folder / "never"));
}

TEST_CASE("stop early: stopped in between and resumed, the run ends where it would have") {
  const TinyData data;
  const TempDirectory folder;
  const Json changes = {{"lr", 0.03}, {"stop_early", 2}, {"epochs", 12}};
  train(validated(data, folder / "whole", changes));
  CAPTURE(accuracies(folder / "whole"));
  for (const int steps : {3, 8, 15, 19}) {
    CAPTURE(steps);
    const std::filesystem::path out = folder / ("stopped-" + std::to_string(steps));
    int asked = 0;
    TrainingEvents events;
    events.stop = [&] { return ++asked >= steps; };
    train(validated(data, out, changes), events);
    Json resumed = validated(data, out, changes);
    resumed["resume"] = true;
    train(resumed);
    CHECK(metrics_without_times(out) == metrics_without_times(folder / "whole"));
    CHECK(read_bytes(out / "model.safetensors") == read_bytes(folder / "whole/model.safetensors"));
  }
}
