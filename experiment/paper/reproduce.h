// The paper's experiments from one call: its runs and those it lacks, figures, table and verdicts.
//
//   runs/                 the sweep's folder
//   initialization.json   E||r||^2 + 1/c at initialisation, by data set and seed
//   fig1.svg, fig1.png    the paper's panels, ...; fig1-all: every loss and rate
//   table.md              results, differences and verdicts
//   reproduction.json     the same with every seed's values
//   report.html           one page with all of it
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "experiment/paper/reproduce_plan.h"
#include "experiment/sweep/sweep.h"

namespace qmse {

struct ReproduceRequest {
  ReproducePlan plan;
  std::filesystem::path out;
  std::string device = "auto";
  std::int64_t threads = 0, jobs = 0;  // as of a sweep
  Shard shard;
};

struct ReproduceOutcome {
  SweepOutcome sweep;
  std::string markdown;  // the content of table.md; empty where it was not written: stopped, or the folder
                         // holds more runs than these
};

// Says through events.notice how long it will take, from a measurement of a few seconds, on a CPU. Goes on
// with what `out` holds. Throws as run_sweep() does, and Error where gnuplot is missing or fails; the runs
// are then kept.
ReproduceOutcome reproduce(const ReproduceRequest& request, const SweepEvents& events);

}  // namespace qmse
