// Loss and accuracy of a model over a data set.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/image_dataset.h"
#include "data/normalization.h"
#include "engine/training_loop.h"
#include "experiment/run/config.h"

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

// Of a table's rows: the mean of ||y - mean y||^2, y as `normalization` makes it.
double target_variance(const ImageDataset& table, const Normalization& normalization);
// 1 - mean ||r||^2 / that: 1 where all is explained, 0 where no more than by the mean. NaN for one row.
double r_squared(const Scores& scores, double variance);

// What a model says of one sample.
struct Prediction {
  std::int64_t index = 0;           // in the data set
  std::int32_t label = -1;          // of a table -1
  std::span<const double> outputs;  // one for each class; of a table in the units of its targets
  std::span<const double> targets;  // of a table, likewise
};

struct EvaluationRequest {
  Json given;                     // dataset, data, labels, loss, reduction and the machine, where given
  std::filesystem::path weights;  // a weights file, or a run directory for its model.safetensors
  Split split = Split::test;
  std::function<void(const Prediction&)> each = {};  // called for each sample, in their order; may be empty
};

struct EvaluationReport {
  std::optional<std::int64_t> step;  // the weights' own, where their file says it
  std::string stale;                 // one line where their run has gone on since; else empty
  std::string dataset, trained_on;   // names of the data sets evaluated on and trained on
  std::string difference;            // how the classes of the two differ; empty where they do not
  std::string loss, reduction;
  std::int64_t samples = 0;
  Scores scores;
  std::vector<std::string> class_names;
  std::vector<double> per_class_accuracy;            // [c]; of a class without samples 0
  std::vector<std::vector<std::int64_t>> confusion;  // [label][prediction]
  std::optional<double> r2;                          // of a table, which has neither accuracy nor confusion
  std::int64_t no_prediction = 0;                    // samples with an output that is NaN: in no column
};

// What `qmse evaluate` does: the weights over a split of a data set. Settings that are not given are those
// the weights were trained with, as their metadata, or the run directory, says; of a file that says nothing, as
// PyTorch's save_file() writes it, model, data set and loss must be given, and the normalisation is that of the
// training images. ConfigError where a setting is wrong or nothing says the loss; DataError where file and
// data set, or file and model, do not fit together.
EvaluationReport evaluate(const EvaluationRequest& request);

Json to_json(const EvaluationReport& report);

}  // namespace qmse
