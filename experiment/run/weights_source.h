// What --weights and --init-from name: a weights file or a checkpoint, or
// a run directory for its final weights.
#pragma once

#include <filesystem>
#include <string>

#include "experiment/run/config.h"
#include "experiment/run/weights_file.h"

namespace qmse {

struct WeightsSource {
  std::filesystem::path file;
  std::string note = {};  // one line where a run's final weights are not those of its checkpoint; else empty
};

// DataError for a directory without final weights, and where check_recorded_weights() finds others than a
// run's own final or best ones.
WeightsSource find_weights(const std::filesystem::path& path);

// DataError where `file` lies in a run's folder and the run records other weights for its step: by their SHA-256
// in metrics.jsonl.
void check_recorded_weights(const std::filesystem::path& file);

// `given` over what the weights at `path` were trained with: settings_of(card) and, of a run directory, where
// its data lie and what its record says of labels, loss and
// reduction. DataError where config.json is damaged.
Json settings_with_weights(const std::filesystem::path& path, const ModelCard& card, const Json& given);

// The images of config.dataset that a model of `card` is looked at with; `weights` is its file. DataError where
// the model takes others: another shape, another number of classes, or, on the data set it was trained on,
// classes of other names. ConfigError, IoError as load_dataset().
ImageDataset load_images_for(const ModelCard& card, const std::filesystem::path& weights,
                             const TrainConfig& config, Split split);

// ConfigError where the weights in `file` were trained on a table, for what looks at models of images alone.
void check_of_images(const ModelCard& card, const std::filesystem::path& file);

// weights_sha256() of what is there, a run's own or not: equal digests are the same start, whatever the path.
// IoError, DataError.
std::string first_weights_sha256(const std::filesystem::path& path);

}  // namespace qmse
