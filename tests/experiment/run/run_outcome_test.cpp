#include "experiment/run/run_outcome.h"
#include "experiment/run/checkpoint.h"

#include "experiment/run/run_record.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

namespace {

TrainingEvents stop_after(int steps) {
  return {.stop = [steps, asked = 0]() mutable { return ++asked == steps; }};
}

Json resumed(Json given) {
  given["resume"] = true;
  return given;
}

}  // namespace

TEST_CASE("run outcome: a run records whether it was stopped and whether it finished") {
  const TinyData data;
  const TempDirectory folder;
  const Json given = data.settings(folder / "run");
  train(given, stop_after(7));
  const RunOutcome stopped = read_run(folder / "run").outcome;
  CHECK(stopped.end == RunEnd::stopped);
  CHECK(stopped.epoch == 2);
  const SafetensorsFile checkpoint(folder / "run/checkpoint.safetensors");
  CHECK(stopped.step == static_cast<std::int64_t>(read_position(checkpoint).counter.step));
  CHECK(stopped.step > TinyData::kSteps);
  {
    const TrainingRun run(resumed(given), {});  // going on again
    CHECK(read_run(folder / "run").outcome.end == RunEnd::none);
  }
  train(resumed(given));
  const RunRecord run = read_run(folder / "run");
  CHECK(run.outcome.end == RunEnd::finished);
  CHECK(run.outcome.epoch == 3);
  CHECK(run.outcome.step == 3 * TinyData::kSteps);
  CHECK(run.finished);
}

TEST_CASE("run outcome: a diverged run records step, epoch and layer, and its epochs stay readable") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run", "mlp");
  given["schedule"] = "step";  // two quiet epochs, then rates that overflow
  given["lr"] = 1e-3;
  given["epochs"] = 8;
  given["momentum"] = 0.0;
  given["init"] = "pytorch";
  given["loss"] = "mse";
  given["lr"] = 40.0;
  const std::string message = message_of<Diverged>([&] { train(given); });
  const RunRecord run = read_run(folder / "run");
  CHECK(run.outcome.end == RunEnd::diverged);
  CHECK(run.outcome.reason == message);
  CHECK(missing(message, {("at step " + std::to_string(run.outcome.step) + " ").c_str(),
                          ("(epoch " + std::to_string(run.outcome.epoch) + ")").c_str()}) == "");
  CHECK(run.outcome.epoch == (run.outcome.step + TinyData::kSteps - 1) / TinyData::kSteps);
  CHECK(missing(message, {run.outcome.layer.c_str()}) == "");
  CHECK_FALSE(run.outcome.layer.empty());
  CHECK(static_cast<std::int64_t>(run.epochs.size()) == run.outcome.epoch - 1);
  CHECK_FALSE(run.finished);
}

TEST_CASE("run outcome: a failure keeps its reason, and a kill none") {
  const TinyData data;
  const TempDirectory folder;
  const Json given = data.settings(folder / "run");
  CHECK_THROWS_AS(train(given, {.epoch =
                                    [](const EpochRecord& record, std::int64_t) {
                                      if (record.epoch == 2) throw IoError("the disk is gone");
                                    }}),
                  IoError);
  const RunOutcome failed = read_run(folder / "run").outcome;
  CHECK(failed.end == RunEnd::failed);
  CHECK(failed.reason == "the disk is gone");
  CHECK(failed.epoch == 2);
  CHECK(failed.step == 2 * TinyData::kSteps);

  struct Killed {};  // no std::exception: it leaves the directory as a kill would
  CHECK_THROWS_AS(train(resumed(given), {.stop = []() -> bool { throw Killed{}; }}), Killed);
  CHECK(read_run(folder / "run").outcome.end == RunEnd::none);
}

TEST_CASE("run outcome: nothing is finished without final weights, and an empty file is none") {
  const TempDirectory folder;
  write_run(folder / "run", {}, {0.5, 0.6});
  CHECK(read_run(folder / "run").finished);
  for (const bool recorded : {true, false}) {  // false: a run of a qmse that recorded no outcomes
    CAPTURE(recorded);
    if (!recorded) std::filesystem::remove(folder / "run/outcome.json");
    write_bytes(folder / "run/model.safetensors", "weights");
    CHECK(read_outcome(folder / "run").end == RunEnd::finished);
    write_bytes(folder / "run/model.safetensors", "");
    CHECK(read_outcome(folder / "run").end == RunEnd::none);
    CHECK_FALSE(read_run(folder / "run").finished);
    std::filesystem::remove(folder / "run/model.safetensors");
    CHECK(read_outcome(folder / "run").end == RunEnd::none);
  }
}

TEST_CASE("run outcome: every end is read back, and a damaged record is a DataError with its name") {
  const TempDirectory folder;
  for (const RunEnd end : {RunEnd::none, RunEnd::stopped, RunEnd::diverged, RunEnd::failed}) {
    write_outcome(folder.path(), {end, 3, 1204, "fc1", "a reason"});
    const RunOutcome outcome = read_outcome(folder.path());
    CHECK(outcome.end == end);
    CHECK(outcome.epoch == 3);
    CHECK(outcome.step == 1204);
    CHECK(outcome.layer == "fc1");
    CHECK(outcome.reason == "a reason");
  }
  for (const char* bad : {"", "[]", "{}", "null", R"({"end": "finished"})",
                          R"({"end": "lost", "epoch": 1, "step": 1, "layer": "", "reason": ""})",
                          R"({"end": "stopped", "epoch": 1.5, "step": 1, "layer": "", "reason": ""})",
                          R"({"end": "stopped", "epoch": 1, "step": 1, "layer": null, "reason": ""})"}) {
    CAPTURE(bad);
    write_bytes(folder / "outcome.json", bad);
    CHECK(missing(message_of<DataError>([&] { read_outcome(folder.path()); }),
                  {"outcome.json", "remove it"}) == "");
  }
}

TEST_CASE("run outcome: a run that does not begin leaves no record, and the one that is there as it was") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run");
  Json wrong = given;
  wrong["train_limit"] = TinyData::kTrain + 1;
  CHECK_THROWS_AS(train(wrong), ConfigError);
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
  std::filesystem::create_directory(folder / "run");  // one that was there stays, as empty as it was
  CHECK_THROWS_AS(train(wrong), ConfigError);
  CHECK(files(folder / "run").empty());

  train(given, stop_after(7));
  const auto before = files(folder / "run");
  const std::filesystem::path images = data.root / "mnist/train-images-idx3-ubyte";
  const std::string good = read_bytes(images);
  std::string other = good;
  other[100] = static_cast<char>(other[100] ^ 0x40);
  for (const std::string& bytes : {good.substr(0, 50), other}) {
    write_bytes(images, bytes);
    CHECK_THROWS_AS(train(resumed(given)), DataError);
    CHECK(files(folder / "run") == before);
  }
  write_bytes(images, good);
  const std::string metrics = read_bytes(folder / "run/metrics.jsonl");
  write_bytes(folder / "run/metrics.jsonl", "");
  CHECK_THROWS_AS(train(resumed(given)), DataError);
  CHECK(read_run(folder / "run").outcome.end == RunEnd::stopped);
  write_bytes(folder / "run/metrics.jsonl", metrics);
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
}

TEST_CASE("run outcome: a run whose first records cannot be written has failed") {
  const TinyData data;
  const TempDirectory folder;
  const Json given = data.settings(folder / "run");
  train(given, stop_after(7));
  std::filesystem::create_directories(folder / "run/environment.json.tmp/in the way");
  const std::string message = message_of<IoError>([&] { train(resumed(given)); });
  const RunOutcome outcome = read_run(folder / "run").outcome;
  CHECK(outcome.end == RunEnd::failed);
  CHECK(outcome.reason == message);
  CHECK(outcome.epoch == 2);
  std::filesystem::remove_all(folder / "run/environment.json.tmp");
  CHECK(train(resumed(given)) == TrainingOutcome::finished);
}
