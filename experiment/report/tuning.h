// Does one loss beat another where the settings of each are tuned? The best setting for each of what is
// compared, chosen by the validation images, and the paired differences between these.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "experiment/report/figure.h"
#include "experiment/report/report_table.h"
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

// For readers: a row for each of what is compared, with its best setting, mean ± deviation, n and difference.
ReportTable tuning_table(const Tuning& tuning);
// Where two tuned settings have several values each: a table for each of what is compared with the mean of the
// measure that chooses over them, shaded from the worst to the best; of other tuned settings each cell has the
// best. At most `most` tables.
std::vector<ReportTable> tuning_maps(const Tuning& tuning, std::size_t most = 12);
// For programs: the same numbers, one a cell, in the units of metrics.jsonl, every setting that was tried in
// a row of its own.
ReportTable tuning_numbers(const Tuning& tuning);
// What the numbers mean and how they were come by, a sentence or two each; and what makes them doubtful:
// chosen by the test images, a best setting at the edge of those tried, runs that are missing.
std::vector<std::string> tuning_notes(const Tuning& tuning);
std::vector<std::string> tuning_warnings(const Tuning& tuning);

// The measures over the first tuned setting that is a number, a panel for each part and measure; of the other
// tuned settings each point has the best. No panels where no such setting has two values.
Figure tuning_figure(const Tuning& tuning);

}  // namespace qmse
