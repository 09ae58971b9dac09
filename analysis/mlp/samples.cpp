#include "analysis/mlp/samples.h"

#include <string>

#include "base/error.h"

namespace qmse {

Samples make_samples(std::int64_t count, std::int64_t inputs, std::int64_t outputs) {
  if (count < 1 || inputs < 1 || outputs < 1) {
    throw ShapeError("samples need at least one sample, input and output, not " + std::to_string(count) +
                     ", " + std::to_string(inputs) + " and " + std::to_string(outputs));
  }
  Samples samples{
      .count = count, .inputs = inputs, .outputs = outputs, .stride = (count + 3) / 4 * 4, .x = {}, .y = {}};
  samples.x.resize(static_cast<std::size_t>(inputs * samples.stride));
  samples.y.resize(static_cast<std::size_t>(outputs * samples.stride));
  return samples;
}

double mean_target(const Samples& samples, std::int64_t output) {
  double mean = 0;
  for (std::int64_t n = 0; n < samples.count; ++n)
    mean += samples.target(n, output) / static_cast<double>(samples.count);
  return mean;
}

}  // namespace qmse
