// Does one loss beat another where the settings of each are tuned? The best setting for each of what is
// compared, chosen by the validation images, and the paired differences between these.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "experiment/report/run_groups.h"
#include "experiment/report/statistics.h"

namespace qmse {

struct TuningRequest {
  std::vector<std::string> by = {"loss"};  // settings that are compared
  // Settings that are tuned for each; not given: those of optimizer, schedule and batch size that differ.
  std::optional<std::vector<std::string>> best_over = std::nullopt;
  // What is reported, a key of metrics.jsonl; empty: test accuracy, or where the runs have none test R².
  std::string metric = {};
  // What chooses; empty: its counterpart of the validation images where all runs have one, else `metric`.
  std::string choose = {};
  // A value of the first of `by`: what differences are to; empty: mse where that is one, else the first.
  std::string against = {};
  bool best_epoch = false;  // figures of each run's epoch with the best `choose`, not of the last
};

struct TunedRun {
  Json seeds;  // seeds_of()
  double choose = 0, metric = 0;
};

// Runs of one setting.
struct TunedSetting {
  Json settings;
  std::vector<TunedRun> runs;  // those that finished, with numbers that are finite
  std::string missing;         // missing_text() of all; "2 of 3 not finite"; empty where all are there
  bool eliminated = false;     // a sweep's halving has ended it
};

struct TunedDifference {
  std::vector<double> pairs;  // of runs that share their seeds, this minus the other
  std::optional<Interval> interval;
  std::optional<double> p, p_corrected;  // Student's t; Holm's over all differences
};

// One of what is compared.
struct TunedRow {
  Json settings;                              // of `by` alone
  std::vector<TunedSetting> tried;            // best first: those of which all runs finished come first
  std::optional<TunedDifference> difference;  // none for the row that the others are compared with
};

// Rows that can be compared: data set, model and whatever else differs is the same in all of them.
struct TunedPart {
  Json settings;  // in which the parts differ
  std::vector<TunedRow> rows;
  std::size_t reference = 0;
};

struct Tuning {
  std::vector<std::string> by, best_over, around;  // names of settings; `around`: in which the parts differ
  std::vector<std::string> telling;                // those of `around` that tell the parts apart
  std::string metric, choose;
  bool best_epoch = false;
  std::vector<TunedPart> parts;
};

// ConfigError for a setting that is none, that is a seed or stands in both lists, for a measure that no run
// has, and for an `against` that no row is. A setting that belongs to a choice (momentum to its optimizer)
// goes where the choice goes.
Tuning tune(const std::vector<RunGroup>& groups, const TuningRequest& request);

// Whether a value of the measure is better than another.
bool is_better(const std::string& measure, double value, double other);
// One of the figures of a setting's runs.
std::vector<double> values_of(const TunedSetting& setting, double TunedRun::*member);

}  // namespace qmse
