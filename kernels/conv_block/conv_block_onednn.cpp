// The f32 block on oneDNN: a chunk's convolution stays in cache-sized scratch, from which bias, ReLU and
// max-pool are written out in the same pass. The way back is SparseGradients.
#include <algorithm>
#include <utility>

#include "kernels/bias_relu_max_pool/relu_pool_simd.h"
#include "kernels/conv2d/blocked_layout.h"
#include "kernels/conv2d/conv_chunks_onednn.h"
#include "kernels/conv2d/sparse_gradients.h"
#include "kernels/conv_block/conv_block.h"
#include "kernels/conv_block/conv_block_plain.h"
#include "kernels/cpu/simd.h"

namespace qmse {

namespace {

constexpr std::int64_t kLanes = kSimdLanes<float>;  // channels worked on together

class OneDnnConvBlock final : public ConvBlock<float> {
 public:
  OneDnnConvBlock(CpuContext& context, const ConvBlockShape& shape, std::unique_ptr<ConvChunks> chunks)
      : context_(context),
        shape_(shape),
        pool_(shape.pool()),
        pooled_pixels_(pool_.out_height() * pool_.out_width()),
        chunks_(std::move(chunks)),
        channels_(chunks_->output_blocks() * chunks_->block()),
        gradient_channels_((pool_.channels + kLanes - 1) / kLanes * kLanes),
        gradients_(context, shape.conv, shape.input_layout, chunks_->block()),
        algorithm_(chunks_->algorithm() + ", sparse gradients"),
        bias_(context.memory(), sizeof(float) * channels_, "conv block bias"),
        choice_(context.memory(), pool_.batch * channels_ * pooled_pixels_, "conv block pooling choice"),
        tiles_(context.memory(),
               sizeof(float) * context.threads().size() * pooled_pixels_ * gradient_channels_,
               "conv block tiles") {
    std::fill_n(bias_.as<float>(), channels_, 0.0f);
  }

  void forward(const float* x, const float* w, const float* bias, float* y) override {
    std::copy_n(bias, pool_.channels, bias_.as<float>());
    chunks_->begin_forward(w);
    context_.threads().run(chunks_->chunks(), [&](std::int64_t chunk, int worker) {
      if (pool_.window == 2 && chunks_->pools()) return forward_pooled(chunk, worker, x, y);
      chunks_->forward(chunk, worker, x);
      for (std::int64_t n = 0; n < chunks_->images(chunk); ++n) {
        for (std::int64_t c = 0; c < channels_; c += kLanes) pool(chunk, n, c, worker, y);
      }
    });
  }

  void backward(const float* x, const float* w, const float* dy, float* dx, float* dw, float* db) override {
    if (dx != nullptr) gradients_.begin_data(w);
    const SparseGradients::Wanted wanted{.weights = true, .data = dx != nullptr};
    context_.threads().run(gradients_.groups(), [&](std::int64_t group, int worker) {
      for (std::int64_t image = gradients_.first_image(group); image < gradients_.first_image(group + 1);
           ++image) {
        list(image, worker, wanted, dy);
        gradients_.add_weights(image, group, worker, x);
        if (dx != nullptr) gradients_.write_data(image, worker, dx);
      }
    });
    gradients_.end_weights(dw, db);
  }

  const char* algorithm() const override { return algorithm_.c_str(); }

 private:
  bool blocked() const { return shape_.output_layout == Layout::blocked; }

  // Where channels c.. of the chunk's image n start in the worker's scratch; pixels are block() apart.
  float* scratch(std::int64_t n, std::int64_t c, int worker) const {
    return chunks_->output(worker) + in_blocks(n, c, pool_.in_height * pool_.in_width);
  }
  std::int64_t in_blocks(std::int64_t n, std::int64_t c, std::int64_t pixels) const {
    const std::int64_t block = chunks_->block();
    return (n * channels_ + c / block * block) * pixels + c % block;
  }
  std::uint8_t* choices(std::int64_t image, std::int64_t c) const {
    return choice_.as<std::uint8_t>() + (image * channels_ + c) * pooled_pixels_;
  }
  float* tile(int worker) const { return tiles_.as<float>() + worker * pooled_pixels_ * gradient_channels_; }
  std::int64_t in_plain(std::int64_t image, std::int64_t c) const {
    return (image * pool_.channels + c) * pooled_pixels_;
  }

  void forward_pooled(std::int64_t chunk, int worker, const float* x, float* y) const {
    const std::int64_t first = chunks_->first_image(chunk);
    float* to = blocked() ? y + in_blocks(first, 0, pooled_pixels_) : chunks_->output(worker);
    chunks_->forward_pooled(chunk, worker, x, {to, bias_.as<float>(), choices(first, 0)});
    for (std::int64_t n = 0; n < chunks_->images(chunk) && !blocked(); ++n) {
      blocked_to_plain(pool_.channels, pooled_pixels_, chunks_->block(), to + in_blocks(n, 0, pooled_pixels_),
                       y + in_plain(first + n, 0));
    }
  }

  void pool(std::int64_t chunk, std::int64_t n, std::int64_t c, int worker, float* y) const {
    if (!blocked() && c >= pool_.channels) return;
    const std::int64_t image = chunks_->first_image(chunk) + n;
    float* to = blocked() ? y + in_blocks(image, c, pooled_pixels_) : tile(worker);
    const std::int64_t to_stride = blocked() ? chunks_->block() : kLanes;
    const float* from = scratch(n, c, worker);
    if (pool_.window == 2) {
      pool_windows<2>(from, bias_.as<float>() + c, to, to_stride, choices(image, c));
    } else {
      pool_windows<0>(from, bias_.as<float>() + c, to, to_stride, choices(image, c));
    }
    if (!blocked())
      blocked_to_plain(std::min(kLanes, pool_.channels - c), pooled_pixels_, kLanes, to,
                       y + in_plain(image, c));
  }

  // ReluPoolWindow (bias_relu_max_pool_math.h) for eight channels; a window of 0 is one known at run time.
  template <int fixed_window>
  void pool_windows(const float* from, const float* bias, float* y, std::int64_t y_stride,
                    std::uint8_t* choice) const {
    const std::int64_t window = fixed_window > 0 ? fixed_window : pool_.window;
    const std::int64_t block = chunks_->block(), row = pool_.in_width * block;
    const std::int64_t height = pool_.out_height(), width = pool_.out_width();
    const Simd<float> shift = simd_load(bias);
    for (std::int64_t oh = 0; oh < height; ++oh) {
      for (std::int64_t ow = 0; ow < width; ++ow) {
        const float* corner = from + oh * window * row + ow * window * block;
        SimdReluPoolWindow<Simd<float>, SimdInt> pooled;
        for (std::int64_t kh = 0; kh < window; ++kh) {
          for (std::int64_t kw = 0; kw < window; ++kw)
            pooled.visit(simd_load(corner + kh * row + kw * block) + shift, kh * window + kw);
        }
        simd_store(y, pooled.best);
        y += y_stride;
        simd_store_bytes(choice, pooled.choice);
        choice += kLanes;
      }
    }
  }

  void list(std::int64_t image, int worker, SparseGradients::Wanted wanted, const float* dy) {
    const float* from = dy + in_blocks(image, 0, pooled_pixels_);
    std::int64_t block = chunks_->block();
    if (!blocked()) {
      plain_to_blocked(pool_.channels, pooled_pixels_, kLanes, dy + in_plain(image, 0), tile(worker));
      from = tile(worker);
      block = kLanes;
    }
    if (pool_.window == 2) return gradients_.list_windows(worker, wanted, from, block, choices(image, 0));
    for (std::int64_t c = 0; c < gradient_channels_; c += kLanes) {
      unpool(from + c / block * block * pooled_pixels_ + c % block, block, choices(image, c),
             gradients_.dense(worker) + c * pool_.in_height * pool_.in_width);
    }
    gradients_.list(worker, wanted);
  }

  // dy [pixels, kLanes] from that of the windows, `stride` floats from one to the next.
  void unpool(const float* from, std::int64_t stride, const std::uint8_t* choice, float* dy) const {
    const std::int64_t window = pool_.window, row = pool_.in_width * kLanes;
    std::fill_n(dy, pool_.in_height * row, 0.0f);
    for (std::int64_t oh = 0; oh < pool_.out_height(); ++oh) {
      for (std::int64_t ow = 0; ow < pool_.out_width(); ++ow, from += stride, choice += kLanes) {
        float* corner = dy + oh * window * row + ow * window * kLanes;
        for (std::int64_t lane = 0; lane < kLanes; ++lane) {
          const std::int64_t place = choice[lane];
          if (place != kNothingPassed)
            corner[place / window * row + place % window * kLanes + lane] = from[lane];
        }
      }
    }
  }

  CpuContext& context_;
  ConvBlockShape shape_;
  MaxPool2dShape pool_;
  std::int64_t pooled_pixels_;
  std::unique_ptr<ConvChunks> chunks_;
  std::int64_t channels_;           // padded to whole blocks
  std::int64_t gradient_channels_;  // padded to kLanes
  SparseGradients gradients_;
  std::string algorithm_;
  Buffer bias_, choice_, tiles_;
};

// Images that the caller holds in a layout of its own and the plain loops read and write in the plain one.
class RelaidImages {
 public:
  RelaidImages(CpuContext& context, Layout layout, std::int64_t batch, std::int64_t channels,
               std::int64_t pixels)
      : context_(context), batch_(batch), channels_(channels), pixels_(pixels) {
    if (layout == Layout::plain) return;
    plain_ = Buffer(context.memory(), sizeof(float) * batch * channels * pixels, "conv block images");
  }

  const float* read(const float* given) {
    if (plain_.data() == nullptr) return given;
    each([&](std::int64_t at) {
      blocked_to_plain(channels_, pixels_, onednn::channel_block(), given + at, plain_.as<float>() + at);
    });
    return plain_.as<float>();
  }

  // Calls work(where to write) and brings what it wrote to `given`; null where nothing is wanted.
  template <class Work>
  void write(float* given, const Work& work) {
    if (given == nullptr || plain_.data() == nullptr) return work(given);
    work(plain_.as<float>());
    each([&](std::int64_t at) {
      plain_to_blocked(channels_, pixels_, onednn::channel_block(), plain_.as<float>() + at, given + at);
    });
  }

 private:
  template <class Work>
  void each(const Work& work) const {
    context_.threads().run(batch_, [&](std::int64_t n, int) { work(n * channels_ * pixels_); });
  }

  CpuContext& context_;
  std::int64_t batch_, channels_, pixels_;
  Buffer plain_;  // empty where the caller's layout is plain
};

// The plain block where oneDNN has no fast kernel, whatever the layouts.
class RelaidConvBlock final : public ConvBlock<float> {
 public:
  RelaidConvBlock(CpuContext& context, const ConvBlockShape& shape, const std::string& reason)
      : block_(make_plain_conv_block<float>(context, {shape.conv, shape.window}, reason)),
        x_(context, shape.input_layout, shape.conv.batch, shape.conv.in_channels,
           shape.conv.in_height * shape.conv.in_width),
        dx_(context, shape.input_layout, shape.conv.batch, shape.conv.in_channels,
            shape.conv.in_height * shape.conv.in_width),
        y_(context, shape.output_layout, shape.conv.batch, shape.conv.out_channels,
           shape.pool().out_height() * shape.pool().out_width()) {}

  void forward(const float* x, const float* w, const float* bias, float* y) override {
    y_.write(y, [&](float* to) { block_->forward(x_.read(x), w, bias, to); });
  }

  void backward(const float* x, const float* w, const float* dy, float* dx, float* dw, float* db) override {
    dx_.write(dx, [&](float* to) { block_->backward(x_.read(x), w, y_.read(dy), to, dw, db); });
  }

  const char* algorithm() const override { return block_->algorithm(); }
  bool slow() const override { return block_->slow(); }

 private:
  std::unique_ptr<ConvBlock<float>> block_;
  RelaidImages x_, dx_, y_;
};

}  // namespace

std::unique_ptr<ConvBlock<float>> make_conv_block(CpuContext& context, Precision<float>,
                                                  const ConvBlockShape& shape, BackwardNeeds) {
  check(shape.conv);
  check(shape.pool());
  const std::int64_t block = onednn::channel_block();
  if (shape.output_layout == Layout::blocked && shape.conv.out_channels % block != 0)
    throw ShapeError("convolution block: blocked output needs a multiple of " + std::to_string(block) +
                     " channels, not " + std::to_string(shape.conv.out_channels));
  auto chunks = std::make_unique<ConvChunks>(context, shape.conv, shape.input_layout);
  if (!chunks->optimised()) return std::make_unique<RelaidConvBlock>(context, shape, chunks->algorithm());
  return std::make_unique<OneDnnConvBlock>(context, shape, std::move(chunks));
}

Layout preferred_layout(CpuContext&, Precision<float>, std::int64_t channels) {
  return channels % onednn::channel_block() == 0 ? Layout::blocked : Layout::plain;
}

}  // namespace qmse
