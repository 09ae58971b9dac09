// Runs that differ in nothing but their seeds, taken together, and named by what tells them apart.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "experiment/run/run_record.h"

namespace qmse {

// Those settings of a run that its results depend on, without its seeds: not the folders, threads or
// checkpoints, nor what its loss, model, optimizer or schedule does not use. "data" is not the path but what
// was found there, trained_on(); so is "init_from", started_from(), where the run has recorded it.
Json result_settings(const RunRecord& run);

// Those of its seeds that a run draws on, by name, without the `seed` that the others are made of.
Json seeds_of(const RunRecord& run);

struct RunGroup {
  Json settings;                   // result_settings() of all its runs
  std::vector<RunRecord> runs;     // one for each choice of seeds, in path order
  std::vector<RunRecord> repeats;  // runs whose seeds were there already: no further evidence
};

// What a group's curves share a panel with: its data set, images, model and momentum.
Json panel_key(const RunGroup& group);

// In the order of their settings: losses in the order of --help, numbers by size. Of runs with equal seeds
// the one with most epochs counts.
std::vector<RunGroup> group_runs(std::vector<RunRecord> runs);

// The settings, by name, in which these groups differ. One that only some of them use differs where those
// that use it do.
std::vector<std::string> differing_settings(const std::vector<RunGroup>& groups);

// The places of at most `most` of these groups, in order: those whose last test accuracy is highest on
// average (of data without one, whose test loss is lowest), in turn from those with each `key`.
std::vector<std::size_t> leading_groups(const std::vector<RunGroup>& groups, std::size_t most,
                                        const std::function<Json(const RunGroup&)>& key = panel_key);

// As few of `names` as tell these groups apart and describe each with a word at least, those at the front
// rather than those at the end.
std::vector<std::string> telling_names(const std::vector<RunGroup>& groups,
                                       const std::vector<std::string>& names);

// How the runs ended that did not finish: "2 of 3 diverged, 1 of 3 stopped"; empty where all did.
std::string missing_text(const std::vector<RunRecord>& runs);

// The same of one: "finished", "diverged in epoch 2, step 1204, at fc1", "stopped after 1 of 2 epochs".
std::string state_text(const RunRecord& run);

// "learning rate", "batch size"
std::string setting_words(std::string_view name);
// "QMSE, learning rate 0.1": the settings of these names, of those that are there.
std::string describe_settings(const Json& settings, const std::vector<std::string>& names);

}  // namespace qmse
