// A training small enough to be run hundreds of times.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "experiment/run/training_run.h"
#include "tests/support/idx_files.h"
#include "tests/support/temp_directory.h"

namespace qmse::test {

struct TinyData {
  static constexpr std::int64_t kTrain = 70, kTest = 30, kBatch = 16;
  static constexpr std::int64_t kSteps = 5;  // an epoch; the last batch has 6 images

  TinyData() { write_mnist(root.path(), kTrain, kTest); }

  Json settings(const std::filesystem::path& out, const std::string& model = "cnn") const {
    Json all = {{"dataset", "mnist"},   {"data", root.path().string()},
                {"out", out.string()},  {"model", model},
                {"batch_size", kBatch}, {"epochs", 3},
                {"device", "cpu"},      {"threads", 2}};
    if (model == "mlp") {
      all["mlp_widths"] = {12};
    } else {
      all["fc_width"] = 8;
      all["conv_channels"] = {4, 6};
    }
    return all;
  }

  TempDirectory root;
};

inline TrainingOutcome train(const Json& given, const TrainingEvents& events = {}) {
  return TrainingRun(given, events).run();
}

inline std::vector<nlohmann::ordered_json> json_lines(const std::filesystem::path& path) {
  std::vector<nlohmann::ordered_json> objects;
  std::istringstream text(read_bytes(path));
  for (std::string line; std::getline(text, line);) objects.push_back(nlohmann::ordered_json::parse(line));
  return objects;
}

// Every file of a folder but its lock.
inline std::map<std::string, std::string> files(const std::filesystem::path& folder) {
  std::map<std::string, std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().filename() != ".lock")
      all[entry.path().lexically_relative(folder).string()] = read_bytes(entry.path());
  }
  return all;
}

// The metrics without the fields that measure time.
inline std::string metrics_without_times(const std::filesystem::path& run) {
  std::string all;
  for (auto& line : json_lines(run / "metrics.jsonl")) {
    line.erase("seconds");
    line.erase("images_per_second");
    line.erase("diagnosis_seconds");
    all += line.dump() + "\n";
  }
  return all;
}

}  // namespace qmse::test
