// The layers: thin descriptions over the recording functions of models/operations.h.
#pragma once

#include <string>
#include <utility>

#include "kernels/bias_activation/activation.h"
#include "models/layer.h"
#include "models/operations.h"

namespace qmse {

// 2-D convolution with bias. Parameters: weight [out_channels, in_channels, kernel, kernel],
// bias [out_channels].
class Conv2dLayer final : public Layer {
 public:
  Conv2dLayer(std::int64_t out_channels, std::int64_t kernel, std::int64_t padding, std::int64_t stride = 1)
      : out_channels_(out_channels), kernel_(kernel), padding_(padding), stride_(stride) {}
  Shape output_shape(const Shape& input) const override;
  std::vector<ParameterSpec> parameters(const Shape& input) const override;
  Value record(Tape& tape, const std::string& name, Value input,
               std::span<const Value> parameters) const override;

  std::int64_t out_channels() const { return out_channels_; }
  Conv2dOptions options() const { return {padding_, stride_}; }

 private:
  std::int64_t out_channels_, kernel_, padding_, stride_;
};

// y = activation(x wT + b) over [features]. Parameters: weight [out_features, in_features], bias
// [out_features]. Where the tape fuses, ReLU is part of the layer's node; else an activation is a node of its
// own, under the name that is given here.
class LinearLayer final : public Layer {
 public:
  explicit LinearLayer(std::int64_t out_features) : out_features_(out_features) {}
  LinearLayer(std::int64_t out_features, Activation activation, std::string activation_name)
      : out_features_(out_features), activation_(activation), activation_name_(std::move(activation_name)) {}
  Shape output_shape(const Shape& input) const override;
  std::vector<ParameterSpec> parameters(const Shape& input) const override;
  Value record(Tape& tape, const std::string& name, Value input,
               std::span<const Value> parameters) const override;

 private:
  std::int64_t out_features_;
  Activation activation_ = Activation::identity;
  std::string activation_name_;
};

// relu, tanh or sigmoid, element by element; identity records nothing.
class ActivationLayer final : public Layer {
 public:
  explicit ActivationLayer(Activation activation) : activation_(activation) {}
  Shape output_shape(const Shape& input) const override { return input; }
  Value record(Tape& tape, const std::string& name, Value input,
               std::span<const Value> parameters) const override;

 private:
  Activation activation_;
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

// A convolution, ReLU and a max-pool. Parameters: the convolution's. One node where the tape fuses; else
// three, ReLU's and the pool's under the names that are given here. The values are the same.
class ConvBlockLayer final : public Layer {
 public:
  struct Options {
    std::string relu_name, pool_name;
    bool before_block = false;  // the next layer is one of these too: then the result may be in any layout
  };
  ConvBlockLayer(const Conv2dLayer& convolution, const MaxPool2dLayer& pool, Options options)
      : convolution_(convolution), pool_(pool), options_(std::move(options)) {}
  Shape output_shape(const Shape& input) const override;
  std::vector<ParameterSpec> parameters(const Shape& input) const override;
  Value record(Tape& tape, const std::string& name, Value input,
               std::span<const Value> parameters) const override;

 private:
  Conv2dLayer convolution_;
  MaxPool2dLayer pool_;
  Options options_;
};

// [C, H, W] to [C * H * W]; no copy.
class FlattenLayer final : public Layer {
 public:
  Shape output_shape(const Shape& input) const override { return {input.count()}; }
  Value record(Tape& tape, const std::string& name, Value input,
               std::span<const Value> parameters) const override;
};

}  // namespace qmse
