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

struct EvaluationRequest {
  Json given;                     // dataset, data, labels, loss, reduction and the machine, where given
  std::filesystem::path weights;  // a weights file, or a run directory for its model.safetensors
  Split split = Split::test;
  // Called for each image with its index, label and outputs, in the images' order; may be empty.
  std::function<void(std::int64_t index, std::int32_t label, std::span<const float> outputs)> each = {};
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
