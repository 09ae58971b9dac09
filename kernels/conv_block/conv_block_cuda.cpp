#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/error.h"
#include "device/branches.h"
#include "device/cuda_context.h"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/conv_block/conv_block.h"
#include "kernels/pooled_conv/pooled_conv_plan.h"
#include "kernels/pooled_conv/pooled_conv_shape.h"

namespace qmse {
namespace {

// Each of the three passes by the pooled convolution's kernels where they take the shape, else by cuDNN's and
// the kernels for bias, ReLU and max-pool.
class CudaConvBlock final : public ConvBlock<float> {
 public:
  CudaConvBlock(CudaContext& context, const ConvBlockShape& shape, BackwardNeeds needs)
      : context_(context), needs_(needs), pool_(shape.pool()) {
    const Conv2dShape& conv = shape.conv;
    if (takes_own_kernels(context.options())) {
      own_forward_ = has_pooled_conv_forward(conv, shape.window);
      own_weights_ = needs.weights && has_pooled_conv_weights(conv, shape.window);
      own_data_ = needs.data && has_pooled_conv_data(conv, shape.window);
    }
    if (own_forward_ || own_weights_ || own_data_) pooled_ = pooled_conv_shape(conv, shape.window);
    const BackwardNeeds left{needs.data && !own_data_, needs.weights && !own_weights_};
    const bool library_gradient = left.data || left.weights;
    // A gradient of the library's needs its convolution and its output's memory: then the forward pass is
    // its too, and has other last bits than that of a plan without gradients.
    own_forward_ = own_forward_ && !library_gradient;
    const auto bytes = [](std::int64_t count, std::size_t size) {
      return static_cast<std::size_t>(count) * size;
    };
    const std::int64_t planes = pool_.batch * pool_.channels;
    choice_ = Buffer(context.memory(), bytes(planes * pool_.out_height() * pool_.out_width(), 1),
                     "conv_block max-pool choice");
    if (own_forward_) {
      transformed_ = Buffer(context.memory(), bytes(pooled_conv_transformed(pooled_), sizeof(float)),
                            "conv_block transformed weights");
    } else {
      convolution_ = make_conv2d(context, Precision<float>(), conv, left);
      convolved_ = Buffer(context.memory(), bytes(planes * pool_.in_height * pool_.in_width, sizeof(float)),
                          "conv_block convolution output");
    }
    if (library_gradient) {
      pool_partials_ = Buffer(context.memory(), bytes(pool_backward_partials(pool_), sizeof(double)),
                              "conv_block partial bias gradients");
    }
    if (own_weights_) {
      partials_ = Buffer(context.memory(), bytes(pooled_conv_partials(pooled_), sizeof(float)),
                         "conv_block partial gradients of weights");
    }
    describe();
  }

  void forward(const float* x, const float* w, const float* bias, float* y) override {
    if (own_forward_) {
      check_alignment(x, "conv_block x");
      pooled_conv_forward(context_, pooled_, x, w, bias, y, choice_.as<std::uint8_t>(),
                          transformed_.as<float>());
    } else {
      convolution_->forward(x, w, nullptr, convolved_.as<float>());
      bias_relu_max_pool_forward(context_, pool_, convolved_.as<float>(), bias, y,
                                 choice_.as<std::uint8_t>());
    }
  }

  void backward(const float* x, const float* w, const float* dy, float* dx, float* dw, float* db) override {
    if (!needs_.weights) throw std::logic_error("conv_block: planned without the gradient of its weights");
    if (dx != nullptr && !needs_.data)
      throw std::logic_error("conv_block: planned without the gradient of its input");
    const auto* choice = choice_.as<std::uint8_t>();
    // Only the choice is needed of the forward pass, so the convolution's output makes room for its gradient.
    auto* gradient = convolved_.as<float>();
    // The gradient of the convolution's output, where the library reads it.
    if (!own_weights_ || (dx != nullptr && !own_data_)) {
      bias_relu_max_pool_backward(context_, pool_, dy, choice, gradient, own_weights_ ? nullptr : db,
                                  pool_partials_.as<double>());
    }
    if (dx != nullptr) {
      if (own_data_) {
        pooled_conv_data(context_, pooled_, w, dy, choice, dx);
      } else {
        convolution_->backward_data(w, gradient, dx);
      }
    }
    if (!own_weights_) {
      convolution_->backward_weights(x, gradient, dw, nullptr);
    } else {
      // Behind the gradient of data, which fills a GPU, and beside the block below, which waits for that alone.
      std::optional<Aside> aside;
      if (dx != nullptr) aside.emplace(context_);
      pooled_conv_weights(context_, pooled_, x, dy, choice, dw, db, partials_.as<float>());
    }
  }

  const char* algorithm() const override { return algorithm_.c_str(); }

 private:
  void describe() {
    std::string own;
    for (const auto& [taken, name] : {std::pair(own_forward_, "forward"), std::pair(own_data_, "data"),
                                      std::pair(own_weights_, "weights")}) {
      if (taken) own += std::string(own.empty() ? "own fp32 " : ", ") + name;
    }
    algorithm_ = own;
    if (convolution_) algorithm_ += (own.empty() ? "" : "; ") + std::string(convolution_->algorithm());
  }

  CudaContext& context_;
  BackwardNeeds needs_;
  MaxPool2dShape pool_;
  PooledConvShape pooled_;
  bool own_forward_ = false, own_weights_ = false, own_data_ = false;
  std::unique_ptr<Conv2d<float>> convolution_;  // null where nothing is left for it
  Buffer convolved_, transformed_, choice_, pool_partials_, partials_;
  std::string algorithm_;
};

}  // namespace

std::unique_ptr<ConvBlock<float>> make_conv_block(CudaContext& context, Precision<float>,
                                                  const ConvBlockShape& shape, BackwardNeeds needs) {
  check(shape.conv);
  check(shape.pool());
  if (shape.input_layout != Layout::plain || shape.output_layout != Layout::plain) {
    throw std::logic_error("conv_block: the CUDA backend keeps tensors in the plain layout only");
  }
  return std::make_unique<CudaConvBlock>(context, shape, needs);
}

Layout preferred_layout(CudaContext&, Precision<float>, std::int64_t) { return Layout::plain; }

}  // namespace qmse
