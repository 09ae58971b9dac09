// The layers: thin descriptions over the recording functions of models/operations.h.
#pragma once

#include "kernels/bias_activation/activation.h"
#include "models/layer.h"

namespace qmse {

// 2-D convolution with bias. Parameters: weight [out_channels, in_channels, kernel, kernel], bias
// [out_channels].
class Conv2dLayer final : public Layer {
 public:
  Conv2dLayer(std::int64_t out_channels, std::int64_t kernel, std::int64_t padding, std::int64_t stride = 1)
      : out_channels_(out_channels), kernel_(kernel), padding_(padding), stride_(stride) {}
  Shape output_shape(const Shape& input) const override;
  std::vector<ParameterSpec> parameters(const Shape& input) const override;
  Value record(Tape& tape, const std::string& name, Value input,
               std::span<const Value> parameters) const override;

  std::int64_t out_channels() const { return out_channels_; }
  std::int64_t padding() const { return padding_; }
  std::int64_t stride() const { return stride_; }

 private:
  std::int64_t out_channels_, kernel_, padding_, stride_;
};

// y = x wT + b over [features]. Parameters: weight [out_features, in_features], bias [out_features].
class LinearLayer final : public Layer {
 public:
  explicit LinearLayer(std::int64_t out_features) : out_features_(out_features) {}
  Shape output_shape(const Shape& input) const override;
  std::vector<ParameterSpec> parameters(const Shape& input) const override;
  Value record(Tape& tape, const std::string& name, Value input,
               std::span<const Value> parameters) const override;

 private:
  std::int64_t out_features_;
};

// relu, tanh or sigmoid, element by element; identity records nothing.
class ActivationLayer : public Layer {
 public:
  explicit ActivationLayer(Activation activation) : activation_(activation) {}
  Shape output_shape(const Shape& input) const override { return input; }
  Value record(Tape& tape, const std::string& name, Value input,
               std::span<const Value> parameters) const override;
  Activation activation() const { return activation_; }

 private:
  Activation activation_;
};

class ReluLayer final : public ActivationLayer {
 public:
  ReluLayer() : ActivationLayer(Activation::relu) {}
};

// Square windows that do not overlap; rows and columns that fill no window are left out.
class MaxPool2dLayer final : public Layer {
 public:
  explicit MaxPool2dLayer(std::int64_t window) : window_(window) {}
  Shape output_shape(const Shape& input) const override;
  Value record(Tape& tape, const std::string& name, Value input,
               std::span<const Value> parameters) const override;
  std::int64_t window() const { return window_; }

 private:
  std::int64_t window_;
};

// [C, H, W] to [C * H * W]; no copy.
class FlattenLayer final : public Layer {
 public:
  Shape output_shape(const Shape& input) const override { return {input.count()}; }
  Value record(Tape& tape, const std::string& name, Value input,
               std::span<const Value> parameters) const override;
};

}  // namespace qmse
