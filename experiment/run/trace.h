// One forward and backward of a training's first batch, with everything it calculated, in one file: anyone
// can check it with any other software (tests/oracle does with PyTorch).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/dtype.h"
#include "experiment/run/config.h"

namespace qmse {

struct TraceRequest {
  Json given;                     // data, model and loss settings, batch_size and seeds
  std::filesystem::path weights;  // a file or a run directory (weights_source.h); empty: initial weights
  DType dtype = DType::f32;       // f32 or f64
  std::int64_t step = 1;          // draw v as this step of a training does, counted from 1
  std::filesystem::path out;
};

struct TraceSummary {
  std::string device;
  std::vector<std::string> tensors;
  double loss = 0;
  std::string stale = {};  // one line where the run of these weights has gone on since; else empty
};

// Writes a safetensors file:
//   input [B, C, H, W] (normalised), target [B] (i64), output [B, c], residual [B, c], v [B, c] (QMSE only),
//   sample_loss [B], loss [1], grad.output [B, c], param.<name> and grad.<name> for each parameter, and
//   activation.<layer> for each layer's output (identity activations have none of their own).
// Its metadata holds the settings and the model as in a weights file. The batch and weights are those of the
// first step of `qmse train` with the same settings, and so is v unless another step is asked for. Throws
// ConfigError (settings; a step below 1 or above 2^32; settings that contradict the weights file; a batch
// larger than the data set), DataError, IoError.
TraceSummary write_trace(const TraceRequest& request);

}  // namespace qmse
