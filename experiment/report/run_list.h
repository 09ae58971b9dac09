// Runs as lines to find one by, and as a view of what is going on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiment/report/report_table.h"
#include "experiment/run/run_record.h"

namespace qmse {

// A row a run, the latest start last: when it began (UTC; of a record without, when config.json was written),
// where below `folder`, the settings in which the runs differ, how it ended, its last figures, its note. What
// cannot be read comes first, with the reason. csv: figures have the keys and numbers of metrics.jsonl.
ReportTable run_list(const RunsFound& found, const std::filesystem::path& folder,
                     TableFormat format = TableFormat::text);

// A look at runs that other processes train.
struct RunsView {
  std::vector<std::string> lines;  // how many there are and how far, then a line for each that goes on, or,
                                   // where there is one run alone, its curve so far
  bool going_on = false;           // some process holds the lock of one of them
};
RunsView look_at_runs(const std::filesystem::path& folder);

}  // namespace qmse
