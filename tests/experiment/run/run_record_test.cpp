#include "experiment/run/run_record.h"

#include "base/error.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/error_message.h"
#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("run record: a run that was trained is read back, and is finished only with all its epochs") {
  const TinyData data;
  const TempDirectory folder;
  REQUIRE(train(data.settings(folder / "run")) == TrainingOutcome::finished);
  const RunRecord run = read_run(folder / "run");
  CHECK(run.directory == folder / "run");
  CHECK(run.config["fc_width"] == 8);
  CHECK(run.environment.contains("device"));
  REQUIRE(run.epochs.size() == 3);
  CHECK(run.epochs[2]["epoch"] == 3);
  CHECK(run.epochs == json_lines(folder / "run/metrics.jsonl"));
  CHECK(run.finished);
  const Json images = run.environment["data"];
  CHECK(images["images"].dump() == R"({"train":70,"test":30,"shape":[1,8,8]})");
  CHECK(images["classes"].size() == 10);
  CHECK(trained_on(run.environment) == images["sha256"]);

  // Asked for more epochs than there are.
  Json config = run.config;
  config["epochs"] = 4;
  write_bytes(folder / "run/config.json", config.dump());
  CHECK_FALSE(read_run(folder / "run").finished);
  write_bytes(folder / "run/config.json", run.config.dump());
  CHECK(read_run(folder / "run").finished);
  std::filesystem::remove(folder / "run/model.safetensors");
  CHECK_FALSE(read_run(folder / "run").finished);
  std::filesystem::remove(folder / "run/environment.json");
  CHECK(read_run(folder / "run").environment == Json::object());
}

TEST_CASE("run record: a line that is being written is left out, a damaged one is a DataError") {
  const TempDirectory folder;
  write_run(folder / "run", {}, {0.5, 0.6});
  const std::string lines = read_bytes(folder / "run/metrics.jsonl");
  write_bytes(folder / "run/metrics.jsonl", lines + "{\"epoch\": 3, \"test_acc");
  CHECK(read_run(folder / "run").epochs.size() == 2);
  for (const char* bad : {"{\"epoch\":\n", "[]\n", "\n", "{\"step\": 1}\n", "{\"epoch\": \"3\"}\n"}) {
    CAPTURE(bad);
    write_bytes(folder / "run/metrics.jsonl", lines + bad);
    CHECK(missing(message_of<DataError>([&] { read_run(folder / "run"); }), {"metrics.jsonl", "line 3"}) ==
          "");
  }
  write_bytes(folder / "run/metrics.jsonl", lines);
  for (const char* bad : {"", "[1]", "{\"epochs\": \"2\"}", "{}", "{\"epochs\": "}) {
    CAPTURE(bad);
    write_bytes(folder / "run/config.json", bad);
    CHECK(missing(message_of<DataError>([&] { read_run(folder / "run"); }), {"config.json"}) == "");
  }
  std::filesystem::remove(folder / "run/config.json");
  CHECK(missing(message_of<IoError>([&] { read_run(folder / "run"); }), {"config.json"}) == "");
}

TEST_CASE("run record: runs are found at any depth, in path order, without following links") {
  const TempDirectory folder;
  for (const char* name : {"b/2", "b/10", "a", "c/d/e"}) write_run(folder / name, {}, {0.5});
  std::filesystem::create_directories(folder / "no-run");
  write_bytes(folder / "no-run/config.json", "{}");
  std::filesystem::create_directory_symlink(folder.path(), folder / "c/loop");
  const std::vector<std::filesystem::path> expected = {folder / "a", folder / "b/10", folder / "b/2",
                                                       folder / "c/d/e"};
  const auto found_in = [](const std::filesystem::path& place) {
    std::vector<std::filesystem::path> directories;
    for (const RunRecord& run : find_runs(place).runs) directories.push_back(run.directory);
    return directories;
  };
  CHECK(found_in(folder.path()) == expected);
  CHECK(found_in(folder / "a") == std::vector<std::filesystem::path>{folder / "a"});
  CHECK(found_in(folder / "no-run").empty());
  CHECK(find_runs(folder.path()).unreadable.empty());
  CHECK(missing(message_of<IoError>([&] { find_runs(folder / "none"); }), {"none"}) == "");
}

TEST_CASE("run record: a run of no epochs is damaged, not finished") {
  const TempDirectory folder;
  write_run(folder / "run", {{"epochs", 0}}, {});
  CHECK(missing(message_of<DataError>([&] { read_run(folder / "run"); }),
                {"config.json", "epochs", "from 1"}) == "");
}
