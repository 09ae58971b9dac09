// `qmse --device cuda` from end to end on the stand-in.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/safetensors.h"
#include "losses/losses.h"
#include "optim/optimizers.h"
#include "tests/cuda_device/control.h"
#include "tests/experiment/tiny_run.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// The program with the stand-in set up as `world` says (control.h).
Result run_on(const std::string& world, const Words& words) {
  return run_program(words, Output::pipe, 120,
                     {"env", "LD_LIBRARY_PATH=" QMSE_NVML_FOLDER, "QMSE_CUDA_STAND_IN=" + world});
}

struct World {
  Words train(const std::string& out, const Words& more, const std::string& model = "cnn",
              int epochs = 2) const {
    Words words = {"train",
                   "--dataset",
                   "mnist",
                   "--data",
                   data.root.path().string(),
                   "--batch-size",
                   "16",
                   "--epochs",
                   std::to_string(epochs),
                   "--seed",
                   "5",
                   "--model",
                   model,
                   "--out",
                   path(out)};
    const Words sizes =
        model == "cnn" ? Words{"--conv-channels", "4,6", "--fc-width", "8"} : Words{"--mlp-widths", "12,9"};
    words.insert(words.end(), sizes.begin(), sizes.end());
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::string path(const std::string& name) const { return (folder / name).string(); }
  std::string weights(const std::string& out) const { return read_bytes(folder / out / "model.safetensors"); }

  TinyData data;
  TempDirectory folder;
};

// The largest difference of a weight, relative to the largest weight of its parameter.
double difference(const World& world, const std::string& a, const std::string& b) {
  const SafetensorsFile first(world.folder / a / "model.safetensors"),
      second(world.folder / b / "model.safetensors");
  double worst = 0;
  for (const std::string& name : first.names()) {
    const auto x = first.read<float>(name), y = second.read<float>(name);
    double largest = 0, apart = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(x[i])));
      const double d = std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i]));
      apart = std::isnan(d) ? INFINITY : std::max(apart, d);
    }
    worst = std::max(worst, apart / largest);
  }
  return worst;
}

// f32 sums in another order, over 10 steps; a value next to a kink of ReLU or max-pool may fall on the
// other side.
constexpr double kBound = 1e-3;

void check_training(const World& world, const std::string& name, const Words& options,
                    const std::string& model = "cnn") {
  CAPTURE(name);
  for (const char* device : {"cuda", "cpu"}) {
    Words words = options;
    words.insert(words.end(), {"--device", device});
    const Result result = run_on("", world.train(name + "-" + device, words, model));
    CAPTURE(device, result.out, result.error);
    REQUIRE(result.code == 0);
  }
  const double apart = difference(world, name + "-cuda", name + "-cpu");
  CAPTURE(apart);
  CHECK(apart < kBound);
}

}  // namespace

TEST_CASE("program: the CNN and the MLP train on the device as on the CPU, with every loss") {
  const World world;
  for (const char* model : {"cnn", "mlp"}) {
    for (const LossKind& loss : losses()) {
      const std::string name(loss.name);
      check_training(world, model + ("-" + name), {"--loss", name}, model);
    }
  }
  check_training(
      world, "full",
      {"--loss", "qmse", "--q-gradient", "full", "--v-distribution", "rademacher", "--v-scope", "per_batch"});
}

TEST_CASE("program: the CNN and the MLP train on the device as on the CPU, with every optimizer") {
  const World world;
  for (const char* model : {"cnn", "mlp"}) {
    for (const std::string_view optimizer : optimizer_names()) {
      check_training(world, model + ("-" + std::string(optimizer)), {"--optimizer", std::string(optimizer)},
                     model);
    }
  }
  check_training(world, "momentum", {"--momentum", "0.9", "--nesterov", "--weight-decay", "0.01"});
  check_training(world, "centred",
                 {"--optimizer", "rmsprop", "--rmsprop-momentum", "0.9", "--rmsprop-centered",
                  "--weight-decay", "0.01"});
}

TEST_CASE("program: the libraries' kernels alone train as our own do, in other bits") {
  const World world;
  for (const char* kernels : {"auto", "library"}) {
    const Result result = run_on("", world.train(kernels, {"--device", "cuda", "--kernels", kernels}));
    CAPTURE(result.out, result.error);
    REQUIRE(result.code == 0);
  }
  CHECK(world.weights("auto") != world.weights("library"));
  const double apart = difference(world, "auto", "library");
  CAPTURE(apart);
  CHECK(apart < kBound);
}

TEST_CASE("program: a variable that would change the arithmetic is refused by name") {
  const World world;
  const Result result = run_program(world.train("run", {"--device", "cuda"}), Output::pipe, 120,
                                    {"env", "NVIDIA_TF32_OVERRIDE=1"});
  CAPTURE(result.out, result.error);
  CHECK(result.code == 2);
  CHECK(result.error.find("NVIDIA_TF32_OVERRIDE") != std::string::npos);
  CHECK(!std::filesystem::exists(world.folder / "run"));
}

TEST_CASE(
    "program: the same bits with graphs and without, in blocks and in separate buffers, whatever runs "
    "early") {
  const World world;
  REQUIRE(run_on("", world.train("run", {"--device", "cuda"})).code == 0);
  const std::string expected = world.weights("run");
  REQUIRE(run_on("", world.train("queued", {"--device", "cuda", "--no-graph"})).code == 0);
  CHECK(world.weights("queued") == expected);
  const Words blocks = world.train("blocks", {"--device", "cuda"});
  const Result result = run_program(blocks, Output::pipe, 120, {"env", "-u", "QMSE_CUDA_SEPARATE_BUFFERS"});
  CAPTURE(result.error);
  REQUIRE(result.code == 0);
  CHECK(world.weights("blocks") == expected);
  // Other seeds choose other algorithms, but graphs and queued work choose the same.
  for (const char* seed : {"seed=1", "seed=2", "seed=3", "seed=4"}) {
    CAPTURE(seed);
    const Result captured = run_on(seed, world.train(seed, {"--device", "cuda"}));
    CAPTURE(captured.error);
    REQUIRE(captured.code == 0);
    const std::string queued = std::string(seed) + "-queued";
    REQUIRE(run_on(seed, world.train(queued, {"--device", "cuda", "--no-graph"})).code == 0);
    CHECK(world.weights(seed) == world.weights(queued));
    CHECK(difference(world, seed, "run") < kBound);
  }
}

TEST_CASE("program: a run stopped on the device goes on, on it bit for bit, and on the CPU") {
  const World world;
  REQUIRE(run_on("", world.train("whole", {"--device", "cuda"}, "cnn", 3)).code == 0);
  for (const char* device : {"cuda", "cpu"}) {
    CAPTURE(device);
    const std::string out = std::string("stopped-") + device;
    const TempDirectory errors;
    Process process(world.train(out, {"--device", "cuda", "--log-format", "json"}, "cnn", 3),
                    errors / "stderr");
    REQUIRE(process.wait_for("\"epoch\""));
    process.signal(SIGINT);
    const int code = process.finish();
    CAPTURE(process.out, read_bytes(errors / "stderr"));
    CHECK((code == 0 || code == 130));
    const Result resumed = run_on("", world.train(out, {"--device", device, "--resume"}, "cnn", 3));
    CAPTURE(resumed.out, resumed.error);
    REQUIRE(resumed.code == 0);
    if (std::string(device) == "cuda") CHECK(world.weights(out) == world.weights("whole"));
    CHECK(difference(world, out, "whole") < kBound);
  }
}

TEST_CASE("program: a sweep of four members by two processes takes two devices") {
  const World world;
  write_bytes(
      world.folder / "sweep.json",
      R"({"base": {"dataset": "mnist", "data": ")" + world.data.root.path().string() +
          R"(", "device": "cuda", "epochs": 1, "batch_size": 16, "conv_channels": [4, 6], "fc_width": 8},
                  "grid": {"loss": ["mse", "qmse"], "seed": [1, 2]}})");
  std::vector<std::unique_ptr<Process>> processes;
  for (const std::string rank : {"0", "1"}) {
    processes.push_back(std::make_unique<Process>(
        Words{"sweep", world.path("sweep.json"), "--out", world.path("sweep"), "--jobs", "2"},
        world.folder / ("errors-" + rank), Output::pipe, 120,
        Words{"env", "QMSE_CUDA_STAND_IN=device= device=", "OMPI_COMM_WORLD_SIZE=2",
              "OMPI_COMM_WORLD_RANK=" + rank, "OMPI_COMM_WORLD_LOCAL_RANK=" + rank}));
  }
  for (std::size_t rank = 0; rank < processes.size(); ++rank) {
    const int code = processes[rank]->finish();
    CAPTURE(rank, processes[rank]->out, read_bytes(world.folder / ("errors-" + std::to_string(rank))));
    CHECK(code == 0);
  }
  int members = 0;
  std::set<std::string> devices;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(world.folder / "sweep")) {
    members += entry.path().filename() == "model.safetensors" ? 1 : 0;
    if (entry.path().filename() == "environment.json") {
      devices.insert(Json::parse(read_bytes(entry.path())).at("device").get<std::string>());
    }
  }
  CHECK(members == 4);
  CHECK(devices.size() == 2);
}

TEST_CASE("program: four members of a sweep at once on one device") {
  const World world;
  write_bytes(
      world.folder / "sweep.json",
      R"({"base": {"dataset": "mnist", "data": ")" + world.data.root.path().string() +
          R"(", "device": "cuda", "epochs": 1, "batch_size": 16, "conv_channels": [4, 6], "fc_width": 8},
                  "grid": {"seed": [1, 2, 3, 4]}})");
  for (const std::string jobs : {"1", "4"}) {
    const Result result =
        run_on("", {"sweep", world.path("sweep.json"), "--out", world.path("jobs-" + jobs), "--jobs", jobs});
    CAPTURE(jobs, result.out, result.error);
    CHECK(result.code == 0);
  }
  int members = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(world.folder / "jobs-1")) {
    if (entry.path().filename() != "model.safetensors") continue;
    ++members;
    const auto other =
        world.folder / "jobs-4" / std::filesystem::relative(entry.path(), world.folder / "jobs-1");
    CHECK(read_bytes(entry.path()) == read_bytes(other));
  }
  CHECK(members == 4);
}

TEST_CASE("program: a step that is not finite is named with its layer") {
  const World world;
  const Result result = run_on("", world.train("run", {"--device", "cuda", "--lr", "1e30"}, "mlp"));
  CAPTURE(result.out, result.error);
  CHECK(result.code != 0);
  CHECK(result.error.find("the first layer with a non-finite value is 'fc") != std::string::npos);
  CHECK(result.error.find("cuda stand-in") == std::string::npos);
}

TEST_CASE("program: a device without room says so in one line") {
  const World world;
  const Result full = run_on("device=free:0", world.train("full", {"--device", "cuda"}));
  CAPTURE(full.out, full.error);
  CHECK(full.code != 0);
  CHECK(full.error.find("out of memory on cuda:0") != std::string::npos);
  CHECK(full.error.find("cuda stand-in") == std::string::npos);
}

TEST_CASE("program: the device with most room is taken, and one that is not there is refused") {
  const World world;
  const Result most = run_on("device=free:500 device=free:2000", world.train("most", {"--device", "cuda"}));
  CAPTURE(most.out, most.error);
  CHECK(most.code == 0);
  CHECK(most.out.find("cuda:1") != std::string::npos);
  for (const char* world_without : {"no_device", "driver=0", "driver=12000"}) {
    const Result none = run_on(world_without, world.train("none", {"--device", "cuda"}));
    CAPTURE(world_without, none.out, none.error);
    CHECK(none.code == 2);
    CHECK(none.error.find("no GPU to run on") != std::string::npos);
  }
}

TEST_CASE("program: whatever call fails, the run ends with one line and no report") {
  const World world;
  for (const char* what : {"allocation", "launch", "copy", "synchronization", "instantiation", "plan"}) {
    for (const int n : {1, 2, 5, 11, 40}) {
      const std::string fault = std::string("fault=") + what + ":" + std::to_string(n);
      const Result result = run_on(fault, world.train(fault, {"--device", "cuda"}, "cnn", 1));
      CAPTURE(fault, result.code, result.out, result.error);
      CHECK(result.error.find("cuda stand-in") == std::string::npos);
      CHECK(result.code != cuda_device::kReported);
      CHECK((result.code == 0) == result.error.empty());
    }
  }
}

TEST_CASE("program: busy devices are passed over, one that is too old for the build says so") {
  const World world;
  const Result busy = run_on("device=busy device=free:2000", world.train("busy", {"--device", "cuda"}));
  CAPTURE(busy.out, busy.error);
  CHECK(busy.code == 0);
  CHECK(busy.out.find("cuda:1") != std::string::npos);
  const Result old = run_on("device=cc:6.1", world.train("old", {"--device", "cuda"}));
  CAPTURE(old.out, old.error);
  CHECK(old.code != 0);
  CHECK(old.error.find("cudaErrorNoKernelImageForDevice") != std::string::npos);
}

TEST_CASE("program: an evaluation on the device is the CPU's") {
  const World world;
  REQUIRE(run_on("", world.train("run", {"--device", "cuda"})).code == 0);
  const Words evaluate = {"evaluate", "--weights", world.path("run") + "/model.safetensors", "--dataset",
                          "mnist",    "--data",    world.data.root.path().string()};
  std::set<std::string> answers;
  double loss = 0;
  for (const char* device : {"cuda", "cpu"}) {
    Words words = evaluate;
    words.insert(words.end(), {"--device", device});
    const Result result = run_on("", words);
    CAPTURE(device, result.out, result.error);
    CHECK(result.code == 0);
    auto answer = Json::parse(result.out);
    CHECK(answer.at("loss").get<double>() ==
          Approx(answers.empty() ? answer.at("loss").get<double>() : loss).epsilon(1e-6));
    loss = answer.at("loss");
    answers.insert(answer.at("confusion_matrix").dump());
  }
  CHECK(answers.size() == 1);
}

TEST_CASE("program: a landscape on the device is the CPU's to the last bit") {
  const World world;
  const auto run = [&](const std::string& out, const std::string& device, const Words& more) {
    Words words = {"landscape", "width", "--data-set", "gaussian",      "--samples", "9",
                   "--inputs",  "2",     "--widths",   "1,4",           "--seeds",   "2",
                   "--steps",   "12",    "--out",      world.path(out), "--device",  device};
    words.insert(words.end(), more.begin(), more.end());
    return run_on("", words);
  };
  for (const Words& more : {Words{}, Words{"--slope-noise", "0.1", "--hidden-layers", "1,2"}}) {
    CAPTURE(more);
    const std::string tag = more.empty() ? "plain" : "noise";
    const Result device = run(tag + "-device", "cuda", more), cpu = run(tag + "-cpu", "cpu", more);
    CAPTURE(device.error, cpu.error);
    CHECK(device.code == 0);
    CHECK(cpu.code == 0);
    for (const char* file : {"result.json", "points.safetensors"}) {
      CAPTURE(file);
      CHECK(read_bytes(world.folder / (tag + "-device") / file) ==
            read_bytes(world.folder / (tag + "-cpu") / file));
    }
  }
  const Result thesis = run("thesis", "cuda", {"--schedule", "thesis"});
  CHECK(thesis.code == 2);
  CHECK(thesis.error.find("--schedule thesis") != std::string::npos);
}
