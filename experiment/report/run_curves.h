// Figures of runs: a measure over the epochs, a curve for each group of runs.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/choice.h"
#include "experiment/report/figure.h"
#include "experiment/report/run_groups.h"

namespace qmse {

enum class CurveAxis { epoch, step, seconds };
constexpr std::array<Choice<CurveAxis>, 3> choices(CurveAxis) {
  return {{{CurveAxis::epoch, "epoch"}, {CurveAxis::step, "step"}, {CurveAxis::seconds, "seconds"}}};
}

struct CurveRequest {
  CurveAxis x = CurveAxis::epoch;
  std::vector<std::string> measures = {};  // keys of metrics.jsonl; empty: usual_measures()
  bool log_x = false, log_y = false;
};
inline constexpr std::size_t kMaxCurves = 8;  // of a panel: of more nobody can tell which is which

// A column of panels for each measure; a row for each data set, set of images, model and momentum. Several
// seeds: mean_curve(). Runs that ended before the others, or diverged, are not in the mean: each is a strand
// of its own, and the panel says how many of how many they are. A row shows kMaxCurves at most, its
// leading_groups() in turn from each loss, and says so. Colours follow the first setting in which the groups
// differ, dashes the others, as far as there are so many. A run that began with the weights of another one's
// epoch goes on behind that epoch. Where all runs have 100 epochs or more, the accuracies have an inset from
// epoch 80 to 100. The caption says what is shown. Accuracies are in per cent. Throws ConfigError for a
// measure that no run has, naming those they have; DataError where there is no epoch yet.
Figure run_figure(const std::vector<RunGroup>& groups, const CurveRequest& request);

// What runs are measured by where nothing else is asked for: training and test accuracy; where no run has
// these R², and where none has that either the losses.
std::vector<std::string> usual_measures(const std::vector<RunGroup>& groups);

// The key of the training accuracy: measured after the epoch where all runs have it, else during it.
std::string train_accuracy_measure(const std::vector<RunGroup>& groups);

}  // namespace qmse
