// What has to be known to build a model again: architecture, sizes, shapes. It is stored with the weights.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "experiment/run/config.h"
#include "models/sequential.h"

namespace qmse {

// Every architecture there is. The settings of its own are those of the table that are only_with its name.
struct ModelKind {
  std::string_view name;   // as in settings and files
  std::string_view label;  // for people
  bool fully_connected;    // linear layers and activations alone: it takes tables too, not only images
  Activation (*activation)(const TrainConfig& config);  // of hidden units
  Sequential (*make)(const TrainConfig& config, const Shape& input, std::int64_t classes);
};
const std::vector<ModelKind>& models();
// Null for another name.
const ModelKind* find_model(std::string_view name);

struct ModelDescription {
  std::string model;  // a name of models()
  Shape input;        // of one sample, [C, H, W]
  std::int64_t classes = 0;
  Json settings;  // those of its architecture alone: {"conv_channels": [32, 64], ...}

  bool operator==(const ModelDescription&) const = default;
};

// The settings of `config` for samples of this shape.
ModelDescription describe_model(const TrainConfig& config, const Shape& input, std::int64_t classes);

// Settings that lead to this description; all others have their defaults.
TrainConfig config_of(const ModelDescription& description);

Activation hidden_activation(const ModelDescription& description);

// Throws ShapeError where the input is too small for the architecture.
Sequential make_model(const ModelDescription& description);

// {"model": "cnn", "input_shape": [1, 28, 28], "classes": 10, "conv_channels": [32, 64], ...}
std::string to_text(const ModelDescription& description);
// Inverse of to_text(). DataError, beginning with `source`, for anything else.
ModelDescription parse_model_description(std::string_view text, const std::string& source);

}  // namespace qmse
