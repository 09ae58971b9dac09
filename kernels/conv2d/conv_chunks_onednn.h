// A convolution worked through in chunks of the batch, each on one thread: by DirectForward or, with channels
// enough, WinogradForward where they fit, else with oneDNN. What conv2d and conv_block share of the forward
// pass, so that the two give the same bits.
//
// Inside, images lie in oneDNN's blocked layout (nChw8c or nChw16c, channels padded with zeros to whole
// blocks). The cut into chunks follows from the shape alone, and so do all bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/direct_forward.h"
#include "kernels/conv2d/layout.h"
#include "kernels/conv2d/onednn.h"
#include "kernels/conv2d/winograd_forward.h"

namespace qmse {

class ConvChunks {
 public:
  // `input` is the layout of x; with Layout::blocked the input channels must fill whole blocks.
  ConvChunks(CpuContext& context, const Conv2dShape& shape, Layout input);

  // Whether there is a fast kernel; if not, the plain convolution is faster by far.
  bool optimised() const { return algorithm_.find("ref") == std::string::npos; }
  const std::string& algorithm() const { return algorithm_; }

  std::int64_t block() const { return block_; }  // channels in a block
  std::int64_t output_blocks() const { return output_blocks_; }
  std::int64_t chunks() const { return chunks_; }
  std::int64_t first_image(std::int64_t chunk) const { return shape_.batch * chunk / chunks_; }
  std::int64_t images(std::int64_t chunk) const { return first_image(chunk + 1) - first_image(chunk); }

  // The worker's scratch for one chunk of y, [images, output_blocks, OH, OW, block].
  float* output(int worker) const { return lanes_[static_cast<std::size_t>(worker)].output; }

  // Forward: begin_forward() once, then forward() for every chunk, which leaves conv(x, w) in output().
  void begin_forward(const float* w);
  void forward(std::int64_t chunk, int worker, const float* x);

  // Whether forward_pooled() can be called: bias, ReLU and a 2x2 max-pool in the same pass.
  bool pools() const { return direct_ || winograd_; }
  void forward_pooled(std::int64_t chunk, int worker, const float* x, const ForwardOutput& to);

 private:
  // Chunks have one of two numbers of images, differing by one: a primitive for each.
  struct Primitive {
    std::int64_t images = 0;
    dnnl::memory::desc src, dst;
    dnnl::primitive forward;
  };
  // A worker's memory objects for one number of images, and the call's arguments.
  struct Arguments {
    dnnl::memory src, weights, dst, scratchpad;
    dnnl_exec_arg_t call[4];
  };
  struct Lane {
    dnnl::stream stream;
    float* input = nullptr;   // a chunk of x in blocked layout, where the caller's is plain
    float* output = nullptr;  // a chunk of y
    Arguments arguments[2];
  };
  struct WeightReorder {
    dnnl::primitive primitive;
    dnnl::memory from, to, scratchpad;
    Buffer scratch;
    dnnl_exec_arg_t call[3];
    void prepare(CpuContext& context, const dnnl::memory::desc& from_desc, const dnnl::memory::desc& to_desc);
    void run(const dnnl::stream& stream, const float* from_data, float* to_data);
  };

  const float* filled(const float* w);
  std::size_t make_primitives();  // returns the bytes of scratchpad they need
  void make_lanes(std::size_t scratchpad_bytes);
  void make_arguments(Lane& lane, std::size_t scratchpad_bytes, char* scratchpad);
  int size_index(std::int64_t chunk) const { return images(chunk) == sizes_[0].images ? 0 : 1; }
  const float* load_input(std::int64_t chunk, const Lane& lane, const float* x) const;
  void run_own(std::int64_t chunk, int worker, const float* x, const ForwardOutput& to) const;

  CpuContext& context_;
  Conv2dShape shape_;
  Layout input_layout_;
  bool few_channels_ = false;  // the plain x is read as it is
  std::int64_t block_ = 0, input_blocks_ = 0, output_blocks_ = 0;
  std::int64_t filled_in_ = 0, filled_out_ = 0;  // channels as oneDNN sees them: whole blocks
  std::int64_t input_pixels_ = 0, output_pixels_ = 0;
  std::int64_t chunks_ = 0;
  std::string algorithm_;
  // If one is set, there is nothing of oneDNN.
  std::optional<DirectForward> direct_;
  std::optional<WinogradForward> winograd_;
  dnnl::memory::desc weights_, weights_forward_;
  Primitive sizes_[2];
  std::vector<Lane> lanes_;
  Buffer lane_memory_, forward_weights_;
  Buffer filled_weights_;  // where blocks are filled up
  WeightReorder to_forward_;
};

}  // namespace qmse
