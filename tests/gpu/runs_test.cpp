// Runs on the device: resumed on the other backend, resumed on their own bit for bit, and their records.
#include <fstream>
#include <string>

#include "base/error.h"
#include "engine/safetensors.h"
#include "tests/experiment/tiny_run.h"
#include "tests/gpu/device.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// The device of this build's backend, as an option.
std::string device_option() { return kOnGpu ? "cuda" : "cpu"; }

Json settings(const TinyData& data, const std::filesystem::path& out, const std::string& device) {
  Json given = data.settings(out);
  given["device"] = device;
  return given;
}

TrainingOutcome stop_after(Json given, int asked_times) {
  int asked = 0;
  return train(given, {.stop = [&] { return ++asked > asked_times; }});
}

}  // namespace

TEST_CASE("runs: stopped and resumed, a run is bit for bit the one that was not, with and without graphs",
          "[training]") {
  if (!device_context()) return;
  const TinyData data;
  const TempDirectory folder;
  train(settings(data, folder / "whole", device_option()));
  for (const bool no_graph : {false, true}) {
    CAPTURE(no_graph);
    const std::filesystem::path out = folder / (no_graph ? "queued" : "captured");
    Json given = settings(data, out, device_option());
    if (kOnGpu) given["no_graph"] = no_graph;
    given["checkpoint_every"] = 1;
    REQUIRE(stop_after(given, 3) == TrainingOutcome::stopped);
    given["resume"] = true;
    CHECK(train(given) == TrainingOutcome::finished);
    CHECK(read_bytes(out / "model.safetensors") == read_bytes(folder / "whole" / "model.safetensors"));
    CHECK(metrics_without_times(out) == metrics_without_times(folder / "whole"));
  }
}

TEST_CASE("runs: a run begun on one backend goes on on the other, and its record says so", "[training]") {
  if (!device_context()) return;
  const TinyData data;
  const TempDirectory folder;
  train(settings(data, folder / "cpu", "cpu"));
  const auto expected = SafetensorsFile(folder / "cpu" / "model.safetensors").read<float>("fc2.weight");
  int runs = 0;
  for (const auto& [first, second] :
       {std::pair<std::string, std::string>{"cpu", device_option()}, {device_option(), "cpu"}}) {
    CAPTURE(first, second);
    const std::filesystem::path out = folder / ("run-" + std::to_string(++runs));
    Json given = settings(data, out, first);
    given["checkpoint_every"] = 1;  // the stop is asked for after each step on a GPU too
    REQUIRE(stop_after(given, 7) == TrainingOutcome::stopped);
    given["device"] = second;
    given["resume"] = true;
    CHECK(train(given) == TrainingOutcome::finished);
    const auto weights = SafetensorsFile(out / "model.safetensors").read<float>("fc2.weight");
    for (std::size_t i = 0; i < weights.size(); ++i) {
      CHECK(weights[i] == Approx(expected[i]).margin(1e-4));  // 15 steps at f32's rounding
    }
    const auto record = Json::parse(read_bytes(out / "environment.json"));
    CAPTURE(record.dump());
    CHECK(record.dump().find(second == "cpu" ? "\"cpu\"" : "cuda:") != std::string::npos);
  }
}

TEST_CASE("runs: a diagnosis on the device changes no bit, and is that of the CPU", "[training]") {
  if (!device_context()) return;
  const TinyData data;
  const TempDirectory folder;
  const auto small = [&](const char* out, const std::string& device) {  // a diagnosis is some hundred passes
    Json given = settings(data, folder / out, device);
    given.update({{"conv_channels", {4, 6}}, {"fc_width", 10}});
    return given;
  };
  train(small("plain", device_option()));
  Json given = small("diagnosed", device_option());
  given["diagnose"] = 1;
  train(given);
  CHECK(read_bytes(folder / "plain/model.safetensors") == read_bytes(folder / "diagnosed/model.safetensors"));
  Json on_cpu = small("cpu", "cpu");
  on_cpu["diagnose"] = 1;
  train(on_cpu);
  const auto ours = json_lines(folder / "diagnosed/metrics.jsonl"),
             theirs = json_lines(folder / "cpu/metrics.jsonl");
  for (const char* key : {"diagnosis_residual_norm", "diagnosis_mse_gradient", "diagnosis_qmse_gradient",
                          "diagnosis_cosine", "diagnosis_noise_to_drift", "diagnosis_sharpness"}) {
    CAPTURE(key);
    CHECK(ours[0][key].get<double>() == Approx(theirs[0][key].get<double>()).epsilon(0.01));
  }
  CHECK(ours[0]["diagnosis_dead_units"] == theirs[0]["diagnosis_dead_units"]);
}

TEST_CASE("runs: a GPU that is not there is refused by its number", "[training]") {
  if (!device_context()) return;
  const TinyData data;
  const TempDirectory folder;
  const std::string message =
      message_of<ConfigError>([&] { train(settings(data, folder / "run", "cuda:99")); });
  CAPTURE(message);
  CHECK(message.find(kOnGpu ? "99" : "GPU") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}
