// What a run writes and shows while it trains, each thing an observer of its own.
#pragma once

#include <memory>
#include <vector>

#include "experiment/run/run_directory.h"
#include "experiment/run/run_warnings.h"
#include "experiment/run/training.h"
#include "experiment/run/training_run.h"

namespace qmse {

// In the order that matters: a checkpoint says that all before it is on the disk, and an epoch is announced
// when it is. What is passed by reference must outlive them. IoError where a log cannot be opened.
std::vector<std::unique_ptr<TrainingObserver>> run_observers(const TrainConfig& config,
                                                             const RunDirectory& directory,
                                                             const TrainingEvents& events,
                                                             RunWarnings warnings);

}  // namespace qmse
