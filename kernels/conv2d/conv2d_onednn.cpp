// f32 convolution on oneDNN: each chunk's images pass through blocked scratch that stays in the cache.
#include <utility>

#include "kernels/conv2d/blocked_layout.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/conv_chunks_onednn.h"
#include "kernels/conv2d/sparse_gradients.h"

namespace qmse {

namespace {

class OneDnnConv2d final : public Conv2d<float> {
 public:
  OneDnnConv2d(CpuContext& context, const Conv2dShape& shape, std::unique_ptr<ConvChunks> chunks)
      : context_(context),
        shape_(shape),
        pixels_(shape.out_height() * shape.out_width()),
        image_(shape.out_channels * pixels_),
        chunks_(std::move(chunks)),
        gradients_(context, shape, Layout::plain, chunks_->block()),
        algorithm_(chunks_->algorithm() + ", sparse gradients") {}

  void forward(const float* x, const float* w, const float* bias, float* y) override {
    chunks_->begin_forward(w);
    context_.threads().run(chunks_->chunks(), [&](std::int64_t chunk, int worker) {
      chunks_->forward(chunk, worker, x);
      for (std::int64_t n = 0; n < chunks_->images(chunk); ++n) {
        float* image = y + (chunks_->first_image(chunk) + n) * image_;
        blocked_to_plain(shape_.out_channels, pixels_, chunks_->block(), scratch(worker, n), image);
        if (bias == nullptr) continue;
        for (std::int64_t o = 0; o < shape_.out_channels; ++o) {
          for (std::int64_t p = 0; p < pixels_; ++p) image[o * pixels_ + p] += bias[o];
        }
      }
    });
  }

  void backward_data(const float* w, const float* dy, float* dx) override {
    gradients_.backward_data(w, dy, dx);
  }

  void backward_weights(const float* x, const float* dy, float* dw, float* db) override {
    gradients_.backward_weights(x, dy, dw, db);
  }

  const char* algorithm() const override { return algorithm_.c_str(); }

 private:
  float* scratch(int worker, std::int64_t n) const {
    return chunks_->output(worker) + n * chunks_->output_blocks() * chunks_->block() * pixels_;
  }

  CpuContext& context_;
  Conv2dShape shape_;
  std::int64_t pixels_, image_;
  std::unique_ptr<ConvChunks> chunks_;
  SparseGradients gradients_;
  std::string algorithm_;
};

}  // namespace

std::unique_ptr<Conv2d<float>> make_conv2d(CpuContext& context, Precision<float>, const Conv2dShape& shape,
                                           BackwardNeeds) {
  auto chunks = std::make_unique<ConvChunks>(context, shape, Layout::plain);
  if (!chunks->optimised()) return make_plain_conv2d<float>(context, shape, chunks->algorithm());
  return std::make_unique<OneDnnConv2d>(context, shape, std::move(chunks));
}

}  // namespace qmse
