// Where two training runs differ, as their directories tell: settings, what they ran on, and the first step,
// epoch and tensor whose numbers are not the same bit for bit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiment/run/config.h"

namespace qmse {

// A value in both; null where a run has none.
struct ValueDifference {
  std::string name;
  Json first, second;
};

// Of one file, the earliest.
struct ResultDifference {
  std::string
      file;  // "steps.jsonl", "metrics.jsonl", "snapshots/epoch-0002.safetensors", "model.safetensors"
  std::int64_t epoch = 0;                    // from 1
  std::int64_t step = 0;                     // since training began, from 1
  std::vector<ValueDifference> values = {};  // logs: those that differ, in the order of the file
  std::string tensor = {};                   // weights
  std::string text = {};                     // people's words for the difference
};

struct RunDiff {
  std::vector<ValueDifference> settings;      // that change results
  std::vector<ValueDifference> surroundings;  // that need not: paths, device, versions, processor
  std::vector<ResultDifference> results;      // in the order in which training came to them
  std::vector<std::string> not_compared;      // what only one run has, or neither, and why

  bool equal() const { return settings.empty() && results.empty(); }
};

// Compared are all settings; environment.json; the steps that both logged; each epoch's figures but its
// times; snapshots of the same epoch; and the final weights. A run that is longer, or finished where the
// other is not, differs. IoError and DataError where one of them is no run, or is damaged.
RunDiff diff_runs(const std::filesystem::path& first, const std::filesystem::path& second);

Json to_json(const RunDiff& diff);

}  // namespace qmse
