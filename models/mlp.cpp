#include "models/mlp.h"

#include "models/layers.h"

namespace qmse {

Sequential make_mlp(const Shape& input, std::int64_t classes, const MlpOptions& options) {
  Sequential model(input);
  model.emplace<FlattenLayer>("flatten");
  int number = 0;
  for (const std::int64_t width : options.widths) {
    const std::string suffix = std::to_string(++number);
    model.emplace<LinearLayer>("fc" + suffix, width, options.activation, "act" + suffix);
  }
  model.emplace<LinearLayer>("fc" + std::to_string(number + 1), classes);
  return model;
}

}  // namespace qmse
