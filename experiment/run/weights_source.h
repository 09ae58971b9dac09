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

// DataError for a directory without final weights.
WeightsSource find_weights(const std::filesystem::path& path);

// `given` over what the weights at `path` were trained with: settings_of(card) and, of a run directory, where
// its data lie and what its record says of labels, loss and
// reduction. DataError where config.json is damaged.
ConfigJson settings_with_weights(const std::filesystem::path& path, const ModelCard& card,
                                 const ConfigJson& given);

// weights_sha256() of what is there: equal digests are the same start, whatever the path. IoError, DataError.
std::string first_weights_sha256(const std::filesystem::path& path);

}  // namespace qmse
