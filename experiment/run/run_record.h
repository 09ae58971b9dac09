// A run as its directory tells it: for pictures, tables and comparisons.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiment/run/config.h"
#include "experiment/run/run_outcome.h"

namespace qmse {

struct RunRecord {
  std::filesystem::path directory;
  Json config;               // config.json
  Json environment;          // environment.json; an empty object where there is none
  std::vector<Json> epochs;  // metrics.jsonl, one object an epoch; numbers that are not finite are null
  RunOutcome outcome;        // how it ended; see read_outcome()
  bool finished = false;     // it ended so, and all of its epochs are there, or those until it stopped early
};

// Reads a run, one that is still going on too: a last line without its end is left out. IoError where a file
// cannot be read, DataError where its content is no record of a run.
RunRecord read_run(const std::filesystem::path& directory);

// Replaces the epochs by the lines of steps.jsonl, each of which has its epoch. DataError where the run has
// logged none (--log-steps).
void take_steps(RunRecord& run);

// What a run was trained on, whatever the path to it, as its environment.json says: the hash of the files'
// content, or, where there is none, how many images of which shape and classes. A run that went
// on with other images has all of them; kNotRecorded where there is no word of it.
inline constexpr const char* kNotRecorded = "not recorded";
Json trained_on(const Json& environment);

// The SHA-256 of the weights a run started from, where they were another run's (--init-from) and
// environment.json says so; else empty.
std::string started_from(const Json& environment);

// A run, or a folder in which there may be some, that could not be read, and why.
struct UnreadableRun {
  std::filesystem::path directory;
  std::string reason;
};
struct RunsFound {
  std::vector<RunRecord> runs;
  std::vector<UnreadableRun> unreadable;
};

// read_run() of every folder with a config.json and a metrics.jsonl at or below `folder`, in path order.
// Links to folders are not followed; what is removed meanwhile is left out. IoError where `folder` itself
// cannot be listed.
RunsFound find_runs(const std::filesystem::path& folder);

}  // namespace qmse
