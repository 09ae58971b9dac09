// The gradients of a convolution from the places where dy is not zero. Behind ReLU and a 2x2 max-pool these
// are at most a quarter, and a sixth or so in training, so most of the dense products would add zeros.
//
// An image's dy becomes lists: for each output channel its places for dw, for each pixel its output channels
// for dx. A list is walked with a kernel's taps as sums in registers, for a vector of input channels at a
// time. For dw, one to three and nine to twelve are a slice of just that width: its channels lie side by side
// from pixel to pixel, so that a row of the kernel is a run of kernel width times channels floats, and of its
// vectors only the last has empty lanes.
//
// Bits follow from the values and the shape alone: not from the layouts, nor from the number of threads or
// the processor. A sum has no terms from places where dy is zero, so a NaN or an infinity in x or w reaches
// only gradients of places where dy is not; any in dy reaches what it would in the dense product.
#pragma once

#include <cstdint>
#include <iterator>
#include <vector>

#include "device/memory.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/layout.h"
#include "kernels/conv2d/sparse_loops.h"
#include "kernels/cpu/simd.h"

namespace qmse {

class SparseGradients {
 public:
  static constexpr std::int64_t kLanes = kSimdLanes<float>;

  // x and dx are plain, or blocked by `block` channels, a multiple of kLanes that their channels are whole
  // numbers of.
  SparseGradients(CpuContext& context, const Conv2dShape& shape, Layout layout, std::int64_t block);

  // The whole of either gradient; dy [N, O, OH, OW].
  void backward_weights(const float* x, const float* dy, float* dw, float* db /* may be null */);
  void backward_data(const float* w, const float* dy, float* dx);

  // The same image by image, for a caller that has dy in another form. Images of a group go, in order and by
  // one worker, through a list function and then add_weights(), write_data() or both.
  std::int64_t groups() const { return groups_; }
  std::int64_t first_image(std::int64_t group) const { return shape_.batch * group / groups_; }
  void begin_data(const float* w);
  void add_weights(std::int64_t image, std::int64_t group, int worker, const float* x);
  void write_data(std::int64_t image, int worker, float* dx);
  void end_weights(float* dw, float* db /* may be null */);

  using Wanted = WantedGradients;
  // From the worker's dense(), [O / kLanes, OH * OW, kLanes], which the caller fills, with zeros for the
  // channels that are missing in the last block.
  float* dense(int worker) const { return workers_[static_cast<std::size_t>(worker)].dense; }
  void list(int worker, Wanted wanted);
  // From the gradient of 2x2 windows, [O / block, windows, block], block a power of two, and the place in its
  // window, [O / kLanes, windows, kLanes], that each goes to (kNothingPassed: to none).
  void list_windows(int worker, Wanted wanted, const float* gradient, std::int64_t block,
                    const std::uint8_t* choice);

 private:
  struct Worker {
    float* dense;
    float *x, *last_x, *dx;  // a slice of the image with its padding; the last may have another width
    GradientLists lists;
  };

  // Input channels that are worked on together for dw.
  struct Slice {
    std::int64_t channel = 0, channels = 0;
    std::int64_t width = 0;          // floats of a pixel: channels, or a vector
    std::int64_t lanes = 0;          // of a vector
    std::vector<std::int64_t> taps;  // places of the kernel's vectors in a padded slice
    std::int64_t sums = 0;           // where its gradient is in a group's
    std::int64_t size() const { return std::ssize(taps) * lanes; }  // of one output channel
  };

  void make_slices();
  void make_workers();
  Worker& worker(int index) { return workers_[static_cast<std::size_t>(index)]; }
  std::int64_t image_elements() const { return shape_.in_channels * shape_.in_height * shape_.in_width; }
  std::int64_t group_elements() const { return sums_size_ + filled_outputs_; }
  std::int64_t data_slices() const { return (shape_.in_channels + lanes_ - 1) / lanes_; }
  std::int64_t packed_elements() const { return shape_.out_channels * kernel_taps() * lanes_; }
  std::int64_t kernel_taps() const { return shape_.kernel_height * shape_.kernel_width; }
  void load_slice(const float* x, const Slice& slice, float* padded) const;
  void store_rows(const float* padded, std::int64_t begin, std::int64_t end, std::int64_t c, float* dx) const;
  void store_weights(const float* sum, const Slice& slice, float* dw) const;

  CpuContext& context_;
  Conv2dShape shape_;
  Layout layout_;
  std::int64_t block_;
  const SparseLoops& loops_;
  std::int64_t lanes_;  // input channels worked on together in a blocked image and in dx
  std::int64_t filled_outputs_, pixels_, rows_, columns_;
  std::vector<Slice> slices_;
  std::vector<std::int64_t> data_taps_;  // places of a kernel's vectors in `dx`
  std::int64_t sums_size_ = 0;           // of a group's gradient of the weights
  std::int64_t groups_, list_size_;
  std::vector<std::int32_t> order_;    // pixels as lists of places have them: 2x2 tile by 2x2 tile
  std::vector<std::int32_t> places_;   // in `x`, of order_'s pixels
  std::vector<std::int32_t> corners_;  // in `x`, of the first pixels of whole tiles
  std::vector<std::int32_t> weights_;  // in a slice of packed_weights_, of output channels
  WindowedDy windows_ = {};
  std::vector<Worker> workers_;
  Buffer worker_memory_, partials_, packed_weights_;
};

}  // namespace qmse
