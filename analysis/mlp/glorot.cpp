#include "analysis/mlp/glorot.h"

#include <cmath>

#include "random/random_stream.h"

namespace qmse {

std::vector<double> glorot_weights(const MlpShape& shape, std::uint64_t seed) {
  RandomStream random(seed, RandomPurpose::initial_weights);
  std::vector<double> w;
  for (std::int64_t layer = 1; layer <= shape.layers(); ++layer) {
    const std::int64_t in = shape.widths[static_cast<std::size_t>(layer - 1)],
                       out = shape.widths[static_cast<std::size_t>(layer)];
    const double reach = std::sqrt(6.0 / static_cast<double>(in + out));
    for (std::int64_t i = 0; i < in * out; ++i) w.push_back(random.uniform(-reach, reach));
    if (shape.biases) w.insert(w.end(), static_cast<std::size_t>(out), 0.0);
  }
  return w;
}

}  // namespace qmse
