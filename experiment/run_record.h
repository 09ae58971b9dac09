// A run as its directory tells it: for pictures, tables and comparisons.
#pragma once

#include <filesystem>
#include <vector>

#include "experiment/config.h"
#include "experiment/run_outcome.h"

namespace qmse {

struct RunRecord {
  std::filesystem::path directory;
  ConfigJson config;               // config.json
  ConfigJson environment;          // environment.json; an empty object where there is none
  std::vector<ConfigJson> epochs;  // metrics.jsonl, one object an epoch; numbers that are not finite are null
  RunOutcome outcome;              // how it ended; see read_outcome()
  bool finished = false;           // it ended so, and all of its epochs are there
};

// Reads a run, one that is still going on too: a last line without its end is left out. IoError where a file
// cannot be read, DataError where its content is no record of a run.
RunRecord read_run(const std::filesystem::path& directory);

// Every folder with a config.json and a metrics.jsonl at or below `folder`, in path order. Links to folders
// are not followed. IoError where there is no such folder or the system refuses to list it.
std::vector<std::filesystem::path> find_run_directories(const std::filesystem::path& folder);

// read_run() of each of them.
std::vector<RunRecord> find_runs(const std::filesystem::path& folder);

}  // namespace qmse
