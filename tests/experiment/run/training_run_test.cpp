#include "experiment/run/training_run.h"

#include <cmath>
#include <fstream>
#include <set>

#include "base/error.h"
#include "base/stopped.h"
#include "engine/safetensors.h"
#include "experiment/run/evaluation.h"
#include "experiment/run/run_directory.h"
#include "experiment/run/run_outcome.h"
#include "experiment/run/tensor_digest.h"
#include "optim/optimizers.h"
#include "tests/data/pictures.h"
#include "tests/experiment/system_faults.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("training run: the files of a run, and the fields of its metrics") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run");
  given["evaluate_train"] = true;
  given["snapshot_every"] = 2;
  given["log_steps"] = 2;
  CHECK(train(given) == TrainingOutcome::finished);
  const std::vector<nlohmann::ordered_json> lines = json_lines(folder / "run/metrics.jsonl");
  REQUIRE(lines.size() == 3);
  std::vector<std::string> keys;
  for (const auto& [key, value] : lines[0].items()) keys.push_back(key);
  CHECK(keys == std::vector<std::string>{"epoch", "step", "lr", "train_loss", "train_residual_sq",
                                         "train_accuracy", "test_loss", "test_residual_sq", "test_accuracy",
                                         "grad_norm", "null_steps", "seconds", "images_per_second",
                                         "train_accuracy_full", "weights_sha256"});
  CHECK(lines[2]["epoch"] == 3);
  CHECK(lines[2]["step"] == 3 * TinyData::kSteps);
  for (const auto& line : lines) {
    CHECK(line["images_per_second"] > 0);
    CHECK(line["train_accuracy"] <= 1);
    // Accuracies are counts over the images.
    const double correct = line["train_accuracy_full"].get<double>() * TinyData::kTrain;
    CHECK(std::abs(correct - std::round(correct)) < 1e-9);
  }
  const std::vector<nlohmann::ordered_json> steps = json_lines(folder / "run/steps.jsonl");
  REQUIRE(steps.size() == 7);  // of 15
  CHECK(steps[0]["step"] == 2);
  CHECK(steps[3]["epoch"] == 2);
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "run"))
    files.insert(entry.path().filename());
  CHECK(files == std::set<std::string>{".lock", "config.json", "environment.json", "metrics.jsonl",
                                       "steps.jsonl", "model.safetensors", "checkpoint.safetensors",
                                       "outcome.json", "snapshots"});
  CHECK(std::filesystem::exists(folder / "run/snapshots/epoch-0002.safetensors"));
  CHECK(lines[1]["weights_sha256"] == tensors_sha256(folder / "run/snapshots/epoch-0002.safetensors"));
  CHECK(lines[2]["weights_sha256"] == tensors_sha256(folder / "run/model.safetensors"));
  CHECK_FALSE(std::filesystem::exists(folder / "run/snapshots/epoch-0001.safetensors"));

  const auto config = nlohmann::json::parse(read_bytes(folder / "run/config.json"));
  CHECK(config["device"] == "cpu");
  CHECK(config["threads"] == 2);
  CHECK(config["seed_v"] == 1);
  CHECK(config["data"] == data.root.path().string());
  CHECK_FALSE(config.contains("out"));
  const auto environment = nlohmann::json::parse(read_bytes(folder / "run/environment.json"));
  for (const char* key : {"qmse", "git_revision", "compiler", "libraries", "device", "simd", "threads"}) {
    CAPTURE(key);
    CHECK(environment.contains(key));
  }
}

TEST_CASE("training run: it learns, with every loss and optimizer") {
  const TinyData data;
  for (const char* loss : {"mse", "qmse", "qmse_expected", "cross_entropy"}) {
    for (const std::string_view optimizer : optimizer_names()) {
      CAPTURE(loss, optimizer);
      const TempDirectory folder;
      Json given = data.settings(folder / "run");
      given["loss"] = loss;
      given["optimizer"] = optimizer;
      given["lr"] = optimizer == "sgd" ? 0.05 : optimizer == "adam" ? 0.01 : 0.003;
      given["epochs"] = 12;
      CHECK(train(given) == TrainingOutcome::finished);
      const auto lines = json_lines(folder / "run/metrics.jsonl");
      // Ten classes that a linear model separates: chance is 0.1.
      CHECK(lines.back()["test_accuracy"] > 0.5);
      CHECK(lines.back()["train_residual_sq"] < lines.front()["train_residual_sq"]);
    }
  }
}

TEST_CASE("training run: the weights do not depend on the number of threads") {
  const TinyData data;
  for (const char* model : {"cnn", "mlp"}) {
    std::string expected;
    for (const int threads : {1, 2, 3, 5}) {
      CAPTURE(model, threads);
      const TempDirectory folder;
      Json given = data.settings(folder / "run", model);
      given["threads"] = threads;
      train(given);
      const std::string weights = read_bytes(folder / "run/model.safetensors");
      if (expected.empty()) expected = weights;
      CHECK(weights == expected);
    }
  }
}

TEST_CASE("training run: two losses share weights and order, and each seed has its own effect") {
  const TinyData data;
  const auto weights = [&](const Json& changes) {
    const TempDirectory folder;
    Json given = data.settings(folder / "run", "mlp");
    given["epochs"] = 1;
    given.update(changes);
    train(given);
    const SafetensorsFile file(folder / "run/model.safetensors");
    return file.read<float>("fc1.weight");
  };
  // Without a step taken, only the initial weights count.
  const auto start = weights({{"lr", 0.0}, {"loss", "qmse"}});
  CHECK(weights({{"lr", 0.0}, {"loss", "mse"}}) == start);
  CHECK(weights({{"lr", 0.0}, {"seed_data", 5}, {"seed_v", 6}}) == start);
  CHECK(weights({{"lr", 0.0}, {"seed_init", 5}}) != start);
  CHECK(weights({{"lr", 0.0}, {"seed", 5}}) != start);

  const auto trained = weights({{"loss", "mse"}});
  CHECK(weights({{"loss", "mse"}, {"seed_data", 5}}) != trained);
  const auto qmse_trained = weights({{"loss", "qmse"}});
  CHECK(weights({{"loss", "qmse"}, {"seed_v", 6}}) != qmse_trained);
  CHECK(weights({{"loss", "qmse"}, {"seed_v", 1}}) == qmse_trained);
}

TEST_CASE("training run: the learning rate of an epoch's last step is recorded, whatever the schedule") {
  const TinyData data;
  const auto rates = [&](const Json& changes) {
    const TempDirectory folder;
    Json given = data.settings(folder / "run", "mlp");
    given.update(changes);
    train(given);
    std::vector<double> all;
    for (const auto& line : json_lines(folder / "run/metrics.jsonl")) all.push_back(line["lr"]);
    return all;
  };
  const double lr = 0.01;
  CHECK(rates(Json::object()) == std::vector<double>{lr, lr, lr});
  // Steps 4, 9 and 14 are the last of their epochs.
  const auto stepped = rates({{"schedule", "step"}, {"schedule_step_size", 7}, {"schedule_gamma", 0.5}});
  CHECK(stepped == std::vector<double>{lr, lr / 2, lr / 4});
  const auto cosine = rates({{"schedule", "cosine"}});
  for (std::size_t i = 0; i < 3; ++i) {
    const double done = (5.0 * static_cast<double>(i) + 4.0) / 15.0;
    CHECK(cosine[i] == Approx(lr * 0.5 * (1 + std::cos(M_PI * done))).epsilon(1e-12));
  }
  const auto monro = rates({{"schedule", "robbins_monro"}, {"schedule_tau", 2.0}, {"schedule_power", 1.0}});
  CHECK(monro[2] == Approx(lr / 8).epsilon(1e-12));

  // The same in epochs, of five steps.
  CHECK(rates({{"schedule", "step"},
               {"schedule_unit", "epoch"},
               {"schedule_step_size", 1},
               {"schedule_gamma", 0.5}}) == std::vector<double>{lr, lr / 2, lr / 4});
  const auto slow = rates({{"schedule", "robbins_monro"},
                           {"schedule_unit", "epoch"},
                           {"schedule_tau", 2.0},
                           {"schedule_power", 1.0}});
  CHECK(slow[2] == Approx(lr / 2.4).epsilon(1e-12));
  CHECK(rates({{"schedule", "cosine"}, {"schedule_unit", "epoch"}}) == cosine);
  CHECK(rates({{"schedule", "cosine"}, {"schedule_unit", "epoch"}, {"schedule_total_steps", 2}}) ==
        rates({{"schedule", "cosine"}, {"schedule_total_steps", 10}}));
  const auto warm = rates({{"warmup", 10}});
  CHECK(warm[0] == Approx(lr * 0.5).epsilon(1e-12));
  CHECK(warm[1] == lr);
}

TEST_CASE("training run: evaluation gives the figures of the last epoch to the last bit") {
  const TinyData data;
  const TempDirectory folder;
  for (const char* loss : {"mse", "qmse", "qmse_expected", "cross_entropy"}) {
    CAPTURE(loss);
    Json given = data.settings(folder / loss);
    given["loss"] = loss;
    train(given);
    const auto last = json_lines(folder / loss / "metrics.jsonl").back();
    for (const char* file : {"model.safetensors", "checkpoint.safetensors", ""}) {
      // The weights know the loss.
      const EvaluationReport report =
          evaluate({.given = {{"data", data.root.path().string()}, {"device", "cpu"}},
                    .weights = folder / loss / file});
      CHECK(report.loss == loss);
      CHECK(report.dataset == "mnist");
      CHECK(report.difference == "");
      CHECK(report.no_prediction == 0);
      CHECK(report.scores.loss == last["test_loss"].get<double>());
      CHECK(report.scores.residual_sq == last["test_residual_sq"].get<double>());
      CHECK(report.scores.accuracy == last["test_accuracy"].get<double>());
      std::int64_t diagonal = 0, all = 0;
      for (std::size_t i = 0; i < 10; ++i) {
        std::int64_t row = 0;
        for (std::size_t j = 0; j < 10; ++j) row += report.confusion[i][j];
        all += row;
        diagonal += report.confusion[i][i];
        const double own = static_cast<double>(report.confusion[i][i]);
        CHECK(report.per_class_accuracy[i] == (row == 0 ? 0.0 : own / static_cast<double>(row)));
      }
      CHECK(all == TinyData::kTest);
      CHECK(static_cast<double>(diagonal) / TinyData::kTest == report.scores.accuracy);
    }
  }
}

TEST_CASE("training run: weights of another run are the start of --init-from") {
  const TinyData data;
  const TempDirectory folder;
  train(data.settings(folder / "first"));
  Json given = data.settings(folder / "second");
  given["init_from"] = (folder / "first/model.safetensors").string();
  given["lr"] = 0.0;
  train(given);
  CHECK(read_bytes(folder / "second/model.safetensors") == read_bytes(folder / "first/model.safetensors"));

  // A run directory stands for its final weights, a checkpoint for those
  // within; the record says which they are.
  const std::string sha256 = json_lines(folder / "first/metrics.jsonl").back()["weights_sha256"];
  for (const char* source : {"first", "first/model.safetensors", "first/checkpoint.safetensors"}) {
    CAPTURE(source);
    std::filesystem::remove_all(folder / "second");
    given["init_from"] = (folder / source).string();
    train(given);
    CHECK(json_lines(folder / "second/metrics.jsonl").back()["weights_sha256"] == sha256);
    CHECK(nlohmann::json::parse(read_bytes(folder / "second/environment.json"))["init_from"]["sha256"] ==
          sha256);
  }

  Json other = data.settings(folder / "third");
  other["init_from"] = (folder / "first/model.safetensors").string();
  other["fc_width"] = 9;
  CHECK(missing(message_of<ShapeError>([&] { train(other); }), {"model.safetensors", "fc1.weight"}) == "");
  other["init_from"] = (folder / "nothing").string();
  CHECK(missing(message_of<IoError>([&] { train(other); }), {"nothing"}) == "");
  CHECK_FALSE(std::filesystem::exists(folder / "third"));
}

// Two pictures that are the same, of two classes, and outputs (1/2, 1/2): a quarter of Rademacher's v cancel.
TEST_CASE(
    "training run: steps with a zero gradient are counted, and v is drawn again where that is asked for") {
  const TempDirectory folder;
  for (const char* split : {"train", "test"}) {
    for (const char* name : {"a", "b"}) {
      std::filesystem::create_directories(folder / "data" / split / name);
      const Picture black{1, 2, 2, {0, 0, 0, 0}};
      write_bytes(folder / "data" / split / name / "0.pgm", pnm_bytes(black));
    }
  }
  Json given = {{"dataset", "folder"},
                {"data", (folder / "data").string()},
                {"model", "mlp"},
                {"mlp_widths", Json::array()},
                {"device", "cpu"},
                {"threads", 1},
                {"batch_size", 2},
                {"epochs", 1},
                {"lr", 0.0},
                {"loss", "qmse"},
                {"v_distribution", "rademacher"},
                {"normalize", "unit"}};
  given["out"] = (folder / "first").string();
  train(given);
  const SafetensorsFile first(folder / "first/model.safetensors");
  const std::vector<float> weight(8, 0.0f), bias(2, 0.5f);
  const std::vector<TensorToWrite> tensors = {{"fc1.weight", DType::f32, {2, 4}, weight.data()},
                                              {"fc1.bias", DType::f32, {2}, bias.data()}};
  write_safetensors(folder / "half", tensors, first.metadata());
  given["init_from"] = (folder / "half").string();
  given["epochs"] = 60;
  std::int64_t null_steps = 0, redraws = 0;
  for (const int resample : {0, 50}) {
    CAPTURE(resample);
    given["v_resample"] = resample;
    given["out"] = (folder / std::to_string(resample)).string();
    train(given);
    null_steps = redraws = 0;
    for (const auto& line : json_lines(folder / std::to_string(resample) / "metrics.jsonl")) {
      null_steps += line["null_steps"].get<std::int64_t>();
      CHECK(line.contains("v_redraws") == (resample > 0));
      if (resample > 0) redraws += line["v_redraws"].get<std::int64_t>();
    }
    CHECK((null_steps > 3) == (resample == 0));  // 15 are expected
    CHECK((null_steps == 0) == (resample > 0));
  }
  CHECK(redraws > 3);
  given["loss"] = "mse";
  given.erase("v_distribution");
  given["out"] = (folder / "mse").string();
  CHECK(missing(message_of<ConfigError>([&] { train(given); }),
                {"--v-resample has no effect with --loss mse", "--loss qmse or mse_noise"}) == "");
}

TEST_CASE("training run: a loss that is not finite stops the run and names the layer") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run");
  given["lr"] = 1e30;
  const std::string message = message_of<NumericError>([&] { train(given); });
  CHECK(missing(message, {"not finite at step ", "(epoch 1)", "first layer", "--on-nan continue"}) == "");
  // Some activation overflows before the loss does.
  const bool named = message.find("'conv") != std::string::npos || message.find("'fc") != std::string::npos;
  CAPTURE(message);
  CHECK(named);
  CHECK_FALSE(std::filesystem::exists(folder / "run/model.safetensors"));
  CHECK(read_bytes(folder / "run/metrics.jsonl").empty());

  given["out"] = (folder / "on").string();
  given["on_nan"] = "continue";
  std::vector<std::string> notices;
  CHECK(train(given, {.notice = [&](const std::string& text) { notices.push_back(text); }}) ==
        TrainingOutcome::finished);
  const auto lines = json_lines(folder / "on/metrics.jsonl");
  REQUIRE(lines.size() == 3);
  CHECK(lines[0]["train_loss"].is_null());
  std::int64_t warnings = 0;
  for (const std::string& text : notices) warnings += text.find("not finite") != std::string::npos;
  CHECK(warnings == 3);  // one an epoch
}

TEST_CASE(
    "training run: a last step that makes the weights non-finite stops the run, and no weights appear") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run", "mlp");
  given["batch_size"] = TinyData::kTrain;  // a step an epoch: its loss is that of the initial weights
  given["epochs"] = 1;
  given["lr"] = 1e39;  // beyond f32
  const std::string message = message_of<Diverged>([&] { train(given); });
  CHECK(missing(message, {"weights are not finite after step 1 (epoch 1)", "'fc", "--on-nan continue"}) ==
        "");
  CHECK_FALSE(std::filesystem::exists(folder / "run/model.safetensors"));
  CHECK(json_lines(folder / "run/metrics.jsonl").size() == 1);
  const RunOutcome outcome = read_outcome(folder / "run");
  CHECK(outcome.end == RunEnd::diverged);
  CHECK(outcome.step == 1);
  CHECK(outcome.layer.starts_with("fc"));
  given["resume"] = true;  // the same bits come to the same end
  CHECK(message_of<Diverged>([&] { train(given); }) == message);

  given.erase("resume");
  given["out"] = (folder / "on").string();
  given["on_nan"] = "continue";
  std::string said;
  CHECK(train(given, {.notice = [&](const std::string& text) { said += text; }}) ==
        TrainingOutcome::finished);
  CHECK(missing(said, {"weights are not finite after step 1"}) == "");
}

TEST_CASE("training run: one whose folder was removed stops, and leaves the run that took its place alone") {
  const TinyData data;
  const TempDirectory folder;
  const Json given = data.settings(folder / "run");
  train(data.settings(folder / "plain"));
  TrainingEvents events;
  events.epoch = [&](const EpochRecord& record, std::int64_t) {
    if (record.epoch != 1) return;
    std::filesystem::remove_all(folder / "run");
    train(given);
  };
  CHECK(missing(message_of<IoError>([&] { train(given, events); }), {"run'", "removed", "stops here"}) == "");
  for (const char* file : {"model.safetensors", "checkpoint.safetensors"}) {
    if (std::string(file) == "model.safetensors")
      CHECK(read_bytes(folder / "run" / file) == read_bytes(folder / "plain" / file));
    CHECK(std::filesystem::exists(folder / "run" / file));
  }
  CHECK(metrics_without_times(folder / "run") == metrics_without_times(folder / "plain"));
  CHECK(read_outcome(folder / "run").end == RunEnd::finished);

  // Removed, and nothing in its place: it makes none.
  events.epoch = [&](const EpochRecord&, std::int64_t) { std::filesystem::remove_all(folder / "gone"); };
  CHECK_THROWS_AS(train(data.settings(folder / "gone"), events), IoError);
  CHECK_FALSE(std::filesystem::exists(folder / "gone"));
}

TEST_CASE("training run: a file system without locks is said, and trained on") {
  const TinyData data;
  const TempDirectory folder;
  train(data.settings(folder / "plain"));
  std::string said;
  {
    const ScopedFault fault(Fault::no_locks);
    CHECK(train(data.settings(folder / "run"), {.notice = [&](const std::string& text) { said += text; }}) ==
          TrainingOutcome::finished);
  }
  CHECK(missing(said, {"run'", "no file locks", "second qmse"}) == "");
  CHECK(read_bytes(folder / "run/model.safetensors") == read_bytes(folder / "plain/model.safetensors"));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "run")) {
    CHECK(entry.path().extension() != ".tmp");
  }
}

TEST_CASE("training run: calls that signals interrupt are repeated") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "plain");
  given["log_steps"] = 1;
  train(given);
  given["out"] = (folder / "run").string();
  {
    const ScopedFault fault(Fault::interrupted);
    CHECK(train(given) == TrainingOutcome::finished);
  }
  for (const char* file : {"model.safetensors", "steps.jsonl"})
    CHECK(read_bytes(folder / "run" / file) == read_bytes(folder / "plain" / file));
}

TEST_CASE("training run: bad settings are refused before anything is written") {
  const TinyData data;
  const TempDirectory folder;
  const auto error = [&](const Json& changes) {
    Json given = data.settings(folder / "run");
    given.update(changes);
    const std::string message = message_of<ConfigError>([&] { train(given); });
    CHECK_FALSE(std::filesystem::exists(folder / "run"));
    return message;
  };
  CHECK(missing(error({{"out", ""}}), {"--out"}) == "");
  CHECK(missing(error({{"train_limit", TinyData::kTrain + 1}}), {std::to_string(TinyData::kTrain).c_str()}) ==
        "");
  CHECK(missing(error({{"device", "cuda:99"}}), {"GPU"}) == "");
  CHECK(missing(error({{"math", "tf32"}}), {"tf32"}) == "");
  Json tiny = data.settings(folder / "run");
  tiny["conv_channels"] = {2, 2, 2, 2};  // 8x8 images are gone after three poolings
  CHECK_THROWS_AS(train(tiny), ShapeError);
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("training run: bad data are refused and leave no run behind") {
  const TempDirectory folder;
  const auto attempt = [&](const TinyData& data) { train(data.settings(folder / "run")); };
  {
    const TinyData data;
    std::filesystem::remove_all(data.root / "mnist");
    CHECK(missing(message_of<IoError>([&] { attempt(data); }), {"mnist", "--data"}) == "");
  }
  {
    const TinyData data;
    write_idx_split(data.root / "mnist", "t10k", 10, 9, 1);
    CHECK(missing(message_of<DataError>([&] { attempt(data); }), {"[1, 8, 8]", "[1, 9, 9]"}) == "");
  }
  {
    const TinyData data;
    const auto file = data.root / "mnist/train-images-idx3-ubyte";
    write_bytes(file, read_bytes(file).substr(0, 500));
    CHECK(missing(message_of<DataError>([&] { attempt(data); }), {"train-images-idx3-ubyte"}) == "");
  }
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("training run: stopped while the data are read and checked, it leaves the directory as it was") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run");
  const TrainingEvents stopping = {.stop_loading = [] { return true; }};
  CHECK_THROWS_AS(TrainingRun(given, stopping), Stopped);
  CHECK_FALSE(std::filesystem::exists(folder / "run"));

  int asked = 0;
  train(given, {.stop = [&] { return ++asked == 7; }});
  const auto before = files(folder / "run");
  given["resume"] = true;
  CHECK_THROWS_AS(TrainingRun(given, stopping), Stopped);
  CHECK(files(folder / "run") == before);
  CHECK(train(given) == TrainingOutcome::finished);
}

TEST_CASE("training run: the time left is that of the steps to come, and of as many evaluations") {
  const TinyData data;
  const TempDirectory folder;
  std::vector<TrainingProgress> ends;  // of epochs: the last report of each
  TrainingEvents events;
  events.progress = [&](const TrainingProgress& progress) {
    if (progress.step == progress.steps) ends.push_back(progress);
  };
  REQUIRE(train(data.settings(folder / "run"), events) == TrainingOutcome::finished);
  REQUIRE(ends.size() >= 3);
  const auto epoch_seconds = [](const TrainingProgress& end) {
    return TinyData::kTrain / end.images_per_second;
  };
  // How long an evaluation takes is not known yet.
  CHECK(ends.front().seconds_left == Approx(2 * epoch_seconds(ends.front())));
  const auto records = json_lines(folder / "run/metrics.jsonl");
  const double evaluation =
      records[1]["seconds"].get<double>() - TinyData::kTrain / records[1]["images_per_second"].get<double>();
  CHECK(ends.back().seconds_left == Approx(evaluation));
}

TEST_CASE("training run: seeds that differ only above bit 32 are other seeds, each of them") {
  const TinyData data;
  const TempDirectory folder;
  for (const std::string key : {"seed", "seed_init", "seed_data", "seed_v"}) {
    CAPTURE(key);
    std::vector<std::string> metrics;
    for (const std::uint64_t seed : {std::uint64_t{1}, std::uint64_t{1} + (std::uint64_t{1} << 32)}) {
      Json given = data.settings(folder / (key + std::to_string(seed)));
      given["epochs"] = 1;
      given[key] = seed;
      train(given);
      metrics.push_back(metrics_without_times(given["out"].get<std::string>()));
    }
    CHECK(metrics[0] != metrics[1]);
  }
}
