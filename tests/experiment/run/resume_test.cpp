// A run that is stopped or killed at any step and resumed is bit for bit the run that was not.
#include <fstream>
#include <map>

#include "base/error.h"
#include "experiment/run/checkpoint.h"
#include "experiment/run/run_directory.h"
#include "experiment/run/run_outcome.h"
#include "experiment/run/weights_source.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Everything of a run that must not depend on interruptions.
std::map<std::string, std::string> content(const std::filesystem::path& run) {
  std::map<std::string, std::string> files = {{"metrics", metrics_without_times(run)}};
  for (const char* name : {"model.safetensors", "steps.jsonl", "snapshots/epoch-0001.safetensors",
                           "snapshots/epoch-0002.safetensors", "snapshots/epoch-0003.safetensors"}) {
    if (std::filesystem::exists(run / name)) files[name] = read_bytes(run / name);
  }
  return files;
}

struct Killed {};

Json logged(Json given) {
  given["log_steps"] = 1;
  given["snapshot_every"] = 1;
  given["evaluate_train"] = true;
  return given;
}

Json resumed(Json given) {
  given["resume"] = true;
  return given;
}

}  // namespace

TEST_CASE("resume: after a stop at any step, for every optimizer and model") {
  const TinyData data;
  for (const char* optimizer : {"sgd", "adam", "rmsprop"}) {
    const std::string model = std::string(optimizer) == "sgd" ? "cnn" : "mlp";
    const TempDirectory folder;
    Json given = logged(data.settings(folder / "whole", model));
    given["optimizer"] = optimizer;
    if (std::string(optimizer) == "rmsprop")
      given.update({{"rmsprop_momentum", 0.5}, {"rmsprop_centered", true}});
    given["schedule"] = "cosine";
    train(given);
    const auto expected = content(folder / "whole");
    REQUIRE(expected.size() == 6);
    // events.stop is asked after each step and, in evaluations, after each batch: 15 steps, 3 evaluations of
    // two data sets.
    bool finished = false;
    for (int patience = 1; !finished; ++patience) {
      CAPTURE(optimizer, patience);
      const std::filesystem::path out = folder / ("stopped-" + std::to_string(patience));
      given["out"] = out.string();
      int asked = 0;
      const TrainingOutcome first = train(given, {.stop = [&] { return ++asked == patience; }});
      finished = first == TrainingOutcome::finished;
      if (!finished) CHECK_FALSE(std::filesystem::exists(out / "model.safetensors"));
      CHECK(train(resumed(given)) ==
            (finished ? TrainingOutcome::already_finished : TrainingOutcome::finished));
      CHECK(content(out) == expected);
      REQUIRE(patience < 100);
    }
  }
}

TEST_CASE("resume: stopped again and again, on changing numbers of threads") {
  const TinyData data;
  const TempDirectory folder;
  Json given = logged(data.settings(folder / "whole"));
  train(given);
  const auto expected = content(folder / "whole");
  given["out"] = (folder / "pieces").string();
  TrainingOutcome outcome = TrainingOutcome::stopped;
  for (int part = 0; outcome == TrainingOutcome::stopped; ++part) {
    given["threads"] = 1 + part % 3;
    int asked = 0;  // not 1: a stop inside each evaluation would never get past it
    outcome = train(part == 0 ? given : resumed(given), {.stop = [&] { return ++asked == 3; }});
    REQUIRE(part < 100);
  }
  CHECK(content(folder / "pieces") == expected);
  const auto environment = nlohmann::json::parse(read_bytes(folder / "pieces/environment.json"));
  CHECK(environment["resumed"].size() > 5);
  CHECK(environment["resumed"][1]["threads"] == 3);
}

TEST_CASE("resume: after a kill between checkpoints, which lose at most the work since the last one") {
  const TinyData data;
  const TempDirectory folder;
  for (const int every : {0, 2}) {
    Json given = logged(data.settings(folder / ("whole-" + std::to_string(every))));
    given["checkpoint_every"] = every;
    train(given);
    const auto expected = content(folder / ("whole-" + std::to_string(every)));
    for (int patience = 1; patience <= 18; ++patience) {
      CAPTURE(every, patience);
      const std::filesystem::path out =
          folder / ("killed-" + std::to_string(every) + "-" + std::to_string(patience));
      given["out"] = out.string();
      int asked = 0;
      try {  // an exception out of the callback leaves the directory as a kill would
        train(given, {.stop = [&]() -> bool {
                if (++asked == patience) throw Killed{};
                return false;
              }});
        FAIL("not killed");
      } catch (const Killed&) {
      }
      // A kill may also leave half a line.
      std::ofstream(out / "metrics.jsonl", std::ios::app) << "{\"epoch\":";
      std::ofstream(out / "steps.jsonl", std::ios::app) << "{\"step\":99999}\n{\"st";
      CHECK(train(resumed(given)) == TrainingOutcome::finished);
      CHECK(content(out) == expected);
    }
  }
}

TEST_CASE("resume: a checkpoint within an epoch has the time that the epoch took up to there") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run", "mlp");
  given["checkpoint_every"] = 1;
  int asked = 0;
  CHECK_THROWS_AS(train(given, {.stop = [&]() -> bool {
                          if (++asked == 3) throw Killed{};
                          return false;
                        }}),
                  Killed);
  const TrainingPosition position = read_position(SafetensorsFile(folder / "run/checkpoint.safetensors"));
  REQUIRE(position.counter.index > 0);
  CHECK(position.step_seconds > 0);
  CHECK(position.seconds >= position.step_seconds);
}

TEST_CASE("resume: more epochs give the run that was longer from the start") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "long");
  given["epochs"] = 5;
  train(given);
  given["out"] = (folder / "grown").string();
  given["epochs"] = 2;
  train(given);
  given["epochs"] = 5;
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
  CHECK(content(folder / "grown") == content(folder / "long"));
  CHECK(nlohmann::json::parse(read_bytes(folder / "grown/config.json"))["epochs"] == 5);
  given["epochs"] = 4;
  CHECK(missing(message_of<ConfigError>([&] { train(resumed(given)); }),
                {"--epochs is 4", "through epoch 5"}) == "");
}

TEST_CASE("resume: a finished run is left alone, even where its data are gone") {
  const TempDirectory folder;
  Json given;
  {
    const TinyData data;
    given = data.settings(folder / "run");
    train(given);
  }
  std::map<std::string, std::string> before, after;
  const auto read_all = [&](std::map<std::string, std::string>& files) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
      if (entry.is_regular_file() && entry.path().filename() != ".lock") {
        files[entry.path().string()] = read_bytes(entry.path());
      }
    }
  };
  read_all(before);
  CHECK(train(resumed(given)) == TrainingOutcome::already_finished);
  CHECK(train({{"out", given["out"]}, {"resume", true}}) == TrainingOutcome::already_finished);
  read_all(after);
  CHECK(before == after);
}

TEST_CASE("resume: settings that are not given are the recorded ones, those given must agree") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run");
  given["lr"] = 0.02;
  given["seed"] = 4;
  int asked = 0;
  train(given, {.stop = [&] { return ++asked == 7; }});
  {
    TrainingRun run({{"out", given["out"]}, {"resume", true}}, {});
    CHECK(run.config().lr == 0.02);
    CHECK(run.config().seed_v == 4u);
    CHECK(missing(message_of<IoError>([&] { train(resumed(given)); }), {"another qmse"}) == "");
    CHECK(run.run() == TrainingOutcome::finished);
  }

  Json other = resumed(given);
  other["lr"] = 0.03;
  other["loss"] = "mse";
  other["seed"] = 5;
  other["threads"] = 1;
  CHECK(missing(message_of<ConfigError>([&] { train(other); }),
                {"cannot resume", "--lr is 0.03, was 0.02", "--loss is \"mse\", was \"qmse\"",
                 "--seed is 5, was 4"}) == "");
  CHECK(missing(message_of<ConfigError>([&] { train(other); }), {"--threads"}) != "");
  CHECK(missing(message_of<ConfigError>([&] { train(given); }), {"already holds a run", "--resume"}) == "");
}

TEST_CASE("resume: without a run there it is an error, and --resume-or-start starts one") {
  const TinyData data;
  const TempDirectory folder;
  CHECK(missing(message_of<ConfigError>([&] { train(resumed(data.settings(folder / "new"))); }),
                {"new' holds no run", "--resume-or-start"}) == "");
  CHECK_FALSE(std::filesystem::exists(folder / "new"));
  Json either = data.settings(folder / "new");
  either["resume_or_start"] = true;
  CHECK(train(either) == TrainingOutcome::finished);
  CHECK(train(either) == TrainingOutcome::already_finished);
  either["epochs"] = 4;
  CHECK(train(either) == TrainingOutcome::finished);
  CHECK(json_lines(folder / "new/metrics.jsonl").size() == 4);
  std::filesystem::remove_all(folder / "new");
  either["epochs"] = 3;
  train(either);
  CHECK(missing(message_of<ConfigError>([&] { train(resumed(either)); }), {"exclude each other"}) == "");
  train(data.settings(folder / "plain"));
  CHECK(content(folder / "new") == content(folder / "plain"));

  // Killed before the first checkpoint: only the settings are there.
  Json given = data.settings(folder / "early");
  try {
    train(given, {.stop = []() -> bool { throw Killed{}; }});
    FAIL("not killed");
  } catch (const Killed&) {
  }
  CHECK_FALSE(std::filesystem::exists(folder / "early/checkpoint.safetensors"));
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
  CHECK(content(folder / "early") == content(folder / "plain"));
}

TEST_CASE("resume: damaged files and changed data are refused with their names") {
  const TinyData data;
  const TempDirectory folder;
  const Json given = data.settings(folder / "run");
  const auto stopped = [&] {
    std::filesystem::remove_all(folder / "run");
    int asked = 0;
    train(given, {.stop = [&] { return ++asked == 9; }});
  };
  stopped();
  const std::filesystem::path checkpoint = folder / "run/checkpoint.safetensors";
  const std::string good = read_bytes(checkpoint);
  write_bytes(checkpoint, good.substr(0, good.size() / 2));
  CHECK(missing(message_of<DataError>([&] { train(resumed(given)); }), {"checkpoint.safetensors"}) == "");
  write_bytes(checkpoint, good);
  write_bytes(folder / "run/metrics.jsonl", "");
  CHECK(missing(message_of<DataError>([&] { train(resumed(given)); }), {"metrics.jsonl", "0 epochs"}) == "");

  stopped();
  write_mnist(data.root.path(), TinyData::kTrain + 30, TinyData::kTest);
  CHECK(missing(message_of<DataError>([&] { train(resumed(given)); }),
                {"checkpoint.safetensors", "images have changed"}) == "");
}

TEST_CASE("resume: a checkpoint of another training, or settings changed by hand, join no two trainings") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run", "mlp"), other = data.settings(folder / "other", "mlp");
  other.update({{"seed", 2}, {"lr", 0.05}});
  train(given);
  train(other);
  const std::filesystem::path checkpoint = folder / "run/checkpoint.safetensors";
  const std::string good = read_bytes(checkpoint);
  write_bytes(checkpoint, read_bytes(folder / "other/checkpoint.safetensors"));
  const auto before = files(folder / "run");
  given["epochs"] = 5;
  CHECK(missing(message_of<DataError>([&] { train(resumed(given)); }),
                {"checkpoint.safetensors", "--lr is 0.01, was 0.05", "--seed is 1, was 2"}) == "");
  CHECK(files(folder / "run") == before);
  write_bytes(checkpoint, good);

  const std::string config = read_bytes(folder / "run/config.json");
  std::string edited = config;
  edited.replace(edited.find("\"seed\": 1"), 9, "\"seed\": 7");
  write_bytes(folder / "run/config.json", edited);
  given = {{"out", (folder / "run").string()}, {"epochs", 5}};
  CHECK(missing(message_of<DataError>([&] { train(resumed(given)); }), {"--seed is 7, was 1"}) == "");
  write_bytes(folder / "run/config.json", config);
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
}

TEST_CASE("resume: final weights that are not those the run recorded are refused, and written again") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run", "mlp");
  given.update({{"validation", 10}, {"keep_best", true}});
  train(given);
  const std::filesystem::path model = folder / "run/model.safetensors",
                              best = folder / "run/best.safetensors";
  const std::string good = read_bytes(model);
  for (const std::filesystem::path& file : {model, best}) {
    std::string bytes = read_bytes(file);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);  // of the last tensor's last element
    write_bytes(file, bytes);
  }
  for (const std::filesystem::path& named : {folder / "run", model, best}) {
    INFO(named);
    CHECK(missing(message_of<DataError>([&] { find_weights(named); }),
                  {"safetensors", "damaged or replaced"}) == "");
  }
  CHECK(missing(message_of<DataError>([&] { train(resumed(given)); }), {"model.safetensors"}) == "");
  // Elsewhere they are anybody's weights.
  std::filesystem::copy_file(model, folder / "model.safetensors");
  CHECK(find_weights(folder / "model.safetensors").file == folder / "model.safetensors");
  const std::string what = message_of<DataError>([&] { find_weights(model); });
  CHECK(what.find("writes it again") != std::string::npos);
  std::filesystem::rename(folder / "run/checkpoint.safetensors", folder / "kept");
  CHECK(message_of<DataError>([&] { find_weights(model); }).find("writes it again") == std::string::npos);
  std::filesystem::rename(folder / "kept", folder / "run/checkpoint.safetensors");
  std::filesystem::remove(model);
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
  CHECK(read_bytes(model) == good);
  write_bytes(folder / "run/environment.json", "no JSON");  // which weights do not need
  CHECK(find_weights(folder / "run").file == model);
}

TEST_CASE("resume: first weights that were replaced since are others, whatever their own run says of them") {
  const TinyData data;
  const TempDirectory folder;
  train(data.settings(folder / "first", "mlp"));
  Json given = data.settings(folder / "run", "mlp");
  given["init_from"] = (folder / "first").string();
  train(given);
  std::string bytes = read_bytes(folder / "first/model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_bytes(folder / "first/model.safetensors", bytes);
  given["epochs"] = 4;
  CHECK(missing(message_of<ConfigError>([&] { train(resumed(given)); }), {"other weights than those"}) == "");
  given["out"] = (folder / "another").string();
  CHECK(missing(message_of<DataError>([&] { train(given); }), {"damaged or replaced"}) == "");
}

TEST_CASE("resume: settings of another device are no difference") {
  TrainConfig gpu, cpu;
  apply_layer(gpu, {{"device", "cuda"}, {"kernels", "library"}, {"workspace_mib", 512}});
  apply_layer(cpu, {{"device", "cpu"}});
  CHECK(resume_conflicts(cpu, gpu).empty());
  TrainConfig other = gpu;
  apply_layer(other, {{"kernels", "auto"}});
  CHECK(resume_conflicts(other, gpu).size() == 1);
}

TEST_CASE("resume: what the images are counts, and not where they lie") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "whole");
  train(given);
  const auto stopped = [&] {
    std::filesystem::remove_all(folder / "run");
    given["out"] = (folder / "run").string();
    given["data"] = data.root.path().string();
    int asked = 0;
    REQUIRE(train(given, {.stop = [&] { return ++asked == 7; }}) == TrainingOutcome::stopped);
  };
  stopped();
  const TempDirectory elsewhere;
  std::filesystem::copy(data.root.path(), elsewhere.path(), std::filesystem::copy_options::recursive);
  given["data"] = elsewhere.path().string();
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
  CHECK(content(folder / "run") == content(folder / "whole"));
  CHECK(nlohmann::json::parse(read_bytes(folder / "run/config.json"))["data"] == elsewhere.path().string());

  // One pixel of a test image, and one of a training image, under the same path.
  for (const char* file : {"t10k-images-idx3-ubyte", "train-images-idx3-ubyte"}) {
    CAPTURE(file);
    stopped();
    const std::string checkpoint = read_bytes(folder / "run/checkpoint.safetensors");
    const std::string metrics = read_bytes(folder / "run/metrics.jsonl");
    const std::filesystem::path path = data.root / "mnist" / file;
    const std::string good = read_bytes(path);
    std::string other = good;
    other[100] = static_cast<char>(other[100] ^ 0x40);
    write_bytes(path, other);
    CHECK(missing(message_of<DataError>([&] { train(resumed(given)); }),
                  {"images in", "have changed", "--data"}) == "");
    CHECK(read_bytes(folder / "run/checkpoint.safetensors") == checkpoint);
    CHECK(read_bytes(folder / "run/metrics.jsonl") == metrics);
    write_bytes(path, good);
    CHECK(train(resumed(given)) == TrainingOutcome::finished);
    CHECK(content(folder / "run") == content(folder / "whole"));
  }
}

TEST_CASE("resume: first weights of the same content under another path are the same") {
  const TinyData data;
  const TempDirectory folder;
  train(data.settings(folder / "first"));
  Json given = data.settings(folder / "run");
  given["init_from"] = (folder / "first/model.safetensors").string();
  int asked = 0;
  train(given, {.stop = [&] { return ++asked == 7; }});
  std::filesystem::copy(folder / "first/model.safetensors", folder / "copy");
  write_bytes(folder / "other", "other weights");
  given["init_from"] = (folder / "other").string();
  CHECK(missing(message_of<ConfigError>([&] { train(resumed(given)); }),
                {"--init-from", "other", "first/model.safetensors"}) == "");
  // Other weights in the same place are others, and the same ones anywhere are
  // the same: the record has their hash.
  Json longer = data.settings(folder / "first");
  longer["epochs"] = 4;
  train(resumed(longer));
  given["init_from"] = (folder / "first/model.safetensors").string();
  CHECK(missing(message_of<ConfigError>([&] { train(resumed(given)); }),
                {"--init-from", "other weights than those the run began with"}) == "");
  std::filesystem::remove_all(folder / "first");
  given["init_from"] = (folder / "copy").string();
  CHECK(train(resumed(given), {.stop = [&, asked = 0]() mutable { return ++asked == 1; }}) ==
        TrainingOutcome::stopped);
  // What it began with is needed no more.
  std::filesystem::remove(folder / "copy");
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
  given.erase("init_from");
  given["epochs"] = 4;
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
}

TEST_CASE("resume: a finished run whose checkpoint was taken away keeps its metrics") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run");
  train(given);
  const auto before = content(folder / "run");
  std::filesystem::remove(folder / "run/checkpoint.safetensors");
  CHECK(train(resumed(given)) == TrainingOutcome::already_finished);
  CHECK(content(folder / "run") == before);
  given["epochs"] = 5;
  CHECK(missing(message_of<ConfigError>([&] { train(resumed(given)); }),
                {"run' has the metrics of 3 epochs", "checkpoint.safetensors", "--init-from"}) == "");
  CHECK(content(folder / "run") == before);
  std::filesystem::remove(folder / "run/model.safetensors");
  const std::string metrics = read_bytes(folder / "run/metrics.jsonl");
  CHECK(missing(message_of<ConfigError>([&] { train(resumed(given)); }), {"metrics of 3 epochs"}) == "");
  CHECK(read_bytes(folder / "run/metrics.jsonl") == metrics);
}

TEST_CASE("resume: a run extended, stopped, and cut back to what it has is finished there") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run");
  train(given);
  const auto before = content(folder / "run");
  given["epochs"] = 5;
  int asked = 0;
  train(resumed(given), {.stop = [&] { return ++asked == 1; }});
  given["epochs"] = 3;
  CHECK(missing(message_of<ConfigError>([&] { train(resumed(given)); }), {"in epoch 4"}) == "");
  given["epochs"] = 4;
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
  CHECK(content(folder / "run")["model.safetensors"] != before.at("model.safetensors"));
}

TEST_CASE("resume: weights without their step, as earlier ones, are written again from the checkpoint") {
  const TinyData data;
  const TempDirectory folder;
  const Json given = data.settings(folder / "run");
  train(given);
  const std::filesystem::path model = folder / "run/model.safetensors";
  const std::string good = read_bytes(model);
  std::string bytes = good;
  const std::size_t key = bytes.find("qmse.step");
  REQUIRE(key != std::string::npos);
  bytes.replace(key, 9, "qmse.seed");  // a key that nobody reads
  write_bytes(model, bytes);
  std::filesystem::remove(folder / "run/outcome.json");
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
  CHECK(read_bytes(model) == good);
  CHECK(train(resumed(given)) == TrainingOutcome::already_finished);
}

TEST_CASE(
    "resume: a run whose cosine schedule ends with it is not made longer, one with steps of its own is") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run", "mlp");
  given["schedule"] = "cosine";
  train(given);
  const auto before = content(folder / "run");
  const std::string config = read_bytes(folder / "run/config.json");
  given["epochs"] = 5;
  CHECK(missing(message_of<ConfigError>([&] { train(resumed(given)); }),
                {"--epochs 5", "cosine", "3 epochs", "another --out"}) == "");
  CHECK(content(folder / "run") == before);
  CHECK(read_bytes(folder / "run/config.json") == config);
  CHECK(read_outcome(folder / "run").end == RunEnd::finished);

  given["schedule_total_steps"] = 5 * TinyData::kSteps;
  given["out"] = (folder / "long").string();
  train(given);
  given["out"] = (folder / "grown").string();
  given["epochs"] = 3;
  train(given);
  given["epochs"] = 5;
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
  CHECK(content(folder / "grown") == content(folder / "long"));
}
