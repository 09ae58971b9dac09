// What came out of groups of runs, as a table.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "experiment/report/report_table.h"
#include "experiment/report/run_groups.h"
#include "experiment/report/statistics.h"
#include "experiment/run/metric_text.h"

namespace qmse {

// "98.71 ± 0.05": mean and sample standard deviation in the unit of people; without the deviation for one
// value, "–" for none, "not finite" where the mean is not.
std::string spread_text(std::span<const double> values, const MetricUnit& unit);

// "+1.50 (−0.20 to +3.20)": the mean of pairs' differences with its interval; "–" for no pair.
std::string difference_text(std::span<const double> pairs, const std::optional<Interval>& interval,
                            const MetricUnit& unit);

// Of a run's epochs, at least one: the number under `key` of the last, and the highest of any; NaN where
// there is none.
double final_value(std::span<const Json> epochs, std::string_view key);
double best_value(std::span<const Json> epochs, std::string_view key);

// One row a group: how its runs ended ("2 of 3 diverged") and, over those that finished, final and best
// accuracies in per cent, or R², and the final means of ||r||^2, as mean ± standard deviation over the seeds.
ReportTable summary_table(const std::vector<RunGroup>& groups);

}  // namespace qmse
