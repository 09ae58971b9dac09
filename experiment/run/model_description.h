// What has to be known to build a model again: architecture, sizes, shapes. It is stored with the weights.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "experiment/run/config.h"
#include "models/sequential.h"

namespace qmse {

struct ModelDescription {
  std::string model = "cnn";  // names and defaults as in TrainConfig
  Shape input;                // of one sample, [C, H, W]
  std::int64_t classes = 0;
  std::vector<std::int64_t> conv_channels;  // cnn
  std::int64_t kernel_size = 3;             // cnn
  std::int64_t fc_width = 0;                // cnn
  std::vector<std::int64_t> mlp_widths;     // mlp
  std::string activation = "relu";          // mlp

  bool operator==(const ModelDescription&) const = default;
};

// The settings of `config` for samples of this shape; only those of its architecture.
ModelDescription describe_model(const TrainConfig& config, const Shape& input, std::int64_t classes);

// Settings that lead to this description; all others have their defaults.
TrainConfig config_of(const ModelDescription& description);

// Throws ShapeError where the input is too small for the architecture.
Sequential make_model(const ModelDescription& description);

// {"model": "cnn", "input_shape": [1, 28, 28], "classes": 10, "conv_channels": [32, 64], ...}
std::string to_text(const ModelDescription& description);
// Inverse of to_text(). DataError, beginning with `source`, for anything else.
ModelDescription parse_model_description(std::string_view text, const std::string& source);

}  // namespace qmse
