// Runs an experiment in a folder, resumably:
//
//   settings.json        every setting, resolved; the folder goes on with these alone
//   environment.json     what it ran on
//   members.jsonl        a line for each member that is done, with the points it kept
//   result.json          what came out: summary, verdicts, notes; the same bytes however it ran
//   points.safetensors   the kept points, their networks and the data; and recheck.py, which computes loss
//   and gradient
//                        of each again, with NumPy alone
//   figure-1.svg, .png   the pictures
//   report.html          one page with all of it
//   .lock                held while a process works here
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "analysis/landscape/experiment.h"
#include "base/logger.h"

namespace qmse {

struct LandscapeRequest {
  std::string experiment;  // by name
  Json given = Json::object();
  std::string preset = {};
  bool quick = false;
  std::string data = {};
  std::filesystem::path out = {};
  int threads = 0;             // 0: all
  std::string device = "cpu";  // or "cuda", "cuda:N", "auto": for experiments that run on a GPU
};

struct LandscapeEvents {
  Logger notice = {};
  std::function<void(std::int64_t done, std::int64_t members)> progress = {};
  std::function<bool()> stop = {};  // asked between members
};

struct LandscapeOutcome {
  bool finished = false;  // else it was stopped, and the same request goes on
  Json result;            // the content of result.json
  std::vector<ReportSection> sections;
};

// Throws ConfigError where the folder holds something else, or the experiment with other settings; IoError;
// Error where gnuplot is missing; what the experiment throws.
LandscapeOutcome run_landscape(const LandscapeRequest& request, const LandscapeEvents& events);

// Every experiment in a folder of its own within `request.out`, and one page about all of them.
// `request.experiment` and `given` are not looked at, but the outcome's `result` is {"experiments": [...]}.
LandscapeOutcome run_all_landscapes(const LandscapeRequest& request, const LandscapeEvents& events);

// "holds: the sentence" of each verdict, a line each.
std::vector<std::string> verdict_lines(const Json& result);

}  // namespace qmse
