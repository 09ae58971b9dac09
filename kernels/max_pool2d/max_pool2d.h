// 2-D max-pooling. The window's first maximum in row order wins ties, as in PyTorch and cuDNN; a NaN wins
// over numbers (the last one in the window, as in PyTorch). C++17: included by device code.
#pragma once

#include <cstdint>

#include "device/context.h"

namespace qmse {

struct MaxPool2dShape {
  std::int64_t batch = 0, channels = 0;
  std::int64_t in_height = 0, in_width = 0;
  std::int64_t window = 2;  // windows are square and do not overlap: stride = window, no padding
  // Rows and columns that fill no whole window are left out, as in PyTorch's default.
  std::int64_t out_height() const { return in_height / window; }
  std::int64_t out_width() const { return in_width / window; }
  friend bool operator==(const MaxPool2dShape& a, const MaxPool2dShape& b) {
    return a.batch == b.batch && a.channels == b.channels && a.in_height == b.in_height &&
           a.in_width == b.in_width && a.window == b.window;
  }
};

// Throws ShapeError unless sizes are at least 1, window is in [1, 15] and the image holds at least
// one window.
void check(const MaxPool2dShape& shape);

// On a GPU, how many windows (or, where windows leave rows or columns over, elements) of one channel a block
// of the backward takes, and how many doubles of scratch its sums over channels need at most.
inline constexpr std::int64_t kPoolSplit = 1024;
inline std::int64_t pool_backward_partials(const MaxPool2dShape& shape) {
  return shape.channels * ((shape.batch * shape.in_height * shape.in_width + kPoolSplit - 1) / kPoolSplit);
}

// y [N, C, OH, OW] and choice [N, C, OH, OW], the maximum's place in its window (row * window + column), from
// x [N, C, H, W].
void max_pool2d_forward(CpuContext&, const MaxPool2dShape&, const float* x, float* y, std::uint8_t* choice);
void max_pool2d_forward(CpuContext&, const MaxPool2dShape&, const double* x, double* y, std::uint8_t* choice);
template <class Gpu>
void max_pool2d_forward(Gpu&, const MaxPool2dShape&, const float* x, float* y, std::uint8_t* choice);

// dx [N, C, H, W], overwritten whole, from dy [N, C, OH, OW] and choice.
void max_pool2d_backward(CpuContext&, const MaxPool2dShape&, const float* dy, const std::uint8_t* choice,
                         float* dx);
void max_pool2d_backward(CpuContext&, const MaxPool2dShape&, const double* dy, const std::uint8_t* choice,
                         double* dx);
template <class Gpu>
void max_pool2d_backward(Gpu&, const MaxPool2dShape&, const float* dy, const std::uint8_t* choice, float* dx);

}  // namespace qmse
