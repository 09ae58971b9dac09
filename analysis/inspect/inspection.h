// What `qmse inspect` does: trained weights over the first images of a data set, and what theory says of such
// a point (docs/theory.md 7, docs/inspect.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "data/image_dataset.h"
#include "experiment/run/config.h"

namespace qmse {

struct InspectionRequest {
  Json given;                     // dataset, data, labels, loss, reduction and threads, where given
  std::filesystem::path weights;  // a weights file, a checkpoint, or a run directory for its final weights
  Split split = Split::train;
  std::int64_t samples = 64;            // the first so many images; their Jacobian is calculated
  std::int64_t unit_samples = 1000;     // the first so many, at least `samples`: over these units are counted
  std::filesystem::path jacobian = {};  // where D itself goes, with inputs and outputs; empty: nowhere
  std::function<bool()> stop = {};      // asked between samples; Stopped where it answers yes
};

// As JSON: every figure, "sentences" in words, and the arrays that its picture is drawn from
// (experiment/report/inspection_section.h). In f64 on the CPU; the same bytes for every number of threads.
// Steps and noise are those of a training with the run's own batch size, momentum and v where the weights are
// a run's or a checkpoint, else with the usual settings. ConfigError, DataError, IoError; ConfigError too
// where D would be too large; NumericError where outputs are not finite.
Json inspect(const InspectionRequest& request);

}  // namespace qmse
