#include "models/simple_cnn.h"

#include "models/layers.h"

namespace qmse {

Sequential make_simple_cnn(const Shape& input, std::int64_t classes, const SimpleCnnOptions& options) {
  Sequential model(input);
  int number = 0;
  for (const std::int64_t channels : options.conv_channels) {
    const std::string suffix = std::to_string(++number);
    model.emplace<Conv2dLayer>("conv" + suffix, channels, options.kernel, options.padding)
        .emplace<ReluLayer>("relu" + suffix)
        .emplace<MaxPool2dLayer>("pool" + suffix, options.pool_window);
  }
  model.emplace<FlattenLayer>("flatten")
      .emplace<LinearLayer>("fc1", options.fc_width)
      .emplace<ReluLayer>("relu_fc1")
      .emplace<LinearLayer>("fc2", classes);
  return model;
}

}  // namespace qmse
