// `qmse train` from end to end: what it prints, how it stops, and that it goes on as if it never had.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/build_config.h"
#include "experiment/run/run_outcome.h"
#include "tests/data/tiny_idx.h"
#include "tests/experiment/tiny_run.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr int kForever = 1000000;  // epochs

struct World {
  Words train(const std::string& out, int epochs, const Words& more = {}) const {
    Words words = {"train",
                   "--dataset",
                   "mnist",
                   "--data",
                   data.root.path().string(),
                   "--batch-size",
                   "16",
                   "--device",
                   "cpu",
                   "--threads",
                   "2",
                   "--conv-channels",
                   "4,6",
                   "--fc-width",
                   "8",
                   "--epochs",
                   std::to_string(epochs),
                   "--out",
                   path(out)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::string path(const std::string& name) const { return (folder / name).string(); }
  std::string model(const std::string& out) const { return read_bytes(folder / out / "model.safetensors"); }
  std::int64_t epochs_done(const std::string& out) const {
    const std::filesystem::path file = folder / out / "metrics.jsonl";
    return std::filesystem::exists(file) ? static_cast<std::int64_t>(json_lines(file).size()) : 0;
  }

  TinyData data;
  TempDirectory folder;
};

// Goes on with `out` for two epochs more, and compares with a run that was never interrupted.
void check_resumed(const World& world, const std::string& out) {
  const int epochs = static_cast<int>(world.epochs_done(out)) + 2;
  // A kill may have come before there was anything of a run.
  const Result resumed = run_program(world.train(out, epochs, {"--resume-or-start"}));
  CHECK(resumed.code == 0);
  CHECK(resumed.error == "");
  const std::string whole = out + "-whole";
  REQUIRE(run_program(world.train(whole, epochs)).code == 0);
  CHECK(world.model(out) == world.model(whole));
  CHECK(metrics_without_times(world.folder / out) == metrics_without_times(world.folder / whole));
}

}  // namespace

TEST_CASE("program: training prints notices and a line an epoch, and writes the run") {
  const World world;
  const Result result = run_program(world.train("run", 3));
  CHECK(result.code == 0);
  CHECK(result.error == "");
  for (const char* part : {"device cpu, 2 threads", "70 training and 30 test images", "loss qmse",
                           "epoch 1/3  train loss", "epoch 3/3", " s\n", "model.safetensors"}) {
    CAPTURE(part, result.out);
    CHECK(result.out.find(part) != std::string::npos);
  }
  CHECK(result.out.find('\r') == std::string::npos);  // no bar in a pipe
  CHECK(world.epochs_done("run") == 3);
  const auto digest =
      json_lines(world.folder / "run/metrics.jsonl").back()["weights_sha256"].get<std::string>();
  CHECK(result.out.find("model.safetensors, SHA-256 " + digest + "\n") != std::string::npos);

  const Result again = run_program(world.train("run", 3, {"--resume"}));
  CHECK(again.code == 0);
  CHECK(again.out.find("nothing to do; weights SHA-256 " + digest) != std::string::npos);
  CHECK(run_program(world.train("run", 3)).code == 2);
  CHECK(run_program(world.train("run", 3, {"--resume", "--lr", "0.5"})).code == 2);
  CHECK(run_program({"train", "--resume", "--out", world.path("run"), "--epochs", "4"}).code == 0);
  CHECK(world.epochs_done("run") == 4);
}

TEST_CASE(
    "program: Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 stop after the step, with a checkpoint, and the run goes "
    "on "
    "from there") {
  const World world;
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    CAPTURE(number);
    const std::string out = "run-" + std::to_string(number);
    Process process(world.train(out, kForever), world.folder / "stderr");
    REQUIRE(process.wait_for("epoch 2/"));
    process.signal(number);
    CHECK(process.finish() == 128 + number);
    CHECK(process.out.find("stopped; qmse train --resume --out") != std::string::npos);
    CHECK(read_bytes(world.folder / "stderr") == "");
    CHECK(world.epochs_done(out) >= 2);
    CHECK_FALSE(std::filesystem::exists(world.folder / out / "model.safetensors"));
    check_resumed(world, out);
  }
}

TEST_CASE(
    "program: Ctrl-C while the data are read and checked ends it at once, with one line and nothing left") {
  const TempDirectory folder;
  // 200,000 images in a file of holes: it takes a while to hash, and the signal comes before that begins.
  constexpr std::uint32_t kImages = 200000;
  for (const auto& [prefix, count] : {std::pair{"train", kImages}, {"t10k", 20u}}) {
    const std::filesystem::path images = folder / (std::string(prefix) + "-images-idx3-ubyte");
    write_bytes(images, idx_bytes({count, 28, 28}, "\x7f"));
    std::filesystem::resize_file(images, 16 + std::uint64_t{count} * 28 * 28);
    std::string labels(count, '\0');
    labels[1] = 1;
    write_bytes(folder / (std::string(prefix) + "-labels-idx1-ubyte"), idx_bytes({count}, labels));
  }
  for (const std::string format : {"text", "json"}) {
    CAPTURE(format);
    Process process({"train", "--dataset", "folder", "--data", folder.path().string(), "--device", "cpu",
                     "--out", (folder / "run").string(), "--log-format", format},
                    folder / "stderr");
    REQUIRE(process.wait_for("device cpu"));
    process.signal(SIGINT);
    CHECK(process.finish() == 130);
    CHECK(read_bytes(folder / "stderr") == "");
    const std::string last = format == "text" ? "\nstopped before training began, with nothing changed in "
                                              : "\n{\"event\":\"stopped\",\"out\":";
    CHECK(process.out.find(last) != std::string::npos);
    CHECK(process.out.find("epoch 1/") == std::string::npos);
    CHECK_FALSE(std::filesystem::exists(folder / "run"));
  }
}

TEST_CASE("program: signals that are ignored where it is started stay ignored") {
  const World world;
  for (const int number : {SIGHUP, SIGINT}) {
    CAPTURE(number);
    const std::string out = "run-" + std::to_string(number);
    const Words ignoring = {"sh", "-c", "trap '' HUP INT; exec \"$0\" \"$@\""};
    Process process(world.train(out, kForever), world.folder / "stderr", Output::pipe, 120, ignoring);
    REQUIRE(process.wait_for("epoch 1/"));
    process.signal(number);
    process.out.clear();
    REQUIRE(process.wait_for("epoch 40/"));  // long after
    process.signal(SIGTERM);
    CHECK(process.finish() == 128 + SIGTERM);
  }
}

TEST_CASE("program: where nobody reads its output any more it stops with a checkpoint") {
  const World world;
  Process process(world.train("run", kForever), world.folder / "stderr");
  REQUIRE(process.wait_for("epoch 1/"));
  process.close_output();
  CHECK(process.finish() == 128 + SIGPIPE);
  CHECK(read_outcome(world.folder / "run").end == RunEnd::stopped);
  check_resumed(world, "run");
}

TEST_CASE(
    "program: a file beyond the limit of sizes is a failure with a message, and the run keeps its reason") {
  const World world;
  const Words limited = {"sh", "-c", "ulimit -f 8; exec \"$0\" \"$@\""};  // 4 KiB
  const Result result = run_program(world.train("run", 1), Output::pipe, 120, limited);
  CHECK(result.code == 1);
  for (const char* part : {"checkpoint.safetensors", "ulimit -f"}) {
    CAPTURE(part, result.error);
    CHECK(result.error.find(part) != std::string::npos);
  }
  const RunOutcome outcome = read_outcome(world.folder / "run");
  CHECK(outcome.end == RunEnd::failed);
  CHECK(outcome.reason.find("checkpoint.safetensors") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(world.folder / "run/checkpoint.safetensors.tmp"));
}

TEST_CASE("program: a Ctrl-C after another signal ends it at once") {
  const World world;
  Words words = world.train("run", kForever);
  *(std::find(words.begin(), words.end(), "2")) =
      "1";  // one thread: both signals reach it before it can do anything else
  Process process(words, world.folder / "stderr");
  REQUIRE(process.wait_for("epoch 1/"));
  process.signal(SIGSTOP);
  process.signal(SIGINT);  // the handler of the signal with the higher number runs first
  process.signal(SIGTERM);
  process.signal(SIGCONT);
  CHECK(process.finish() == 130);
  CHECK(process.out.find("stopped;") == std::string::npos);
}

TEST_CASE("program: kill -9 loses no more than the work since the last checkpoint") {
  const World world;
  for (const char* every : {"0", "2"}) {
    for (const char* moment : {"loss qmse", "epoch 1/", "epoch 3/"}) {
      CAPTURE(every, moment);
      const std::string out =
          std::string("run-") + every + "-" + std::to_string(std::string(moment).size()) + moment[6];
      Process process(world.train(out, kForever, {"--checkpoint-every", every}), world.folder / "stderr");
      REQUIRE(process.wait_for(moment));
      process.signal(SIGKILL);
      CHECK(process.finish() == -SIGKILL);
      check_resumed(world, out);
    }
  }
}

TEST_CASE("program: a second process on one run directory is refused") {
  const World world;
  Process first(world.train("run", kForever), world.folder / "stderr");
  REQUIRE(first.wait_for("epoch 1/"));
  for (const Words& more : {Words{}, Words{"--resume"}}) {
    const Result second = run_program(world.train("run", kForever, more));
    CHECK(second.code == 1);
    CHECK(second.error.find("another qmse") != std::string::npos);
    CHECK(std::count(second.error.begin(), second.error.end(), '\n') == 1);
  }
  first.signal(SIGTERM);
  CHECK(first.finish() == 143);
}

TEST_CASE("program: --print-config gives what --config takes, and the command line wins over it") {
  const World world;
  const Result printed = run_program({"train", "--print-config", "--lr", "0.125", "--model", "mlp",
                                      "--mlp-widths", "9,8", "--nesterov", "--seed", "7"});
  CHECK(printed.code == 0);
  write_bytes(world.folder / "c.json", printed.out);
  CHECK(run_program({"train", "--print-config", "--config", world.path("c.json")}).out == printed.out);
  const auto changed =
      nlohmann::json::parse(run_program({"train", "--print-config", "--config", world.path("c.json"), "--lr",
                                         "0.5", "--nesterov=false"})
                                .out);
  CHECK(changed["lr"] == 0.5);
  CHECK(changed["nesterov"] == false);
  CHECK(changed["mlp_widths"] == nlohmann::json::array({9, 8}));
  CHECK(changed["seed_v"] == 7);
}

TEST_CASE("program: data are found by --data and by QMSE_DATA, the option winning") {
  const World world;
  const TempDirectory empty;
  Words words = world.train("by-variable", 1);
  words.erase(words.begin() + 3, words.begin() + 5);  // --data and its folder
  REQUIRE(::setenv("QMSE_DATA", world.data.root.path().c_str(), 1) == 0);
  CHECK(run_program(words).code == 0);
  REQUIRE(::setenv("QMSE_DATA", empty.path().c_str(), 1) == 0);
  CHECK(run_program(world.train("by-option", 1)).code == 0);
  words.back() = world.path("nowhere");
  const Result nowhere = run_program(words);
  ::unsetenv("QMSE_DATA");
  CHECK(nowhere.code == 1);
  CHECK(nowhere.error.find("QMSE_DATA") != std::string::npos);
}

#if QMSE_ONEDNN
TEST_CASE("train: says before the first epoch that a convolution has no fast kernel, and records why") {
  const World world;
  const std::string plain = "runs on plain loops";
  const Words large = {"--kernel-size", "5"};  // 3x3 is the project's own
  const Result slow =
      run_program(world.train("slow", 1, large), Output::pipe, 120, {"env", "ONEDNN_MAX_CPU_ISA=SSE41"});
  CHECK(slow.code == 0);
  const std::size_t said = slow.out.find("conv1 " + plain);
  CAPTURE(slow.out);
  CHECK(said != std::string::npos);
  CHECK(said < slow.out.find("epoch 1/1"));
  const auto record = nlohmann::json::parse(read_bytes(world.folder / "slow" / "environment.json"));
  CHECK(record["algorithms"]["conv1"].get<std::string>().find("plain (oneDNN: ") == 0);
  CHECK(run_program(world.train("fast", 1, large)).out.find(plain) == std::string::npos);
}
#endif
