#include <string>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/conv_block/conv_block.h"
#include "kernels/core/cuda_context.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

class CudaConvBlock final : public ConvBlock<float> {
 public:
  CudaConvBlock(CudaContext& context, const ConvBlockShape& shape, BackwardNeeds needs)
      : context_(context), pool_(shape.pool()), convolution_(make_conv2d<float>(context, shape.conv, needs)) {
    const std::int64_t planes = pool_.batch * pool_.channels;
    const auto inputs = static_cast<std::size_t>(planes * pool_.in_height * pool_.in_width);
    const auto outputs = static_cast<std::size_t>(planes * pool_.out_height() * pool_.out_width());
    convolved_ = Buffer(context.memory(), inputs * sizeof(float), "conv_block convolution output");
    choice_ = Buffer(context.memory(), outputs, "conv_block max-pool choice");
    partials_ =
        Buffer(context.memory(), static_cast<std::size_t>(pool_backward_partials(pool_)) * sizeof(double),
               "conv_block partial bias gradients");
  }

  void forward(const float* x, const float* w, const float* bias, float* y) override {
    convolution_->forward(x, w, nullptr, convolved_.as<float>());
    bias_relu_max_pool_forward(context_, pool_, convolved_.as<float>(), bias, y, choice_.as<std::uint8_t>());
  }

  void backward(const float* x, const float* w, const float* dy, float* dx, float* dw, float* db) override {
    // Only the choice is needed of the forward pass, so the convolution's output makes room for its gradient.
    float* gradient = convolved_.as<float>();
    bias_relu_max_pool_backward(context_, pool_, dy, choice_.as<std::uint8_t>(), gradient, db,
                                partials_.as<double>());
    convolution_->backward_weights(x, gradient, dw, nullptr);
    if (dx != nullptr) convolution_->backward_data(w, gradient, dx);
  }

  const char* algorithm() const override { return convolution_->algorithm(); }

 private:
  CudaContext& context_;
  MaxPool2dShape pool_;
  std::unique_ptr<Conv2d<float>> convolution_;
  Buffer convolved_, choice_, partials_;
};

}  // namespace

template <class T>
std::unique_ptr<ConvBlock<T>> make_conv_block(CudaContext& context, const ConvBlockShape& shape,
                                              BackwardNeeds needs) {
  check(shape.conv);
  check(shape.pool());
  if (shape.input_layout != Layout::plain || shape.output_layout != Layout::plain) {
    throw ShapeError("conv_block: the CUDA backend keeps tensors in the plain layout only");
  }
  return std::make_unique<CudaConvBlock>(context, shape, needs);
}
template std::unique_ptr<ConvBlock<float>> make_conv_block(CudaContext&, const ConvBlockShape&,
                                                           BackwardNeeds);

template <class T>
Layout preferred_layout(CudaContext&, std::int64_t) {
  return Layout::plain;
}
template Layout preferred_layout<float>(CudaContext&, std::int64_t);

}  // namespace qmse
