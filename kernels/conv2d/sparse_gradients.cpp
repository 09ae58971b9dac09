#include "kernels/conv2d/sparse_gradients.h"

#include <algorithm>
#include <bit>

#include "kernels/conv2d/blocked_layout.h"
#include "kernels/cpu/ranges.h"

namespace qmse {

namespace {

constexpr std::int64_t kLanes = SparseGradients::kLanes;
// Up to this many channels a slice has just their width: a vector's lanes would be mostly empty.
constexpr std::int64_t kFewChannels = 3;
// So has the last slice of a plain image, up to this many: a 3x3 kernel's vectors still fit the registers.
constexpr std::int64_t kMaxSlice = 12;
// Weight gradients are summed in at least this many groups of images, then across them.
constexpr std::int64_t kGroups = 16;

// `lanes` floats of each pixel.
void copy_pixels(std::int64_t pixels, const float* from, std::int64_t from_pixel, float* to,
                 std::int64_t to_pixel, std::int64_t lanes) {
  for (std::int64_t p = 0; p < pixels; ++p) {
    for (std::int64_t k = 0; k < lanes; k += kLanes)
      simd_store(to + p * to_pixel + k, simd_load(from + p * from_pixel + k));
  }
}

}  // namespace

SparseGradients::SparseGradients(CpuContext& context, const Conv2dShape& shape, Layout layout,
                                 std::int64_t block)
    : context_(context),
      shape_(shape),
      layout_(layout),
      block_(block),
      loops_(*QMSE_FOR_ISA(context.instruction_set(), sparse_loops)),
      lanes_(layout == Layout::blocked ? block_vector(context.instruction_set(), block).lanes : kLanes),
      filled_outputs_(quotient_up(shape.out_channels, kLanes) * kLanes),
      pixels_(shape.out_height() * shape.out_width()),
      rows_(shape.in_height + 2 * shape.padding),
      columns_(shape.in_width + 2 * shape.padding),
      groups_(std::min(shape.batch, std::clamp<std::int64_t>(shape.batch / 8, kGroups, 2 * kGroups))),
      list_size_(pixels_ + kListSlack) {
  make_slices();
  const std::int64_t height = shape.out_height(), width = shape.out_width();
  for (std::int64_t tile_h = 0; tile_h < height; tile_h += 2) {
    for (std::int64_t tile_w = 0; tile_w < width; tile_w += 2) {
      for (std::int64_t h = tile_h; h < std::min(height, tile_h + 2); ++h) {
        for (std::int64_t w = tile_w; w < std::min(width, tile_w + 2); ++w)
          order_.push_back(static_cast<std::int32_t>(h * width + w));
      }
    }
  }
  const std::int64_t lanes = slices_.front().width;
  for (const std::int32_t pixel : order_) {
    const std::int64_t h = pixel / width, w = pixel % width;
    places_.push_back(static_cast<std::int32_t>((h * columns_ + w) * shape.stride * lanes));
  }
  for (std::int64_t h = 0; h + 2 <= height; h += 2) {
    for (std::int64_t w = 0; w + 2 <= width; w += 2)
      corners_.push_back(static_cast<std::int32_t>((h * columns_ + w) * shape.stride * lanes));
  }
  windows_.rows = height / 2;
  windows_.columns = width / 2;
  for (int k = 0; k < 4; ++k) {
    windows_.places_in_window[k] =
        static_cast<std::int32_t>((k / 2 * columns_ + k % 2) * shape.stride * lanes);
  }
  for (std::int64_t o = 0; o < filled_outputs_; ++o)
    weights_.push_back(static_cast<std::int32_t>(o * kernel_taps() * lanes_));
  for (std::vector<std::int32_t>* loaded : {&places_, &corners_, &weights_})
    loaded->resize(loaded->size() + kListSlack);
  windows_.corners = corners_.data();
  partials_ =
      Buffer(context.memory(), sizeof(float) * groups_ * group_elements(), "convolution partial gradients");
  packed_weights_ =
      Buffer(context.memory(), sizeof(float) * data_slices() * packed_elements(), "convolution weights");
  make_workers();
}

void SparseGradients::make_slices() {
  sums_size_ = 0;
  for (std::int64_t c = 0; c < shape_.in_channels;) {
    Slice slice;
    slice.channel = c;
    slice.channels = shape_.in_channels - c;
    slice.lanes = layout_ == Layout::blocked ? lanes_ : kLanes;
    if (slice.channels > slice.lanes && (layout_ == Layout::blocked || slice.channels > kMaxSlice))
      slice.channels = slice.lanes;
    const bool fills_lanes = slice.channels > kFewChannels && slice.channels <= slice.lanes;
    slice.width = layout_ == Layout::blocked || fills_lanes ? slice.lanes : slice.channels;
    slice.sums = sums_size_;
    const std::int64_t row = shape_.kernel_width * slice.width;
    for (std::int64_t h = 0; h < shape_.kernel_height; ++h) {
      for (std::int64_t k = 0; k < row; k += slice.lanes) {
        slice.taps.push_back(h * columns_ * slice.width + k);
      }
    }
    sums_size_ += shape_.out_channels * slice.size();
    c += slice.channels;
    slices_.push_back(std::move(slice));
  }
  for (std::int64_t h = 0; h < shape_.kernel_height; ++h) {
    for (std::int64_t w = 0; w < shape_.kernel_width; ++w) data_taps_.push_back((h * columns_ + w) * lanes_);
  }
}

void SparseGradients::make_workers() {
  const std::int64_t dense = filled_outputs_ * pixels_, lists = filled_outputs_ * list_size_;
  // A kernel's last vector in a row may reach past the image.
  const auto padded = [&](const Slice& slice) { return rows_ * columns_ * slice.width + 2 * kLanes; };
  const std::int64_t x = padded(slices_.front()), last_x = padded(slices_.back());
  std::size_t bytes = 0;
  const auto lay_out = [&](char* from, Worker& w) {
    bytes = 0;
    const auto take = [&]<class T>(T*& part, std::int64_t count) {
      part = reinterpret_cast<T*>(from + bytes);
      bytes += (sizeof(T) * static_cast<std::size_t>(count) + 255) / 256 * 256;
    };
    take(w.dense, dense);
    take(w.x, x);
    take(w.last_x, last_x);
    take(w.dx, rows_ * columns_ * lanes_);
    GradientLists& l = w.lists;
    l = {.channels = filled_outputs_,
         .height = shape_.out_height(),
         .width = shape_.out_width(),
         .size = list_size_,
         .weights = weights_.data()};
    take(l.values, lists);
    take(l.places, lists);
    take(l.counts, filled_outputs_);
    take(l.sums, filled_outputs_);
    take(l.channel_values, dense + kListSlack);
    take(l.channel_weights, dense + kListSlack);
    take(l.first, pixels_ + 1);
  };
  workers_.resize(static_cast<std::size_t>(context_.threads().size()));
  lay_out(nullptr, workers_[0]);
  worker_memory_ = Buffer(context_.memory(), bytes * workers_.size(), "convolution gradient lists");
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    lay_out(worker_memory_.as<char>() + i * bytes, workers_[i]);
    std::fill_n(workers_[i].x, x, 0.0f);
    std::fill_n(workers_[i].last_x, last_x, 0.0f);
  }
}

void SparseGradients::backward_weights(const float* x, const float* dy, float* dw, float* db) {
  context_.threads().run(groups_, [&](std::int64_t group, int index) {
    for (std::int64_t image = first_image(group); image < first_image(group + 1); ++image) {
      plain_to_blocked(shape_.out_channels, pixels_, kLanes, dy + image * shape_.out_channels * pixels_,
                       dense(index));
      list(index, {.weights = true, .data = false});
      add_weights(image, group, index, x);
    }
  });
  end_weights(dw, db);
}

void SparseGradients::backward_data(const float* w, const float* dy, float* dx) {
  begin_data(w);
  context_.threads().run(shape_.batch, [&](std::int64_t image, int index) {
    plain_to_blocked(shape_.out_channels, pixels_, kLanes, dy + image * shape_.out_channels * pixels_,
                     dense(index));
    list(index, {.weights = false, .data = true});
    write_data(image, index, dx);
  });
}

void SparseGradients::list(int index, Wanted wanted) {
  loops_.list_dense({dense(index), order_.data(), places_.data()}, worker(index).lists, wanted);
}

void SparseGradients::list_windows(int index, Wanted wanted, const float* gradient, std::int64_t block,
                                   const std::uint8_t* choice) {
  WindowedDy dy = windows_;
  dy.gradient = gradient;
  dy.block_shift = std::countr_zero(static_cast<std::uint64_t>(block));
  dy.choice = choice;
  loops_.list_windows(dy, worker(index).lists, wanted);
}

// A slice of the image with its padding, [rows, columns, channels]; what is written behind a row's last pixel
// are zeros of the padding, or is written again with the next row.
void SparseGradients::load_slice(const float* x, const Slice& slice, float* padded) const {
  const std::int64_t height = shape_.in_height, width = shape_.in_width, pixels = height * width;
  const std::int64_t c = slice.channel, n = slice.width;
  for (std::int64_t h = 0; h < height; ++h) {
    float* to = padded + ((h + shape_.padding) * columns_ + shape_.padding) * n;
    if (layout_ == Layout::blocked) {
      const float* from = x + c / block_ * block_ * pixels + c % block_ + h * width * block_;
      copy_pixels(width, from, block_, to, n, n);
    } else if (n == 1) {
      std::copy_n(x + c * pixels + h * width, width, to);
    } else {
      lanes_from_plain(slice.channels, width, x + c * pixels + h * width, pixels, to, n);
    }
  }
}

// Channels c.. of dx, from rows of the padded slice.
void SparseGradients::store_rows(const float* padded, std::int64_t begin, std::int64_t end, std::int64_t c,
                                 float* dx) const {
  const std::int64_t width = shape_.in_width, pixels = shape_.in_height * width;
  begin = std::max(begin, shape_.padding);
  end = std::min(end, shape_.in_height + shape_.padding);
  for (std::int64_t row = begin; row < end; ++row) {
    const float* from = padded + (row * columns_ + shape_.padding) * lanes_;
    const std::int64_t h = row - shape_.padding;
    if (layout_ == Layout::plain) {
      plain_from_lanes(std::min(kLanes, shape_.in_channels - c), width, from, kLanes,
                       dx + c * pixels + h * width, pixels);
    } else {
      copy_pixels(width, from, lanes_, dx + c / block_ * block_ * pixels + c % block_ + h * width * block_,
                  block_, lanes_);
    }
  }
}

void SparseGradients::add_weights(std::int64_t image, std::int64_t group, int index, const float* x) {
  const Worker& from = worker(index);
  float* sums = partials_.as<float>() + group * group_elements();
  const bool begin = image == first_image(group);
  for (const Slice& slice : slices_) {
    // Of the lists' places: pixels as wide as the first slice's.
    const bool narrow = slice.width != slices_.front().width;
    float* padded = narrow ? from.last_x : from.x;
    load_slice(x + image * image_elements(), slice, padded);
    loops_.add_weights({.image = padded,
                        .width = slice.width,
                        .narrow = narrow,
                        .rows = shape_.kernel_height == 3,
                        .taps = slice.taps.data(),
                        .tap_count = std::ssize(slice.taps),
                        .lanes = slice.lanes,
                        .dw = sums + slice.sums,
                        .begin = begin},
                       from.lists, shape_.out_channels);
  }
  float* bias = sums + sums_size_;
  for (std::int64_t c = 0; c < filled_outputs_; c += kLanes)
    simd_store(bias + c, (begin ? Simd<float>{} : simd_load(bias + c)) + simd_load(from.lists.sums + c));
}

void SparseGradients::end_weights(float* dw, float* db) {
  float* partials = partials_.as<float>();
  for (const Slice& slice : slices_) {
    const std::int64_t elements = slice.size();
    for_ranges(context_.threads(), shape_.out_channels, range_items(elements * groups_),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t o = begin; o < end; ++o) {
                   float* sum = partials + slice.sums + o * elements;
                   for (std::int64_t group = 1; group < groups_; ++group) {
                     const float* partial = sum + group * group_elements();
                     for (std::int64_t k = 0; k < elements; ++k) sum[k] += partial[k];
                   }
                   store_weights(sum, slice, dw + o * shape_.in_channels * kernel_taps());
                 }
               });
  }
  if (db == nullptr) return;
  const float* bias = partials + sums_size_;
  std::copy_n(bias, shape_.out_channels, db);
  for (std::int64_t group = 1; group < groups_; ++group) {
    const float* partial = bias + group * group_elements();
    for (std::int64_t o = 0; o < shape_.out_channels; ++o) db[o] += partial[o];
  }
}

// A slice's gradient of one output channel to its place in that channel's dw.
void SparseGradients::store_weights(const float* sum, const Slice& slice, float* dw) const {
  const std::int64_t taps = kernel_taps();
  float* to = dw + slice.channel * taps;
  if (slice.width == slice.lanes) {
    for (std::int64_t c = 0; c < slice.channels; c += kLanes)
      plain_from_lanes(std::min(kLanes, slice.channels - c), taps, sum + c, slice.lanes, to + c * taps, taps);
    return;
  }
  const std::int64_t width = shape_.kernel_width, n = slice.channels;
  for (std::int64_t h = 0; h < shape_.kernel_height; ++h, sum += quotient_up(width * n, kLanes) * kLanes) {
    for (std::int64_t k = 0; k < width * n; ++k) to[k % n * taps + h * width + k / n] = sum[k];
  }
}

void SparseGradients::begin_data(const float* w) {
  const std::int64_t taps = kernel_taps();
  for_ranges(context_.threads(), data_slices() * shape_.out_channels, range_items(taps * lanes_),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t pair = begin; pair < end; ++pair) {
                 const std::int64_t first = pair / shape_.out_channels * lanes_,
                                    o = pair % shape_.out_channels;
                 float* to = packed_weights_.as<float>() + pair * taps * lanes_;
                 for (std::int64_t c = first; c < std::min(first + lanes_, shape_.in_channels); c += kLanes) {
                   lanes_from_plain(std::min(kLanes, shape_.in_channels - c), taps,
                                    w + (o * shape_.in_channels + c) * taps, taps, to + c - first, lanes_);
                 }
               }
             });
}

void SparseGradients::write_data(std::int64_t image, int index, float* dx) {
  const Worker& from = worker(index);
  const std::int64_t height = shape_.out_height(), stride = shape_.stride, row_size = columns_ * lanes_;
  DataSums sums{
      .stride = stride,
      .row_size = row_size,
      .three_by_three = shape_.kernel_height == 3 && shape_.kernel_width == 3 && stride == 1,
      .taps = data_taps_.data(),
      .tap_count = std::ssize(data_taps_),
      .lanes = lanes_,
  };
  dx += image * image_elements();
  for (std::int64_t slice = 0; slice < data_slices(); ++slice) {
    sums.weights = packed_weights_.as<float>() + slice * packed_elements();
    std::fill_n(from.dx, rows_ * row_size, 0.0f);
    for (std::int64_t h = 0; h < height; ++h) {
      sums.row = h;
      sums.dx = from.dx + h * stride * row_size;
      loops_.add_data(sums, from.lists);
      store_rows(from.dx, h * stride, (h + 1) * stride, slice * lanes_, dx);  // no later row adds to these
    }
    store_rows(from.dx, height * stride, rows_, slice * lanes_, dx);
  }
}

}  // namespace qmse
