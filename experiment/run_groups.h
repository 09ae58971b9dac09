// Runs that differ in nothing but their seeds, taken together, and named by what tells them apart.
#pragma once

#include <string>
#include <vector>

#include "experiment/run_record.h"

namespace qmse {

// Those settings of a run that its results depend on, without its seeds: not the folders, threads or
// checkpoints, nor what its loss, model, optimizer or schedule does not use.
ConfigJson result_settings(const ConfigJson& config);

struct RunGroup {
  ConfigJson settings;             // result_settings() of all its runs
  std::vector<RunRecord> runs;     // one for each choice of seeds, in path order
  std::vector<RunRecord> repeats;  // runs whose seeds were there already: no further evidence
};

// In the order of their settings: losses in the order of --help, numbers by size. Of runs with equal seeds
// the one with most epochs counts.
std::vector<RunGroup> group_runs(std::vector<RunRecord> runs);

// The settings, by name, in which these groups differ. One that only some of them use differs where those
// that use it do.
std::vector<std::string> differing_settings(const std::vector<RunGroup>& groups);

// "QMSE, learning rate 0.1": the settings of these names, of those that are there.
std::string describe_settings(const ConfigJson& settings, const std::vector<std::string>& names);

}  // namespace qmse
