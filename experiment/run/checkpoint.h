// Where a training stands, on disk: a weights file that also holds the optimizer's state, the position and
// the settings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "engine/optimizer.h"
#include "engine/parameters.h"
#include "experiment/run/config.h"
#include "experiment/run/weights_file.h"
#include "kernels/step_totals/step_totals.h"

namespace qmse {

// Between two steps. With `epoch` epochs done and counter.index steps of the next.
struct TrainingPosition {
  std::int64_t epoch = 0;
  StepCounter counter;
  EpochMetrics metrics;     // what the epoch added up so far
  double seconds = 0;       // spent on the epoch so far
  double step_seconds = 0;  // of them on training steps
};

// Replaces the file. Tensors "optimizer.<state>.<parameter>" and, one number each, "training.<number>" stand
// beside the weights; "qmse.crc32" in the metadata is a checksum of all of it.
void write_checkpoint(const std::filesystem::path& path, const ParameterStore& store,
                      const Optimizer& optimizer, const TrainingPosition& position, const ModelCard& card,
                      const TrainConfig& config);

// The position alone: enough to see whether a run is finished. DataError for a file that is no checkpoint,
// is of a later format, does not have its checksum (one by qmse before there were checksums has none), or
// holds numbers that cannot be.
TrainingPosition read_position(const SafetensorsFile& file);

// The settings of the training that wrote a checkpoint or a trace; nothing where the file has none, as by
// earlier versions. DataError where they are damaged.
std::optional<TrainConfig> recorded_config(const SafetensorsFile& file);

// DataError where `position` cannot be one of a training over so many images in batches of this size.
void check_position(const TrainingPosition& position, std::int64_t samples, std::int64_t batch_size,
                    const std::filesystem::path& path);

// Weights and optimizer state. Errors as read_flat().
void read_checkpoint(const SafetensorsFile& file, ParameterStore& store, const Optimizer& optimizer);

}  // namespace qmse
