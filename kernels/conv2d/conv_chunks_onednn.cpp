#include "kernels/conv2d/conv_chunks_onednn.h"

#include <algorithm>

#include "kernels/core/blocked_layout.h"
#include "kernels/core/ranges.h"
#include "kernels/core/simd.h"

namespace qmse {

namespace {

using dnnl::memory;
using Tag = memory::format_tag;

// A chunk's images and outputs stay within a core's second-level cache, with room for the weights.
constexpr std::int64_t kChunkBytes = 256 * 1024;
// Chunks are small enough to give this many threads work, and their weight gradients are summed in at least
// this many groups.
constexpr std::int64_t kGroups = 16;
// Up to this many input channels a plain image is read as it is: blocked, it would be mostly padding.
constexpr std::int64_t kFewChannels = 3;

std::int64_t quotient_up(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }

memory::desc image_desc(std::int64_t images, std::int64_t channels, std::int64_t height, std::int64_t width,
                        Tag tag) {
  return {{images, channels, height, width}, memory::data_type::f32, tag};
}

}  // namespace

ConvChunks::ConvChunks(CpuContext& context, const Conv2dShape& shape, Layout input)
    : context_(context), shape_(shape), input_layout_(input), block_(onednn::channel_block()) {
  check(shape);
  if (input == Layout::blocked && shape.in_channels % block_ != 0)
    throw ShapeError("convolution: blocked input needs a multiple of " + std::to_string(block_) +
                     " channels, not " + std::to_string(shape.in_channels));
  if (input == Layout::plain && shape.in_channels <= kFewChannels) few_channels_.emplace(shape);
  input_blocks_ = quotient_up(shape.in_channels, block_);
  output_blocks_ = quotient_up(shape.out_channels, block_);
  filled_in_ = few_channels_ ? shape.in_channels : input_blocks_ * block_;
  filled_out_ = output_blocks_ * block_;
  input_pixels_ = shape.in_height * shape.in_width;
  output_pixels_ = shape.out_height() * shape.out_width();

  const std::int64_t image_bytes =
      4 * ((few_channels_ ? shape.in_channels : input_blocks_ * block_) * input_pixels_ +
           output_blocks_ * block_ * output_pixels_);
  const std::int64_t images =
      std::clamp<std::int64_t>(kChunkBytes / image_bytes, 1, quotient_up(shape.batch, kGroups));
  chunks_ = quotient_up(shape.batch, images);
  groups_ = std::min(chunks_, std::clamp<std::int64_t>(shape.batch / 8, kGroups, 2 * kGroups));

  const onednn::OneThread one_thread;
  const std::size_t scratchpad_bytes = make_primitives();
  make_lanes(scratchpad_bytes);
}

std::size_t ConvChunks::make_primitives() {
  const Conv2dShape& s = shape_;
  const Tag blocked = block_ == 16 ? Tag::nChw16c : Tag::nChw8c;
  // oneDNN is asked for whole blocks of channels: for others it has no fast kernel on some processors.
  const memory::dims weight_dims = {filled_out_, filled_in_, s.kernel_height, s.kernel_width};
  const auto f32 = memory::data_type::f32;
  weights_ = {weight_dims, f32, Tag::oihw};
  // oneDNN chooses the weights' layouts for the first size, and the second size follows.
  weights_forward_ = weights_backward_ = weights_gradient_ = {weight_dims, f32, Tag::any};
  std::size_t scratchpad_bytes = 0;
  const std::int64_t smaller = s.batch / chunks_;
  for (int size = 0; size < 2; ++size) {
    Primitives& p = sizes_[size];
    p.images = smaller + size;
    p.diff_src = image_desc(p.images, filled_in_, s.in_height, s.in_width, blocked);
    p.src = few_channels_ ? image_desc(p.images, filled_in_, s.in_height, s.in_width, Tag::nchw) : p.diff_src;
    p.dst = image_desc(p.images, filled_out_, s.out_height(), s.out_width(), blocked);
    onednn::ConvolutionShape conv{
        p.src, weights_forward_, p.dst, {s.stride, s.stride}, {s.padding, s.padding}};
    const auto forward = onednn::convolution_forward(conv);
    p.forward = dnnl::convolution_forward(forward);
    weights_forward_ = forward.weights_desc();
    conv.weights = weights_backward_;
    conv.src = p.diff_src;
    const auto backward_data = onednn::convolution_backward_data(conv, forward);
    p.backward_data = dnnl::convolution_backward_data(backward_data);
    weights_backward_ = backward_data.weights_desc();
    scratchpad_bytes = std::max(
        {scratchpad_bytes, forward.scratchpad_desc().get_size(), backward_data.scratchpad_desc().get_size()});
    std::string parts = std::string("forward ") + forward.impl_info_str() + ", backward data " +
                        backward_data.impl_info_str() + ", backward weights ";
    if (few_channels_) {
      parts += "own";
    } else {
      conv.src = p.src;
      conv.weights = weights_gradient_;
      const auto backward_weights = onednn::convolution_backward_weights(conv, forward);
      p.backward_weights = dnnl::convolution_backward_weights(backward_weights);
      weights_gradient_ = backward_weights.diff_weights_desc();
      scratchpad_bytes = std::max(scratchpad_bytes, backward_weights.scratchpad_desc().get_size());
      parts += backward_weights.impl_info_str();
    }
    if (size == 0 || algorithm_.find("ref") == std::string::npos) algorithm_ = "oneDNN: " + parts;
  }
  return scratchpad_bytes;
}

void ConvChunks::make_lanes(std::size_t scratchpad_bytes) {
  const auto aligned = [](std::size_t bytes) { return (bytes + 255) / 256 * 256; };
  const std::int64_t most = images(chunks_ - 1);
  gradient_elements_ = few_channels_
                           ? output_blocks_ * block_ * few_channels_->taps()
                           : static_cast<std::int64_t>(weights_gradient_.get_size() / sizeof(float));
  const std::size_t input_bytes = input_layout_ == Layout::plain
                                      ? aligned(sizeof(float) * most * input_blocks_ * block_ * input_pixels_)
                                      : 0;
  const std::size_t output_bytes = aligned(sizeof(float) * most * output_blocks_ * block_ * output_pixels_);
  const std::size_t gradient_bytes = few_channels_ ? 0 : aligned(sizeof(float) * gradient_elements_);
  const std::size_t padded_bytes =
      few_channels_ ? aligned(sizeof(float) * few_channels_->scratch_elements()) : 0;
  const std::size_t lane_bytes =
      input_bytes + output_bytes + gradient_bytes + padded_bytes + aligned(scratchpad_bytes);
  lane_memory_ = Buffer(context_.memory(), lane_bytes * context_.threads().size(), "convolution chunks");
  forward_weights_ = Buffer(context_.memory(), weights_forward_.get_size(), "convolution weights");
  backward_weights_ = Buffer(context_.memory(), weights_backward_.get_size(), "convolution weights");
  partials_ =
      Buffer(context_.memory(), sizeof(float) * groups_ * (gradient_elements_ + output_blocks_ * block_),
             "convolution partial gradients");
  if (filled_in_ != shape_.in_channels || filled_out_ != shape_.out_channels) {
    filled_weights_ = Buffer(context_.memory(), weights_.get_size(), "convolution weights");
    std::fill_n(filled_weights_.as<float>(), weights_.get_size() / sizeof(float), 0.0f);
    filled_gradient_ = Buffer(context_.memory(), weights_.get_size(), "convolution weight gradient");
  }
  to_forward_.prepare(context_, weights_, weights_forward_);
  to_backward_.prepare(context_, weights_, weights_backward_);
  if (!few_channels_) from_gradient_.prepare(context_, weights_gradient_, weights_);

  const dnnl::engine& engine = onednn::cpu_engine();
  lanes_.resize(static_cast<std::size_t>(context_.threads().size()));
  for (std::size_t worker = 0; worker < lanes_.size(); ++worker) {
    Lane& lane = lanes_[worker];
    lane.stream = dnnl::stream(engine);
    char* next = lane_memory_.as<char>() + worker * lane_bytes;
    const auto take = [&](std::size_t bytes) {
      char* part = bytes > 0 ? next : nullptr;
      next += bytes;
      return part;
    };
    lane.input = reinterpret_cast<float*>(take(input_bytes));
    lane.output = reinterpret_cast<float*>(take(output_bytes));
    lane.diff_weights = reinterpret_cast<float*>(take(gradient_bytes));
    lane.padded = reinterpret_cast<float*>(take(padded_bytes));
    char* scratchpad = next;
    for (int size = 0; size < 2; ++size) {
      const Primitives& p = sizes_[size];
      if (p.images < 1 || p.images > most) continue;
      Arguments& a = lane.arguments[size];
      a.src = memory(p.src, engine, few_channels_ ? nullptr : lane.input);
      a.diff_src = memory(p.diff_src, engine, lane.input);
      a.dst = memory(p.dst, engine, lane.output);
      a.weights = memory(weights_forward_, engine, forward_weights_.data());
      a.backward_weights = memory(weights_backward_, engine, backward_weights_.data());
      const auto bytes = static_cast<memory::dim>(scratchpad_bytes);
      a.scratchpad = memory({{bytes}, memory::data_type::u8, Tag::a}, engine, scratchpad);
      const dnnl_exec_arg_t forward[] = {{DNNL_ARG_SRC, a.src.get()},
                                         {DNNL_ARG_WEIGHTS, a.weights.get()},
                                         {DNNL_ARG_DST, a.dst.get()},
                                         {DNNL_ARG_SCRATCHPAD, a.scratchpad.get()}};
      const dnnl_exec_arg_t backward_data[] = {{DNNL_ARG_DIFF_DST, a.dst.get()},
                                               {DNNL_ARG_WEIGHTS, a.backward_weights.get()},
                                               {DNNL_ARG_DIFF_SRC, a.diff_src.get()},
                                               {DNNL_ARG_SCRATCHPAD, a.scratchpad.get()}};
      std::copy(std::begin(forward), std::end(forward), a.forward_call);
      std::copy(std::begin(backward_data), std::end(backward_data), a.backward_data_call);
      if (few_channels_) continue;
      a.diff_weights = memory(weights_gradient_, engine, lane.diff_weights);
      const dnnl_exec_arg_t backward_weights[] = {{DNNL_ARG_SRC, a.src.get()},
                                                  {DNNL_ARG_DIFF_DST, a.dst.get()},
                                                  {DNNL_ARG_DIFF_WEIGHTS, a.diff_weights.get()},
                                                  {DNNL_ARG_SCRATCHPAD, a.scratchpad.get()}};
      std::copy(std::begin(backward_weights), std::end(backward_weights), a.backward_weights_call);
    }
  }
}

void ConvChunks::WeightReorder::prepare(CpuContext& context, const memory::desc& from_desc,
                                        const memory::desc& to_desc) {
  const auto pd = onednn::reorder(from_desc, to_desc);
  primitive = dnnl::reorder(pd);
  const dnnl::engine& engine = onednn::cpu_engine();
  from = memory(from_desc, engine, nullptr);
  to = memory(to_desc, engine, nullptr);
  scratch = Buffer(context.memory(), pd.scratchpad_desc().get_size(), "convolution weight reorder");
  scratchpad = memory(pd.scratchpad_desc(), engine, scratch.data());
  call[0] = {DNNL_ARG_FROM, from.get()};
  call[1] = {DNNL_ARG_TO, to.get()};
  call[2] = {DNNL_ARG_SCRATCHPAD, scratchpad.get()};
}

void ConvChunks::WeightReorder::run(const dnnl::stream& stream, const float* from_data, float* to_data) {
  const onednn::OneThread one_thread;
  from.set_data_handle(const_cast<float*>(from_data));
  to.set_data_handle(to_data);
  onednn::execute(primitive, stream, call);
}

// w with zeros for the channels that fill up the last blocks.
const float* ConvChunks::filled(const float* w) {
  if (filled_weights_.data() == nullptr) return w;
  const std::int64_t taps = shape_.kernel_height * shape_.kernel_width;
  for (std::int64_t o = 0; o < shape_.out_channels; ++o) {
    std::copy_n(w + o * shape_.in_channels * taps, shape_.in_channels * taps,
                filled_weights_.as<float>() + o * filled_in_ * taps);
  }
  return filled_weights_.as<float>();
}

void ConvChunks::begin_forward(const float* w) {
  to_forward_.run(lanes_[0].stream, filled(w), forward_weights_.as<float>());
}

void ConvChunks::forward(std::int64_t chunk, int worker, const float* x) {
  const onednn::OneThread one_thread;
  Lane& lane = lanes_[static_cast<std::size_t>(worker)];
  Arguments& a = lane.arguments[size_index(chunk)];
  load_input(chunk, lane, a, x);
  onednn::execute(sizes_[size_index(chunk)].forward, lane.stream, a.forward_call);
}

// Puts the chunk's images where `a.src` sees them.
void ConvChunks::load_input(std::int64_t chunk, Lane& lane, Arguments& a, const float* x) const {
  const std::int64_t image = shape_.in_channels * input_pixels_;
  const float* from = x + first_image(chunk) * image;
  if (few_channels_ || input_layout_ == Layout::blocked) {
    a.src.set_data_handle(const_cast<float*>(from));
    return;
  }
  for (std::int64_t n = 0; n < images(chunk); ++n) {
    plain_to_blocked(shape_.in_channels, input_pixels_, block_, from + n * image,
                     lane.input + n * input_blocks_ * block_ * input_pixels_);
  }
}

void ConvChunks::begin_backward_data(const float* w) {
  to_backward_.run(lanes_[0].stream, filled(w), backward_weights_.as<float>());
}

void ConvChunks::backward_data(std::int64_t chunk, int worker, float* dx) {
  const onednn::OneThread one_thread;
  Lane& lane = lanes_[static_cast<std::size_t>(worker)];
  Arguments& a = lane.arguments[size_index(chunk)];
  const std::int64_t image = shape_.in_channels * input_pixels_;
  float* to = dx + first_image(chunk) * image;
  if (input_layout_ == Layout::blocked) a.diff_src.set_data_handle(to);
  onednn::execute(sizes_[size_index(chunk)].backward_data, lane.stream, a.backward_data_call);
  if (input_layout_ == Layout::blocked) return;
  for (std::int64_t n = 0; n < images(chunk); ++n) {
    blocked_to_plain(shape_.in_channels, input_pixels_, block_,
                     lane.input + n * input_blocks_ * block_ * input_pixels_, to + n * image);
  }
}

void ConvChunks::backward_weights(std::int64_t group, std::int64_t chunk, int worker, const float* x) {
  const onednn::OneThread one_thread;
  Lane& lane = lanes_[static_cast<std::size_t>(worker)];
  Arguments& a = lane.arguments[size_index(chunk)];
  const bool first = chunk == first_chunk(group);
  float* partial = partials_.as<float>() + group * gradient_elements_;
  if (few_channels_) {
    const std::int64_t image = shape_.in_channels * input_pixels_;
    if (first) std::fill_n(partial, gradient_elements_, 0.0f);
    for (std::int64_t n = 0; n < images(chunk); ++n) {
      few_channels_->pad(x + (first_image(chunk) + n) * image, lane.padded);
      for (std::int64_t c = 0; c < output_blocks_ * block_; c += 8) {
        const float* dy =
            lane.output + (n * output_blocks_ + c / block_) * output_pixels_ * block_ + c % block_;
        few_channels_->add(lane.padded, dy, block_, partial + c * few_channels_->taps());
      }
    }
  } else {
    load_input(chunk, lane, a, x);
    a.diff_weights.set_data_handle(first ? partial : lane.diff_weights);
    onednn::execute(sizes_[size_index(chunk)].backward_weights, lane.stream, a.backward_weights_call);
    if (!first) {
      for (std::int64_t k = 0; k < gradient_elements_; ++k) partial[k] += lane.diff_weights[k];
    }
  }
  float* bias_partials = partials_.as<float>() + groups_ * gradient_elements_;
  add_bias_gradient(lane.output, images(chunk), first, bias_partials + group * output_blocks_ * block_);
}

void ConvChunks::add_bias_gradient(const float* dy, std::int64_t images, bool first, float* sums) const {
  for (std::int64_t c = 0; c < output_blocks_ * block_; c += 8) {
    Simd<float> total = first ? Simd<float>{} : simd_load(sums + c);
    for (std::int64_t n = 0; n < images; ++n) {
      const float* from = dy + (n * output_blocks_ + c / block_) * output_pixels_ * block_ + c % block_;
      Simd<float> lanes[4] = {};  // independent sums, to hide the latency of an addition
      std::int64_t p = 0;
      for (; p + 4 <= output_pixels_; p += 4) {
        for (int k = 0; k < 4; ++k) lanes[k] += simd_load(from + (p + k) * block_);
      }
      for (; p < output_pixels_; ++p) lanes[0] += simd_load(from + p * block_);
      total += (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    }
    simd_store(sums + c, total);
  }
}

void ConvChunks::end_backward_weights(float* dw, float* db) {
  float* sum = partials_.as<float>();
  for_ranges(context_.threads(), gradient_elements_, kRangeElements / 4,
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t group = 1; group < groups_; ++group) {
                 const float* partial = sum + group * gradient_elements_;
                 for (std::int64_t k = begin; k < end; ++k) sum[k] += partial[k];
               }
             });
  if (few_channels_) {
    const std::int64_t taps = few_channels_->taps();
    for (std::int64_t o = 0; o < shape_.out_channels; ++o) {
      for (std::int64_t t = 0; t < taps; ++t) dw[o * taps + t] = sum[(o / 8 * taps + t) * 8 + o % 8];
    }
  } else if (filled_weights_.data() == nullptr) {
    from_gradient_.run(lanes_[0].stream, sum, dw);
  } else {
    float* filled_gradient = filled_gradient_.as<float>();
    from_gradient_.run(lanes_[0].stream, sum, filled_gradient);
    const std::int64_t taps = shape_.kernel_height * shape_.kernel_width;
    for (std::int64_t o = 0; o < shape_.out_channels; ++o) {
      std::copy_n(filled_gradient + o * filled_in_ * taps, shape_.in_channels * taps,
                  dw + o * shape_.in_channels * taps);
    }
  }
  if (db == nullptr) return;
  const float* bias_partials = sum + groups_ * gradient_elements_;
  std::copy_n(bias_partials, shape_.out_channels, db);
  for (std::int64_t group = 1; group < groups_; ++group) {
    const float* partial = bias_partials + group * output_blocks_ * block_;
    for (std::int64_t o = 0; o < shape_.out_channels; ++o) db[o] += partial[o];
  }
}

}  // namespace qmse
