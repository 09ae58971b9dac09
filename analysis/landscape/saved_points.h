// Networks at points that were kept: of a points.safetensors of `qmse landscape`, with the data beside them,
// or the weights of a fully connected network that `qmse train` made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "analysis/mlp/mlp.h"

namespace qmse {

struct LoadedPoint {
  std::string name;
  MlpShape shape = {};
  MlpObjective objective = {};
  Samples samples = {};
  std::vector<double> weights = {};
};

// `path`: points.safetensors, or an experiment's folder that holds one; `point`: one of its names, or empty
// for the first. ConfigError with the names there are where there is none of this one, IoError, DataError.
LoadedPoint load_point(const std::filesystem::path& path, const std::string& point);

}  // namespace qmse
