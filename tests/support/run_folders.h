// Run directories with made-up results, and what pictures need.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "experiment/run/config.h"
#include "experiment/run/run_outcome.h"
#include "tests/support/catch.h"
#include "tests/support/temp_directory.h"

namespace qmse::test {

// A run whose epochs have these test accuracies; the training accuracies are 0.01 above. The configuration is
// the default one with `changes`; its number of epochs is that of the accuracies unless changed.
inline void write_run(const std::filesystem::path& directory, const Json& changes,
                      const std::vector<double>& test_accuracies, bool finished = true) {
  std::filesystem::create_directories(directory);
  TrainConfig defaults;
  resolve_defaults(defaults);
  Json config = to_json(defaults);
  config["epochs"] = test_accuracies.size();
  if (changes.contains("seed")) {
    for (const char* seed : {"seed_init", "seed_data", "seed_v"}) config[seed] = changes["seed"];
  }
  if (!changes.is_null()) config.update(changes);
  std::string metrics;
  for (std::size_t i = 0; i < test_accuracies.size(); ++i) {
    const Json line = {{"epoch", i + 1},
                       {"step", 10 * (i + 1)},
                       {"train_accuracy", test_accuracies[i] + 0.01},
                       {"train_residual_sq", 0.5},
                       {"test_accuracy", test_accuracies[i]},
                       {"test_residual_sq", 0.75},
                       {"seconds", 2.0}};
    metrics += line.dump() + "\n";
  }
  write_bytes(directory / "config.json", config.dump());
  write_bytes(directory / "environment.json",
              R"({"device": "cpu", "libraries": {"zlib": {"loaded": "1.2"}}})");
  write_bytes(directory / "metrics.jsonl", metrics);
  if (finished) write_bytes(directory / "model.safetensors", "weights");
  write_outcome(directory, {.end = finished ? RunEnd::finished : RunEnd::none,
                            .epoch = static_cast<std::int64_t>(test_accuracies.size()),
                            .step = static_cast<std::int64_t>(10 * test_accuracies.size())});
}

// Whether a program of this name can be started. Where not, the test is skipped, but not in CI.
inline bool has_program(const std::string& name) {
  if (std::system(("command -v " + name + " >/dev/null").c_str()) == 0) return true;
  if (std::getenv("CI") != nullptr) FAIL(name << " is not installed");
  WARN("[skipped: " << name << " is not installed]");
  return false;
}

// PATH while this object lives.
class ScopedPath {
 public:
  explicit ScopedPath(const std::string& path) : before_(std::getenv("PATH")) {
    ::setenv("PATH", path.c_str(), 1);
  }
  ~ScopedPath() { ::setenv("PATH", before_.c_str(), 1); }
  ScopedPath(const ScopedPath&) = delete;
  ScopedPath& operator=(const ScopedPath&) = delete;

 private:
  std::string before_;
};

// Width and height of a PNG file, from its header; zeros where it is none.
inline std::pair<unsigned, unsigned> png_size(const std::string& bytes) {
  if (bytes.size() < 24 || bytes.substr(0, 8) != "\x89PNG\r\n\x1a\n" || bytes.substr(12, 4) != "IHDR")
    return {};
  const auto number = [&](std::size_t at) {
    unsigned value = 0;
    for (std::size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
  };
  return {number(16), number(20)};
}

}  // namespace qmse::test
