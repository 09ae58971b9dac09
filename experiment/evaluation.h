// Loss and accuracy of a model over a data set.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "data/image_dataset.h"
#include "engine/training_loop.h"
#include "experiment/config.h"

namespace qmse {

// The batch size of every evaluation: the figures of a run and those of `qmse evaluate` are the same to the
// last bit.
inline constexpr std::int64_t kEvaluationBatch = 256;

// Means over a data set.
struct Scores {
  double loss = 0;         // without randomness: QMSE's is its expectation
  double residual_sq = 0;  // mean of ||r||^2
  double accuracy = 0;     // a fraction
};
Scores scores(const EpochMetrics& metrics);

struct EvaluationReport {
  std::int64_t samples = 0;
  Scores scores;
  std::vector<std::string> class_names;
  std::vector<double> per_class_accuracy;            // [c]; of a class without samples 0
  std::vector<std::vector<std::int64_t>> confusion;  // [label][prediction]
};

// What `qmse evaluate` does: the weights in `weights_file`, which says architecture and normalisation, over a
// split of config.dataset with config.loss. DataError where file and data set do not fit together.
EvaluationReport evaluate(const TrainConfig& config, const std::filesystem::path& weights_file, Split split);

ConfigJson to_json(const EvaluationReport& report);

}  // namespace qmse
