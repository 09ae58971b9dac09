// --diagnose in runs: what it writes, and that it changes nothing. Its figures: tests/analysis.
#include "base/error.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

std::vector<nlohmann::ordered_json> without_diagnosis(std::vector<nlohmann::ordered_json> lines) {
  for (auto& line : lines) {
    for (const char* time : {"seconds", "images_per_second"}) line.erase(time);
    std::vector<std::string> keys;
    for (const auto& [key, value] : line.items()) {
      if (key.starts_with("diagnosis_")) keys.push_back(key);
    }
    for (const std::string& key : keys) line.erase(key);
  }
  return lines;
}

}  // namespace

TEST_CASE("diagnosis: after every Nth epoch, and the weights and all other figures keep their bits") {
  const TinyData data;
  for (const char* model : {"cnn", "mlp"}) {
    for (const char* loss : {"qmse", "mse"}) {
      CAPTURE(model, loss);
      const TempDirectory folder;
      Json given = data.settings(folder / "plain", model);
      given["loss"] = loss;
      train(given);
      given["out"] = (folder / "diagnosed").string();
      given["diagnose"] = 2;
      train(given);
      CHECK(read_bytes(folder / "plain/model.safetensors") ==
            read_bytes(folder / "diagnosed/model.safetensors"));
      const auto lines = json_lines(folder / "diagnosed/metrics.jsonl");
      CHECK(without_diagnosis(lines) == without_diagnosis(json_lines(folder / "plain/metrics.jsonl")));
      CHECK_FALSE(lines[0].contains("diagnosis_sharpness"));
      CHECK_FALSE(lines[2].contains("diagnosis_sharpness"));
      for (const char* key :
           {"diagnosis_residual_norm", "diagnosis_residual_sq_q10", "diagnosis_residual_sq_q50",
            "diagnosis_residual_sq_q90", "diagnosis_residual_sq_max", "diagnosis_mse_gradient",
            "diagnosis_qmse_gradient", "diagnosis_cosine", "diagnosis_noise_to_drift",
            "diagnosis_negative_share", "diagnosis_sharpness", "diagnosis_dead_units", "diagnosis_seconds"}) {
        CAPTURE(key);
        CHECK(lines[1][key].is_number());
      }
    }
  }
}

TEST_CASE("diagnosis: a run that is stopped and resumed has the same figures") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "whole");
  given["diagnose"] = 1;
  train(given);
  for (const int patience : {3, 8, 13}) {
    CAPTURE(patience);
    Json part = given;
    part["out"] = (folder / ("part-" + std::to_string(patience))).string();
    int asked = 0;
    REQUIRE(train(part, {.stop = [&] { return ++asked == patience; }}) == TrainingOutcome::stopped);
    Json rest = {{"out", part["out"]}, {"resume", true}};
    CHECK(train(rest) == TrainingOutcome::finished);
    CHECK(metrics_without_times(part["out"].get<std::string>()) == metrics_without_times(folder / "whole"));
  }
}

TEST_CASE("diagnosis: only losses of y - f have one") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run");
  given["loss"] = "cross_entropy";
  given["diagnose"] = 1;
  CHECK(missing(message_of<ConfigError>([&] { train(given); }), {"diagnose", "--loss mse or"}) == "");
}
