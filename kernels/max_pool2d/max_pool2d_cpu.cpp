#include <algorithm>
#include <cstdint>

#include "kernels/cpu/ranges.h"
#include "kernels/max_pool2d/max_pool2d.h"
#include "kernels/max_pool2d/max_pool2d_math.h"

namespace qmse {
namespace {

// One row of windows of width kWindow (0: `window`, known only at run time). `rows` are the window's first
// row of the image and those below it, `width` apart.
template <int kWindow, class T>
void forward_row(const T* rows, std::int64_t width, std::int64_t window, std::int64_t out_width, T* y,
                 std::uint8_t* choice) {
  const std::int64_t size = kWindow > 0 ? kWindow : window;
  for (std::int64_t o = 0; o < out_width; ++o) {
    const T* corner = rows + o * size;
    MaxPoolWindow<T> pooled;
    for (std::int64_t i = 0; i < size; ++i) {
      for (std::int64_t j = 0; j < size; ++j) {
        pooled.visit(corner[i * width + j], static_cast<int>(i * size + j));
      }
    }
    y[o] = pooled.best;
    choice[o] = static_cast<std::uint8_t>(pooled.choice);
  }
}

template <int kWindow, class T>
void backward_row(const T* dy, const std::uint8_t* choice, std::int64_t width, std::int64_t window,
                  std::int64_t out_width, T* rows) {
  const std::int64_t size = kWindow > 0 ? kWindow : window;
  for (std::int64_t i = 0; i < size; ++i) {
    T* row = rows + i * width;
    for (std::int64_t o = 0; o < out_width; ++o) {
      for (std::int64_t j = 0; j < size; ++j) row[o * size + j] = choice[o] == i * size + j ? dy[o] : T(0);
    }
    std::fill(row + out_width * size, row + width, T(0));
  }
}

template <class T>
void forward(CpuContext& context, const MaxPool2dShape& shape, const T* x, T* y, std::uint8_t* choice) {
  check(shape);
  const std::int64_t in_size = shape.in_height * shape.in_width;
  const std::int64_t out_height = shape.out_height(), out_width = shape.out_width();
  const auto run_row = shape.window == 2 ? forward_row<2, T> : forward_row<0, T>;
  for_ranges(context.threads(), shape.batch * shape.channels, range_items(in_size),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t plane = begin; plane < end; ++plane) {
                 for (std::int64_t row = 0; row < out_height; ++row) {
                   const std::int64_t out = (plane * out_height + row) * out_width;
                   run_row(x + plane * in_size + row * shape.window * shape.in_width, shape.in_width,
                           shape.window, out_width, y + out, choice + out);
                 }
               }
             });
}

template <class T>
void backward(CpuContext& context, const MaxPool2dShape& shape, const T* dy, const std::uint8_t* choice,
              T* dx) {
  check(shape);
  const std::int64_t in_size = shape.in_height * shape.in_width;
  const std::int64_t out_height = shape.out_height(), out_width = shape.out_width();
  const auto run_row = shape.window == 2 ? backward_row<2, T> : backward_row<0, T>;
  for_ranges(context.threads(), shape.batch * shape.channels, range_items(in_size),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t plane = begin; plane < end; ++plane) {
                 T* image = dx + plane * in_size;
                 for (std::int64_t row = 0; row < out_height; ++row) {
                   const std::int64_t out = (plane * out_height + row) * out_width;
                   run_row(dy + out, choice + out, shape.in_width, shape.window, out_width,
                           image + row * shape.window * shape.in_width);
                 }
                 std::fill(image + out_height * shape.window * shape.in_width, image + in_size, T(0));
               }
             });
}

}  // namespace

void max_pool2d_forward(CpuContext& context, const MaxPool2dShape& shape, const float* x, float* y,
                        std::uint8_t* choice) {
  forward(context, shape, x, y, choice);
}
void max_pool2d_forward(CpuContext& context, const MaxPool2dShape& shape, const double* x, double* y,
                        std::uint8_t* choice) {
  forward(context, shape, x, y, choice);
}

void max_pool2d_backward(CpuContext& context, const MaxPool2dShape& shape, const float* dy,
                         const std::uint8_t* choice, float* dx) {
  backward(context, shape, dy, choice, dx);
}
void max_pool2d_backward(CpuContext& context, const MaxPool2dShape& shape, const double* dy,
                         const std::uint8_t* choice, double* dx) {
  backward(context, shape, dy, choice, dx);
}

}  // namespace qmse
