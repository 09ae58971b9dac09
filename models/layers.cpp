#include "models/layers.h"

#include "kernels/conv2d/conv2d.h"
#include "kernels/max_pool2d/max_pool2d.h"

namespace qmse {

namespace {

Shape image_shape(const Shape& input, const char* layer) {
  if (input.dimensions() != 3) {
    throw ShapeError(std::string(layer) + " takes images [C, H, W], not " + to_string(input));
  }
  return input;
}

}  // namespace

Shape Conv2dLayer::output_shape(const Shape& input) const {
  const Shape image = image_shape(input, "a convolution");
  const Conv2dShape shape{1,       image[0], image[1], image[2], out_channels_,
                          kernel_, kernel_,  padding_, stride_};
  check(shape);
  return {out_channels_, shape.out_height(), shape.out_width()};
}

std::vector<ParameterSpec> Conv2dLayer::parameters(const Shape& input) const {
  const std::int64_t in_channels = image_shape(input, "a convolution")[0];
  const std::int64_t area = kernel_ * kernel_;
  const std::int64_t fan_in = in_channels * area, fan_out = out_channels_ * area;
  return {{"weight", {out_channels_, in_channels, kernel_, kernel_}, fan_in, fan_out, false},
          {"bias", {out_channels_}, fan_in, fan_out, true}};
}

Value Conv2dLayer::record(Tape& tape, const std::string& name, Value input,
                          std::span<const Value> parameters) const {
  return record_conv2d(tape, name, input, parameters[0], parameters[1], options());
}

Shape LinearLayer::output_shape(const Shape& input) const {
  if (input.dimensions() != 1) {
    throw ShapeError("a linear layer takes [features], not " + to_string(input) +
                     ": put a FlattenLayer before it");
  }
  if (out_features_ < 1)
    throw ShapeError("a linear layer needs at least one output, not " + std::to_string(out_features_));
  return {out_features_};
}

std::vector<ParameterSpec> LinearLayer::parameters(const Shape& input) const {
  const std::int64_t in_features = input[0];
  return {{"weight", {out_features_, in_features}, in_features, out_features_, false},
          {"bias", {out_features_}, in_features, out_features_, true}};
}

Value LinearLayer::record(Tape& tape, const std::string& name, Value input,
                          std::span<const Value> parameters) const {
  const bool fused = activation_ == Activation::relu && tape.options().fuse;
  const Value sums = record_linear(tape, name, input, parameters[0], parameters[1],
                                   fused ? activation_ : Activation::identity);
  if (fused || activation_ == Activation::identity) return sums;
  return record_activation(tape, activation_name_, sums, activation_);
}

Value ActivationLayer::record(Tape& tape, const std::string& name, Value input,
                              std::span<const Value>) const {
  if (activation_ == Activation::identity) return input;
  return record_activation(tape, name, input, activation_);
}

Shape MaxPool2dLayer::output_shape(const Shape& input) const {
  const Shape image = image_shape(input, "max-pooling");
  const MaxPool2dShape shape{1, image[0], image[1], image[2], window_};
  check(shape);
  return {image[0], shape.out_height(), shape.out_width()};
}

Value MaxPool2dLayer::record(Tape& tape, const std::string& name, Value input, std::span<const Value>) const {
  return record_max_pool2d(tape, name, input, window_);
}

Shape ConvBlockLayer::output_shape(const Shape& input) const {
  const Shape convolved = convolution_.output_shape(input);
  try {
    return pool_.output_shape(convolved);
  } catch (const ShapeError& error) {
    throw ShapeError("'" + options_.pool_name + "': " + error.what());
  }
}

std::vector<ParameterSpec> ConvBlockLayer::parameters(const Shape& input) const {
  return convolution_.parameters(input);
}

Value ConvBlockLayer::record(Tape& tape, const std::string& name, Value input,
                             std::span<const Value> parameters) const {
  if (tape.options().fuse) {
    const Layout layout =
        options_.before_block ? preferred_layout(tape, convolution_.out_channels()) : Layout::plain;
    return record_conv_block(tape, name, input, parameters[0], parameters[1], convolution_.options(),
                             pool_.window(), layout);
  }
  const Value sums = convolution_.record(tape, name, input, parameters);
  const Value positive = record_activation(tape, options_.relu_name, sums, Activation::relu);
  return pool_.record(tape, options_.pool_name, positive, {});
}

Value FlattenLayer::record(Tape& tape, const std::string& name, Value input, std::span<const Value>) const {
  const Shape& shape = tape.shape(input);
  return tape.reshape(name, input, {shape[0], shape.without_batch().count()});
}

}  // namespace qmse
