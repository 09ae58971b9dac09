#include "kernels/conv2d/conv_chunks_onednn.h"
#include "kernels/cpu/ranges.h"

#include <algorithm>

#include "kernels/conv2d/blocked_layout.h"

namespace qmse {

namespace {

using dnnl::memory;
using Tag = memory::format_tag;

// A chunk's images and outputs stay within a core's second-level cache, with room for the weights.
constexpr std::int64_t kChunkBytes = 256 * 1024;
// Chunks are small enough to give this many threads work.
constexpr std::int64_t kThreads = 16;
// Up to this many input channels a plain image is read as it is: blocked, it would be mostly padding.
constexpr std::int64_t kFewChannels = 3;

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
  few_channels_ = input == Layout::plain && shape.in_channels <= kFewChannels;
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
      std::clamp<std::int64_t>(kChunkBytes / image_bytes, 1, quotient_up(shape.batch, kThreads));
  chunks_ = quotient_up(shape.batch, images);

  if (few_channels_ && DirectForward::fits(shape)) {
    direct_.emplace(context, shape, block_);
    algorithm_ = "forward direct 3x3";
  } else if (WinogradForward::fits(shape)) {
    winograd_.emplace(context, shape, block_);
    algorithm_ = "forward Winograd F(2x2, 3x3)";
  }
  if (pools()) {
    make_lanes(0);
  } else {
    const onednn::OneThread one_thread;
    make_lanes(make_primitives());
  }
}

std::size_t ConvChunks::make_primitives() {
  const Conv2dShape& s = shape_;
  const Tag blocked = block_ == 16 ? Tag::nChw16c : Tag::nChw8c;
  // oneDNN is asked for whole blocks of channels: for others it has no fast kernel on some processors.
  const memory::dims weight_dims = {filled_out_, filled_in_, s.kernel_height, s.kernel_width};
  const auto f32 = memory::data_type::f32;
  weights_ = {weight_dims, f32, Tag::oihw};
  // oneDNN chooses the weights' layout for the first size, and the second size follows.
  weights_forward_ = {weight_dims, f32, Tag::any};
  std::size_t scratchpad_bytes = 0;
  const std::int64_t smaller = s.batch / chunks_;
  for (int size = 0; size < 2; ++size) {
    Primitive& p = sizes_[size];
    p.images = smaller + size;
    p.src = image_desc(p.images, filled_in_, s.in_height, s.in_width, few_channels_ ? Tag::nchw : blocked);
    p.dst = image_desc(p.images, filled_out_, s.out_height(), s.out_width(), blocked);
    const auto forward = onednn::convolution_forward(
        {p.src, weights_forward_, p.dst, {s.stride, s.stride}, {s.padding, s.padding}});
    p.forward = dnnl::convolution_forward(forward);
    weights_forward_ = forward.weights_desc();
    scratchpad_bytes = std::max(scratchpad_bytes, forward.scratchpad_desc().get_size());
    if (size == 0 || optimised()) algorithm_ = std::string("oneDNN: forward ") + forward.impl_info_str();
  }
  forward_weights_ = Buffer(context_.memory(), weights_forward_.get_size(), "convolution weights");
  if (filled_in_ != shape_.in_channels || filled_out_ != shape_.out_channels) {
    filled_weights_ = Buffer(context_.memory(), weights_.get_size(), "convolution weights");
    std::fill_n(filled_weights_.as<float>(), weights_.get_size() / sizeof(float), 0.0f);
  }
  to_forward_.prepare(context_, weights_, weights_forward_);
  return scratchpad_bytes;
}

void ConvChunks::make_lanes(std::size_t scratchpad_bytes) {
  const auto aligned = [](std::size_t bytes) { return (bytes + 255) / 256 * 256; };
  const std::int64_t most = images(chunks_ - 1);
  const std::size_t input_bytes = input_layout_ == Layout::plain
                                      ? aligned(sizeof(float) * most * input_blocks_ * block_ * input_pixels_)
                                      : 0;
  const std::size_t output_bytes = aligned(sizeof(float) * most * output_blocks_ * block_ * output_pixels_);
  const std::size_t lane_bytes = input_bytes + output_bytes + aligned(scratchpad_bytes);
  lane_memory_ = Buffer(context_.memory(), lane_bytes * context_.threads().size(), "convolution chunks");
  lanes_.resize(static_cast<std::size_t>(context_.threads().size()));
  for (std::size_t worker = 0; worker < lanes_.size(); ++worker) {
    Lane& lane = lanes_[worker];
    char* const start = lane_memory_.as<char>() + worker * lane_bytes;
    lane.input = input_bytes > 0 ? reinterpret_cast<float*>(start) : nullptr;
    lane.output = reinterpret_cast<float*>(start + input_bytes);
    if (!pools()) make_arguments(lane, scratchpad_bytes, start + input_bytes + output_bytes);
  }
}

void ConvChunks::make_arguments(Lane& lane, std::size_t scratchpad_bytes, char* scratchpad) {
  const dnnl::engine& engine = onednn::cpu_engine();
  lane.stream = dnnl::stream(engine);
  for (int size = 0; size < 2; ++size) {
    const Primitive& p = sizes_[size];
    if (p.images < 1 || p.images > images(chunks_ - 1)) continue;
    Arguments& a = lane.arguments[size];
    a.src = memory(p.src, engine, nullptr);
    a.weights = memory(weights_forward_, engine, forward_weights_.data());
    a.dst = memory(p.dst, engine, lane.output);
    const auto bytes = static_cast<memory::dim>(scratchpad_bytes);
    a.scratchpad = memory({{bytes}, memory::data_type::u8, Tag::a}, engine, scratchpad);
    a.call[0] = {DNNL_ARG_SRC, a.src.get()};
    a.call[1] = {DNNL_ARG_WEIGHTS, a.weights.get()};
    a.call[2] = {DNNL_ARG_DST, a.dst.get()};
    a.call[3] = {DNNL_ARG_SCRATCHPAD, a.scratchpad.get()};
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
  if (direct_) return direct_->begin(w);
  if (winograd_) return winograd_->begin(w);
  to_forward_.run(lanes_[0].stream, filled(w), forward_weights_.as<float>());
}

void ConvChunks::forward(std::int64_t chunk, int worker, const float* x) {
  Lane& lane = lanes_[static_cast<std::size_t>(worker)];
  if (pools()) return run_own(chunk, worker, x, {.y = lane.output});
  const float* input = load_input(chunk, lane, x);
  const onednn::OneThread one_thread;
  Arguments& a = lane.arguments[size_index(chunk)];
  a.src.set_data_handle(const_cast<float*>(input));
  onednn::execute(sizes_[size_index(chunk)].forward, lane.stream, a.call);
}

void ConvChunks::forward_pooled(std::int64_t chunk, int worker, const float* x, const ForwardOutput& to) {
  run_own(chunk, worker, x, to);
}

void ConvChunks::run_own(std::int64_t chunk, int worker, const float* x, const ForwardOutput& to) const {
  const float* input = load_input(chunk, lanes_[static_cast<std::size_t>(worker)], x);
  if (direct_) return direct_->run(images(chunk), worker, input, to);
  winograd_->run(images(chunk), worker, input, to);
}

// The chunk's images: the caller's where they lie as they should, else laid out anew.
const float* ConvChunks::load_input(std::int64_t chunk, const Lane& lane, const float* x) const {
  const std::int64_t image = shape_.in_channels * input_pixels_;
  const float* from = x + first_image(chunk) * image;
  if (few_channels_ || input_layout_ == Layout::blocked) return from;
  for (std::int64_t n = 0; n < images(chunk); ++n) {
    plain_to_blocked(shape_.in_channels, input_pixels_, block_, from + n * image,
                     lane.input + n * input_blocks_ * block_ * input_pixels_);
  }
  return lane.input;
}

}  // namespace qmse
