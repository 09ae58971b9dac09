// The block as its three operations, one after the other: the f64 path, and that of a build without oneDNN.

#include "base/build_config.h"
#include "base/error.h"
#include "kernels/bias_activation/bias_activation.h"
#include "kernels/conv_block/conv_block.h"
#include "kernels/conv_block/conv_block_plain.h"

namespace qmse {

namespace {

template <class T>
class PlainConvBlock final : public ConvBlock<T> {
 public:
  PlainConvBlock(CpuContext& context, const ConvBlockShape& shape, std::unique_ptr<Conv2d<T>> conv)
      : context_(context),
        conv_(std::move(conv)),
        pool_(shape.pool()),
        outputs_(pool_.batch * pool_.channels * pool_.in_height * pool_.in_width),
        activation_(context.memory(), sizeof(T) * outputs_, "conv block activation"),
        gradient_(context.memory(), sizeof(T) * outputs_, "conv block gradient"),
        choice_(context.memory(), pool_.batch * pool_.channels * pool_.out_height() * pool_.out_width(),
                "conv block pooling choice") {}

  void forward(const T* x, const T* w, const T* bias, T* y) override {
    T* activation = activation_.template as<T>();
    conv_->forward(x, w, nullptr, activation);
    bias_activation_forward(context_, {pool_.batch, pool_.channels, pool_.in_height * pool_.in_width},
                            Activation::relu, activation, bias, activation);
    max_pool2d_forward(context_, pool_, activation, y, choice_.as<std::uint8_t>());
  }

  void backward(const T* x, const T* w, const T* dy, T* dx, T* dw, T* db) override {
    T* gradient = gradient_.template as<T>();
    max_pool2d_backward(context_, pool_, dy, choice_.as<std::uint8_t>(), gradient);
    activation_backward(context_, outputs_, Activation::relu, activation_.template as<T>(), gradient,
                        gradient);
    conv_->backward_weights(x, gradient, dw, db);
    if (dx != nullptr) conv_->backward_data(w, gradient, dx);
  }

  const char* algorithm() const override { return conv_->algorithm(); }
  bool slow() const override { return conv_->slow(); }

 private:
  CpuContext& context_;
  std::unique_ptr<Conv2d<T>> conv_;
  MaxPool2dShape pool_;
  std::int64_t outputs_;
  Buffer activation_, gradient_, choice_;
};

}  // namespace

template <class T>
std::unique_ptr<ConvBlock<T>> make_plain_conv_block(CpuContext& context, const ConvBlockShape& shape,
                                                    const std::string& reason) {
  check(shape.conv);
  check(shape.pool());
  if (shape.input_layout != Layout::plain || shape.output_layout != Layout::plain)
    throw ShapeError("plain convolution block: blocked layouts need oneDNN; ask preferred_layout first");
  return std::make_unique<PlainConvBlock<T>>(context, shape,
                                             make_plain_conv2d<T>(context, shape.conv, reason));
}

template std::unique_ptr<ConvBlock<float>> make_plain_conv_block(CpuContext&, const ConvBlockShape&,
                                                                 const std::string&);
template std::unique_ptr<ConvBlock<double>> make_plain_conv_block(CpuContext&, const ConvBlockShape&,
                                                                  const std::string&);

std::unique_ptr<ConvBlock<double>> make_conv_block(CpuContext& context, Precision<double>,
                                                   const ConvBlockShape& shape, BackwardNeeds) {
  return make_plain_conv_block<double>(context, shape);
}

Layout preferred_layout(CpuContext&, Precision<double>, std::int64_t) { return Layout::plain; }

#if !QMSE_ONEDNN
std::unique_ptr<ConvBlock<float>> make_conv_block(CpuContext& context, Precision<float>,
                                                  const ConvBlockShape& shape, BackwardNeeds) {
  return make_plain_conv_block<float>(context, shape);
}

Layout preferred_layout(CpuContext&, Precision<float>, std::int64_t) { return Layout::plain; }
#endif

}  // namespace qmse
