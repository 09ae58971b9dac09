// The loops of SparseGradients: from one image's dy to lists, and along the lists to sums of products.
#pragma once

#include <cstdint>

#include "kernels/cpu/dispatch.h"

namespace qmse {

// Arrays that a vector is loaded from or stored to as a whole are this much longer than their contents.
inline constexpr std::int64_t kListSlack = 16;

// dy as [channels / 8, pixels, 8].
struct DenseDy {
  const float* dy;
  const std::int32_t* order;   // of pixels in lists of places
  const std::int32_t* places;  // of the ordered pixels in a padded image; with kListSlack
};

// dy as the gradient of 2x2 windows, [channels / block, windows, block], and the place in its window,
// [channels / 8, windows, 8], that each goes to (kNothingPassed: to none).
struct WindowedDy {
  const float* gradient;
  int block_shift;  // log2(block)
  const std::uint8_t* choice;
  const std::int32_t* corners;       // places of the windows' first pixels in a padded image; with kListSlack
  std::int32_t places_in_window[8];  // from there; the last four are there for the vector
  std::int64_t rows, columns;        // of windows
};

// One image's lists and what they need to know.
struct GradientLists {
  std::int64_t channels = 0, height = 0, width = 0;  // of dy, channels filled up to eights
  // Lists of places, `size` apart (kListSlack of it), for every channel: dy, and where in a padded image the
  // taps start.
  std::int64_t size = 0;
  float* values = nullptr;
  std::int32_t* places = nullptr;
  std::int64_t* counts = nullptr;
  float* sums = nullptr;  // of the lists' values
  // Lists of channels, one pixel after the other: dy, and where in a slice's weights the taps are; with
  // kListSlack, like `weights`.
  float* channel_values = nullptr;
  std::int32_t* channel_weights = nullptr;
  std::int64_t* first = nullptr;          // of a pixel, and of the end
  const std::int32_t* weights = nullptr;  // of a channel
};

struct WantedGradients {
  bool weights = true, data = true;
};

// One slice of the input channels of a padded image, [rows, columns, width], and its part of dw, [channels,
// taps, lanes].
struct WeightSums {
  const float* image = nullptr;
  std::int64_t width = 0;
  bool narrow = false;                 // the lists' places are those of pixels of eight floats
  bool rows = false;                   // the taps are those of a kernel of three rows, in order
  const std::int64_t* taps = nullptr;  // places in the image of vectors of `lanes`
  std::int64_t tap_count = 0;
  std::int64_t lanes = 0;  // 8, or what a wide vector has
  float* dw = nullptr;
  bool begin = false;  // dw holds nothing yet
};

// One row of dy, and where it begins in the padded slice of dx, [rows, columns, lanes].
struct DataSums {
  const float* weights = nullptr;  // [channels, taps, lanes]
  std::int64_t row = 0;            // of dy
  std::int64_t stride = 0, row_size = 0;
  bool three_by_three = false;         // and with a stride of 1
  const std::int64_t* taps = nullptr;  // places in dx
  std::int64_t tap_count = 0;
  std::int64_t lanes = 0;
  float* dx = nullptr;
};

struct SparseLoops {
  void (*list_dense)(const DenseDy&, const GradientLists&, WantedGradients);
  void (*list_windows)(const WindowedDy&, const GradientLists&, WantedGradients);
  // dw[o, t] += sum of values * image[place + taps[t]] along each list, for `channels` of them.
  void (*add_weights)(const WeightSums&, const GradientLists&, std::int64_t channels);
  // dx[pixel + taps[t]] += sum of values * weights[t] along the lists of a row of pixels.
  void (*add_data)(const DataSums&, const GradientLists&);
};
QMSE_FOR_EACH_ISA(extern const SparseLoops sparse_loops;)

}  // namespace qmse
