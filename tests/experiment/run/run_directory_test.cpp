#include "experiment/run/run_directory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "base/error.h"
#include "experiment/run/json_lines.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using qmse::test::message_of;
using qmse::test::missing;
using qmse::test::TempDirectory;

TEST_CASE("run directory: it is made with its parents, and taken away again where no run began") {
  const TempDirectory folder;
  const std::filesystem::path path = folder / "a/b/run";
  {
    const RunDirectory directory(path);
    CHECK(std::filesystem::is_directory(path));
    CHECK_FALSE(directory.holds_a_run());
  }
  CHECK_FALSE(std::filesystem::exists(path));
  {
    const RunDirectory directory(path);
    directory.write_config(TrainConfig{});
    CHECK(directory.holds_a_run());
  }
  CHECK(std::filesystem::exists(path / "config.json"));
  std::filesystem::create_directory(folder / "mine");
  { const RunDirectory directory(folder / "mine"); }
  CHECK(std::filesystem::exists(folder / "mine"));
}

TEST_CASE("run directory: a second holder is refused, and told who the first is") {
  const TempDirectory folder;
  const RunDirectory first(folder / "run");
  const std::string message = message_of<IoError>([&] { RunDirectory second(folder / "run"); });
  CHECK(missing(message, {"another qmse", std::to_string(::getpid()).c_str(), "run"}) == "");
}

TEST_CASE("run directory: who only asks whether it is in use does not get in the way") {
  const TempDirectory folder;
  std::atomic<bool> done = false;
  std::thread asking([&] {
    while (!done) FileLock::is_held(folder / "run/.lock");
  });
  std::filesystem::create_directory(folder / "run");
  for (int i = 0; i < 300; ++i) CHECK_NOTHROW(RunDirectory(folder / "run"));
  done = true;
  asking.join();
}

TEST_CASE("run directory: the lock of a killed process is free") {
  const TempDirectory folder;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const RunDirectory directory(folder / "run");
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK(missing(message_of<IoError>([&] { RunDirectory second(folder / "run"); }),
                {std::to_string(child).c_str()}) == "");
  ::kill(child, SIGKILL);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK_NOTHROW(RunDirectory(folder / "run"));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("run directory: links of a run's files are refused, and what they point to stays") {
  const TempDirectory folder, elsewhere;
  for (const char* name : {".lock", "config.json", "environment.json", "metrics.jsonl", "steps.jsonl",
                           "model.safetensors", "checkpoint.safetensors", "outcome.json", "snapshots"}) {
    CAPTURE(name);
    const std::filesystem::path run = folder / std::string("run-") / name;
    std::filesystem::create_directories(run);
    test::write_bytes(elsewhere / "precious", "precious");
    for (const char* target : {"precious", "none"}) {
      std::filesystem::remove(run / name);
      std::filesystem::create_symlink(elsewhere / target, run / name);
      CHECK(missing(message_of<IoError>([&] { RunDirectory directory(run); }), {name, "symbolic link"}) ==
            "");
    }
    CHECK(test::read_bytes(elsewhere / "precious") == "precious");
    CHECK_FALSE(std::filesystem::exists(elsewhere / "none"));
  }
}

TEST_CASE("run directory: hard links into it are not written through") {
  const TempDirectory folder;
  const std::filesystem::path run = folder / "run";
  std::filesystem::create_directory(run);
  for (const char* name : {".lock", "metrics.jsonl", "config.json.tmp"}) {
    test::write_bytes(folder / name, "{\"epoch\":1}\n");
    std::filesystem::create_hard_link(folder / name, run / name);
  }
  {
    const RunDirectory directory(run);
    CHECK(directory.locked());
    directory.write_config(TrainConfig{});
    JsonLines log(directory.metrics_file());
    log.append({{"epoch", 2}});
  }
  for (const char* name : {".lock", "metrics.jsonl", "config.json.tmp"})
    CHECK(test::read_bytes(folder / name) == "{\"epoch\":1}\n");
  CHECK(test::read_bytes(run / "metrics.jsonl") == "{\"epoch\":1}\n{\"epoch\":2}\n");
  CHECK(FileLock::holder(run / ".lock") != "");
}

TEST_CASE("run directory: one that was replaced is no longer its first holder's") {
  const TempDirectory folder;
  const RunDirectory first(folder / "run");
  CHECK_NOTHROW(first.check_still_ours());
  std::filesystem::rename(folder / "run", folder / "moved");
  const RunDirectory second(folder / "run");
  CHECK_NOTHROW(second.check_still_ours());
  const auto refused = [&](const auto& write) {
    CHECK(missing(message_of<IoError>(write), {"run'", "removed, renamed or replaced"}) == "");
  };
  refused([&] { first.check_still_ours(); });
  refused([&] { first.write_config(TrainConfig{}); });
  refused([&] { first.record_environment(Json::object(), 0); });
  refused([&] { first.record_outcome({.end = RunEnd::failed}); });
  CHECK_FALSE(second.holds_a_run());
}

TEST_CASE("run directory: a path that is a file, or below one, is an IoError") {
  const TempDirectory folder;
  test::write_bytes(folder / "file", "x");
  CHECK(missing(message_of<IoError>([&] { RunDirectory(folder / "file"); }), {"file"}) == "");
  CHECK(missing(message_of<IoError>([&] { RunDirectory(folder / "file/run"); }), {"file/run"}) == "");
}

TEST_CASE("run directory: the recorded configuration is read back, damage is a DataError") {
  const TempDirectory folder;
  const RunDirectory directory(folder / "run");
  TrainConfig config;
  config.lr = 0.125;
  config.seed_v = 3;
  directory.write_config(config);
  CHECK(to_json(directory.recorded_config()).dump() == to_json(config).dump());
  test::write_bytes(directory.config_file(), "{\"lr\": ");
  CHECK(missing(message_of<DataError>([&] { directory.recorded_config(); }), {"config.json", "JSON"}) == "");
  std::filesystem::remove(directory.config_file());
  test::write_bytes(directory.metrics_file(), "");
  CHECK(directory.holds_a_run());
  CHECK(missing(message_of<DataError>([&] { directory.recorded_config(); }), {"no config.json"}) == "");
}

TEST_CASE("run directory: what is wrong with a file of a run is said with its name and with what to do") {
  const test::TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run", "mlp");
  given["log_steps"] = 1;
  test::train(given, {.stop = [asked = 0]() mutable { return ++asked == 7; }});
  given["resume"] = true;
  std::filesystem::copy(folder / "run", folder / "good");
  const auto fault = [&](const char* file, const std::function<void(const std::filesystem::path&)>& damage) {
    std::filesystem::remove_all(folder / "run");
    std::filesystem::copy(folder / "good", folder / "run");
    damage(folder / "run" / file);
  };
  using Path = std::filesystem::path;
  const std::vector<std::function<void(const Path&)>> damages = {
      [](const Path& path) { test::write_bytes(path, ""); },
      [](const Path& path) { test::write_bytes(path, "{\n"); },
      [](const Path& path) { test::write_bytes(path, "[]\n"); },
      [](const Path& path) { test::write_bytes(path, "{\"epoch\": 1.5, \"step\": -1}\n"); },
      [](const Path& path) { std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2); },
      [](const Path& path) {
        std::filesystem::remove(path);
        std::filesystem::create_directory(path);
      }};
  for (const char* file : {"config.json", "environment.json", "metrics.jsonl", "steps.jsonl",
                           "checkpoint.safetensors", ".lock"}) {
    for (std::size_t i = 0; i < damages.size(); ++i) {
      CAPTURE(file, i);
      fault(file, damages[i]);
      std::string message;
      try {
        test::train(given);
        continue;  // no harm: a lock's content, steps that are not needed
      } catch (const Error& error) {
        message = error.what();
      }
      CAPTURE(message);
      CHECK(message.find(file) != std::string::npos);
      // What to do stands behind the last semicolon.
      const std::size_t advice = message.rfind("; ");
      REQUIRE(advice != std::string::npos);
      CHECK(message.find_first_of(" ", advice + 2) != std::string::npos);
    }
  }
}

TEST_CASE("run directory: resumptions are added to the environment") {
  const TempDirectory folder;
  const RunDirectory directory(folder / "run");
  directory.record_environment({{"device", "cpu"}}, 0);
  directory.record_environment({{"device", "cuda:0"}}, 7);
  directory.record_environment({{"device", "cpu"}}, 9);
  const auto read = nlohmann::json::parse(test::read_bytes(directory.environment_file()));
  CHECK(read["device"] == "cpu");
  REQUIRE(read["resumed"].size() == 2);
  CHECK(read["resumed"][0]["device"] == "cuda:0");
  CHECK(read["resumed"][0]["resumed_at_step"] == 7);
  CHECK(read["resumed"][1]["resumed_at_step"] == 9);
}

TEST_CASE("run directory: snapshots are named after their epoch") {
  const TempDirectory folder;
  const RunDirectory directory(folder / "run");
  CHECK(directory.snapshot_file(3) == folder / "run/snapshots/epoch-0003.safetensors");
  CHECK(directory.snapshot_file(12345).filename() == "epoch-12345.safetensors");
}

TEST_CASE("json lines: appended lines are there, non-finite numbers are null") {
  const TempDirectory folder;
  {
    JsonLines log(folder / "log");
    log.append({{"step", 1}, {"loss", std::numeric_limits<double>::quiet_NaN()}});
    log.append({{"step", 2}, {"loss", 0.1}});
    log.sync();
  }
  JsonLines again(folder / "log");
  again.append({{"step", 3}});
  CHECK(test::read_bytes(folder / "log") ==
        "{\"step\":1,\"loss\":null}\n{\"step\":2,\"loss\":0.1}\n{\"step\":3}\n");
}

TEST_CASE("json lines: cut back to a number, dropping what a kill left incomplete") {
  const TempDirectory folder;
  const std::string lines = "{\"step\":1}\n{\"step\":2}\n{\"step\":5}\n";
  CHECK(JsonLines::cut_back(folder / "none", "step", 9) == 0);
  CHECK_FALSE(std::filesystem::exists(folder / "none"));
  for (const std::string tail : {"", "{\"st", "{\"step\":6}"}) {
    CAPTURE(tail);
    test::write_bytes(folder / "log", lines + tail);
    CHECK(JsonLines::cut_back(folder / "log", "step", 4) == 2);
    CHECK(test::read_bytes(folder / "log") == "{\"step\":1}\n{\"step\":2}\n");
    test::write_bytes(folder / "log", lines + tail);
    CHECK(JsonLines::cut_back(folder / "log", "step", 5) == 3);
    CHECK(test::read_bytes(folder / "log") == lines);
  }
  CHECK(JsonLines::cut_back(folder / "log", "step", 0) == 0);
  CHECK(test::read_bytes(folder / "log").empty());
}

TEST_CASE("json lines: a damaged line is a DataError with its number") {
  const TempDirectory folder;
  for (const std::string bad :
       {"{\"step\":2", "[]", "", "{\"step\":\"2\"}", "{}", "{\"step\":1}", "{\"step\":0}", "{\"step\":-1}"}) {
    CAPTURE(bad);
    test::write_bytes(folder / "log", "{\"step\":1}\n" + bad + "\n{\"step\":3}\n");
    CHECK(missing(message_of<DataError>([&] { JsonLines::cut_back(folder / "log", "step", 9); }),
                  {"log", "line 2"}) == "");
  }
}

TEST_CASE("json lines: a full disk is an IoError") {
  if (!std::filesystem::exists("/dev/full")) {
    WARN("[skipped: no /dev/full]");
    return;
  }
  JsonLines log("/dev/full");
  CHECK(missing(message_of<IoError>([&] { log.append({{"step", 1}}); }), {"/dev/full", "space"}) == "");
}
