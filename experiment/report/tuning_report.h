// How the comparison of tuned settings is told: tables, notes, warnings and a figure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "experiment/report/figure.h"
#include "experiment/report/report_table.h"
#include "experiment/report/tuning.h"

namespace qmse {

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
