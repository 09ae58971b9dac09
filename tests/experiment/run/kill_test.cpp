// Runs that are made longer, and killed or out of disk space at any system call: resumed, they are bit for
// bit the run that was longer from the start, and their weights are those of their last metrics.
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <random>

#include "experiment/run/evaluation.h"
#include "experiment/run/run_record.h"
#include "tests/experiment/system_faults.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr int kTrials = 16;

std::map<std::string, std::string> content(const std::filesystem::path& run) {
  std::map<std::string, std::string> files = {{"metrics", metrics_without_times(run)}};
  for (const char* name : {"model.safetensors", "steps.jsonl", "snapshots/epoch-0002.safetensors",
                           "snapshots/epoch-0004.safetensors"})
    files[name] = read_bytes(run / name);
  return files;
}

struct World {
  World() {
    std::random_device device;
    seed = device();
    generator.seed(seed);
    train(settings("short", 2));
    train(settings("long", 4));
    expected = content(folder / "long");
    // The calls of a run that is made longer and not disturbed.
    copy("counted");
    const ScopedFault counting(Fault::none);
    train(settings("counted", 4));
    calls = calls_since_arming();
  }

  Json settings(const std::string& out, int epochs) const {
    Json given = data.settings(folder / out, "mlp");
    given["epochs"] = epochs;
    given["checkpoint_every"] = 2;
    given["snapshot_every"] = 2;
    given["log_steps"] = 1;
    given["resume_or_start"] = true;
    return given;
  }
  void copy(const std::string& out) const {
    std::filesystem::copy(folder / "short", folder / out, std::filesystem::copy_options::recursive);
  }
  // Half of them behind the last steps, where the final weights are written.
  std::int64_t some_call() {
    const std::int64_t from = generator() % 2 == 0 ? 0 : calls * 4 / 5;
    return std::uniform_int_distribution<std::int64_t>(from, calls - 1)(generator);
  }
  void check_resumed(const std::string& out) const {
    train(settings(out, 4));
    CHECK(content(folder / out) == expected);
    const RunRecord run = read_run(folder / out);
    CHECK(run.finished);
    const EvaluationReport report = evaluate({.given = {{"device", "cpu"}}, .weights = folder / out});
    CHECK(report.scores.loss == run.epochs.back()["test_loss"].get<double>());
    CHECK(report.scores.accuracy == run.epochs.back()["test_accuracy"].get<double>());
  }

  TinyData data;
  TempDirectory folder;
  unsigned seed = 0;
  std::mt19937 generator;
  std::map<std::string, std::string> expected;
  std::int64_t calls = 0;
};

// In a process of its own, which is killed at that call; it may end before.
void train_and_be_killed(const Json& given, std::int64_t call) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    arm(Fault::kill, call);
    try {
      train(given);
    } catch (...) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  const bool as_meant =
      WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WIFEXITED(status) && WEXITSTATUS(status) == 0;
  CHECK(as_meant);
}

}  // namespace

TEST_CASE("kill: an extended run killed anywhere, once and twice, has the bits of an undisturbed one") {
  World world;
  REQUIRE(world.calls > 50);
  for (int trial = 0; trial < kTrials; ++trial) {
    const std::string out = "killed-" + std::to_string(trial);
    const std::int64_t first = world.some_call(), second = world.some_call();
    CAPTURE(world.seed, trial, first, second, world.calls);
    world.copy(out);
    train_and_be_killed(world.settings(out, 4), first);
    if (trial % 2 == 1) train_and_be_killed(world.settings(out, 4), second);
    world.check_resumed(out);
  }
}

TEST_CASE("kill: an extended run that ran out of disk space anywhere has the bits of an undisturbed one") {
  World world;
  for (int trial = 0; trial < kTrials; ++trial) {
    const std::string out = "full-" + std::to_string(trial);
    const std::int64_t call = world.some_call();
    CAPTURE(world.seed, trial, call, world.calls);
    world.copy(out);
    {
      const ScopedFault fault(Fault::full_disk, call);
      CHECK_THROWS_AS(train(world.settings(out, 4)), IoError);
    }
    world.check_resumed(out);
  }
}

TEST_CASE("kill: final weights of a shorter run, or cut short, are written again, without the data") {
  World world;
  train(world.settings("short", 4));
  REQUIRE(content(world.folder / "short") == world.expected);
  world.copy("kept");  // by now 4 epochs
  const std::filesystem::path weights = world.folder / "kept/model.safetensors";
  const std::string good = read_bytes(weights);
  const std::string earlier = read_bytes(world.folder / "kept/snapshots/epoch-0002.safetensors");
  REQUIRE(earlier != good);
  std::filesystem::remove_all(world.data.root.path());
  for (const std::string& bad : {earlier, std::string(), good.substr(0, good.size() / 2)}) {
    CAPTURE(bad.size());
    write_bytes(weights, bad);
    CHECK(train(world.settings("kept", 4)) == TrainingOutcome::finished);
    CHECK(read_bytes(weights) == good);
    CHECK(train(world.settings("kept", 4)) == TrainingOutcome::already_finished);
  }
}
