#include "models/simple_cnn.h"

#include "models/layers.h"

namespace qmse {

Sequential make_simple_cnn(const Shape& input, std::int64_t classes, const SimpleCnnOptions& options) {
  Sequential model(input);
  const std::size_t blocks = options.conv_channels.size();
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::string number = std::to_string(i + 1);
    model.emplace<ConvBlockLayer>(
        "conv" + number, Conv2dLayer(options.conv_channels[i], options.kernel, options.padding),
        MaxPool2dLayer(options.pool_window),
        ConvBlockLayer::Options{
            .relu_name = "relu" + number, .pool_name = "pool" + number, .before_block = i + 1 < blocks});
  }
  model.emplace<FlattenLayer>("flatten")
      .emplace<LinearLayer>("fc1", options.fc_width, Activation::relu, "relu_fc1")
      .emplace<LinearLayer>("fc2", classes);
  return model;
}

}  // namespace qmse
