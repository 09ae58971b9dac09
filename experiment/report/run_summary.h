// What came out of groups of runs, as a table.
#pragma once

#include <string>
#include <vector>

#include "experiment/report/report.h"
#include "experiment/report/run_groups.h"

namespace qmse {

// Mean and sample standard deviation (n - 1).
struct Spread {
  std::size_t count = 0;
  double mean = 0, deviation = 0;
};
Spread spread(const std::vector<double>& values);

// "98.71 ± 0.05"; without a deviation for one value, "–" for none, "not finite" where the mean is not.
std::string spread_text(const Spread& spread, int decimals);

// One row a group: how its runs ended ("2 of 3 diverged") and, over those that finished, final and best
// accuracies in per cent and the final means of ||r||^2, as mean ± standard deviation over the seeds.
ReportTable summary_table(const std::vector<RunGroup>& groups);

}  // namespace qmse
