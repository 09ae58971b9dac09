// Runs for other programs: one tidy table, and TensorBoard's event files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiment/report/report_table.h"
#include "experiment/run/run_record.h"

namespace qmse {

// A row for each epoch of each run: the run's directory, how it ended, the settings in which the runs differ
// with their seed, and every number of metrics.jsonl in its own units; empty where a run has none.
ReportTable tidy_table(const std::vector<RunRecord>& runs);

// An event file as TensorBoard reads it: every number of every epoch as a scalar, its step the epoch, its time
// that of the run's start and the seconds since.
std::string tensorboard_events(const RunRecord& run);

// Writes <out>/<run's directory below `folder`>/events.out.tfevents.<time>.qmse for each run. IoError.
void write_tensorboard(const std::vector<RunRecord>& runs, const std::filesystem::path& out);

}  // namespace qmse
