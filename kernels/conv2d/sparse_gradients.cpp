#include "kernels/conv2d/sparse_gradients.h"

#include <algorithm>
#include <cstring>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/conv2d/blocked_layout.h"
#include "kernels/conv2d/sparse_loops.h"
#include "kernels/cpu/ranges.h"

namespace qmse {

namespace {

using namespace sparse_loops;

// Up to this many channels a slice has just their width: a vector's lanes would be mostly empty.
constexpr std::int64_t kFewChannels = 3;
// So has the last slice of a plain image, up to this many: a 3x3 kernel's vectors still fit the registers.
constexpr std::int64_t kMaxSlice = 12;
// Weight gradients are summed in at least this many groups of images, then across them.
constexpr std::int64_t kGroups = 16;

std::int64_t quotient_up(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }

// Eight channels' dy at a time: what the lists are made from. at() is dy at an element of the list's order,
// and its places in the padded image, -1 where it is zero; pixel() is dy at a pixel.
struct Dense {
  const float* dy;
  const std::int32_t *order, *places;
  std::int64_t elements, pixels, columns;

  void at(std::int64_t c, std::int64_t k, Simd<float>& value, SimdInt& place) const {
    value = simd_load(dy + c * pixels + order[k] * kLanes);
    place = value != 0.0f ? SimdInt{} + places[k] : SimdInt{} - 1;
  }
  Simd<float> pixel(std::int64_t c, std::int64_t h, std::int64_t w) const {
    return simd_load(dy + c * pixels + (h * columns + w) * kLanes);
  }
  bool covers(std::int64_t, std::int64_t) const { return true; }
};

struct Windows {
  const float* gradient;
  std::int64_t block;
  const std::uint8_t* choice;
  const std::int32_t* corners;  // places of the windows' first pixels
  std::int32_t down, right;     // from there to the other pixels
  std::int64_t elements, columns, rows;

  Simd<float> value(std::int64_t c, std::int64_t k) const {
    return simd_load(gradient + (c / block * elements + k) * block + c % block);
  }
  SimdInt chosen(std::int64_t c, std::int64_t k) const {
    return simd_load_bytes(choice + c * elements + k * kLanes);
  }
  void at(std::int64_t c, std::int64_t k, Simd<float>& v, SimdInt& place) const {
    const Simd<float> g = value(c, k);
    const SimdInt at = chosen(c, k), passed = (at != kNothingPassed) & (g != 0.0f);
    v = passed ? g : Simd<float>{};
    place = passed ? corners[k] + (at >> 1) * down + (at & 1) * right : SimdInt{} - 1;
  }
  Simd<float> pixel(std::int64_t c, std::int64_t h, std::int64_t w) const {
    const std::int64_t k = h / 2 * columns + w / 2;
    const SimdInt here = chosen(c, k) == static_cast<std::int32_t>(h % 2 * 2 + w % 2);
    return here ? value(c, k) : Simd<float>{};
  }
  bool covers(std::int64_t h, std::int64_t w) const { return h < 2 * rows && w < 2 * columns; }
};

}  // namespace

SparseGradients::SparseGradients(CpuContext& context, const Conv2dShape& shape, Layout layout,
                                 std::int64_t block)
    : context_(context),
      shape_(shape),
      layout_(layout),
      block_(block),
      filled_outputs_(quotient_up(shape.out_channels, kLanes) * kLanes),
      pixels_(shape.out_height() * shape.out_width()),
      rows_(shape.in_height + 2 * shape.padding),
      columns_(shape.in_width + 2 * shape.padding),
      groups_(std::min(shape.batch, std::clamp<std::int64_t>(shape.batch / 8, kGroups, 2 * kGroups))),
      list_size_(pixels_ + kLanes) {
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
  for (std::int64_t o = 0; o < filled_outputs_; ++o)
    weights_.push_back(static_cast<std::int32_t>(o * kernel_taps() * kLanes));
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
    if (slice.channels > kLanes && (layout_ == Layout::blocked || slice.channels > kMaxSlice))
      slice.channels = kLanes;
    const bool fills_lanes = slice.channels > kFewChannels && slice.channels <= kLanes;
    slice.width = layout_ == Layout::blocked || fills_lanes ? kLanes : slice.channels;
    slice.sums = sums_size_;
    const std::int64_t row = shape_.kernel_width * slice.width;
    for (std::int64_t h = 0; h < shape_.kernel_height; ++h) {
      for (std::int64_t k = 0; k < row; k += kLanes) {
        slice.taps.push_back(h * columns_ * slice.width + k);
      }
    }
    sums_size_ += shape_.out_channels * slice.size();
    c += slice.channels;
    slices_.push_back(std::move(slice));
  }
  for (std::int64_t h = 0; h < shape_.kernel_height; ++h) {
    for (std::int64_t w = 0; w < shape_.kernel_width; ++w) data_taps_.push_back((h * columns_ + w) * kLanes);
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
    take(w.dx, rows_ * columns_ * kLanes);
    take(w.values, lists);
    take(w.places, lists);
    take(w.counts, filled_outputs_);
    take(w.sums, filled_outputs_);
    take(w.channel_values, dense + kLanes);
    take(w.channel_weights, dense + kLanes);
    take(w.first, pixels_ + 1);
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
  list_from(worker(index), wanted,
            Dense{dense(index), order_.data(), places_.data(), pixels_, pixels_, shape_.out_width()});
}

void SparseGradients::list_windows(int index, Wanted wanted, const float* gradient, std::int64_t block,
                                   const std::uint8_t* choice) {
  const std::int64_t step = shape_.stride * slices_.front().width;
  list_from(worker(index), wanted,
            Windows{gradient, block, choice, corners_.data(), static_cast<std::int32_t>(step * columns_),
                    static_cast<std::int32_t>(step), static_cast<std::int64_t>(corners_.size()),
                    shape_.out_width() / 2, shape_.out_height() / 2});
}

template <class Source>
void SparseGradients::list_from(Worker& worker, Wanted wanted, const Source& source) const {
  if (wanted.weights) list_places(worker, source);
  if (wanted.data) list_channels(worker, source);
}

template <class Source>
void SparseGradients::list_places(Worker& worker, const Source& source) const {
  for (std::int64_t c = 0; c < filled_outputs_; c += kLanes) {
    float* values = worker.values + c * list_size_;
    std::int32_t* places = worker.places + c * list_size_;
    std::int64_t counts[kLanes] = {};
    Simd<float> sum{};
    const auto add_tile = [&](std::int64_t k, std::int64_t count) __attribute__((always_inline)) {
      Simd<float> tile_values[kLanes], tile_places[kLanes];
#pragma GCC unroll 8
      for (std::int64_t j = 0; j < kLanes; ++j) {
        SimdInt place = SimdInt{} - 1;
        tile_values[j] = Simd<float>{};
        if (j < count) source.at(c, k + j, tile_values[j], place);
        sum += tile_values[j];
        tile_places[j] = reinterpret_cast<Simd<float>>(place);
      }
      simd_transpose(tile_values);
      simd_transpose(tile_places);
#pragma GCC unroll 8
      for (int lane = 0; lane < kLanes; ++lane) {
        const auto place = reinterpret_cast<SimdInt>(tile_places[lane]);
        const std::int64_t at = lane * list_size_ + counts[lane];
        counts[lane] +=
            simd_store_lanes(~simd_signs(place) & 255, tile_values[lane], place, values + at, places + at);
      }
    };
    std::int64_t k = 0;
    for (; k + kLanes <= source.elements; k += kLanes) add_tile(k, kLanes);
    if (k < source.elements) add_tile(k, source.elements - k);
    std::copy_n(counts, kLanes, worker.counts + c);
    simd_store(worker.sums + c, sum);
  }
}

template <class Source>
void SparseGradients::list_channels(Worker& worker, const Source& source) const {
  std::int64_t count = 0;
  std::int64_t* first = worker.first;
  for (std::int64_t h = 0; h < shape_.out_height(); ++h) {
    for (std::int64_t w = 0; w < shape_.out_width(); ++w) {
      *first++ = count;
      if (!source.covers(h, w)) continue;
      for (std::int64_t c = 0; c < filled_outputs_; c += kLanes) {
        const Simd<float> value = source.pixel(c, h, w);
        SimdInt weights;
        std::memcpy(&weights, weights_.data() + c, sizeof weights);
        count += simd_store_lanes(simd_signs(value != 0.0f), value, weights, worker.channel_values + count,
                                  worker.channel_weights + count);
      }
    }
  }
  *first = count;
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
      for (std::int64_t w = 0; w < width; ++w) simd_store(to + w * kLanes, simd_load(from + w * block_));
    } else if (n == 1) {
      std::copy_n(x + c * pixels + h * width, width, to);
    } else {
      lanes_from_plain(slice.channels, width, x + c * pixels + h * width, pixels, to, n);
    }
  }
}

// Channels c.. of dx.
void SparseGradients::store_slice(const float* padded, std::int64_t c, float* dx) const {
  const std::int64_t height = shape_.in_height, width = shape_.in_width, pixels = height * width;
  for (std::int64_t h = 0; h < height; ++h) {
    const float* from = padded + ((h + shape_.padding) * columns_ + shape_.padding) * kLanes;
    if (layout_ == Layout::plain) {
      plain_from_lanes(std::min(kLanes, shape_.in_channels - c), width, from, kLanes,
                       dx + c * pixels + h * width, pixels);
      continue;
    }
    float* to = dx + c / block_ * block_ * pixels + c % block_ + h * width * block_;
    for (std::int64_t w = 0; w < width; ++w) simd_store(to + w * block_, simd_load(from + w * kLanes));
  }
}

void SparseGradients::add_weights(std::int64_t image, std::int64_t group, int index, const float* x) {
  const Worker& from = worker(index);
  float* sums = partials_.as<float>() + group * group_elements();
  if (image == first_image(group)) std::fill_n(sums, group_elements(), 0.0f);
  for (const Slice& slice : slices_) {
    // Of the lists' places: pixels as wide as the first slice's.
    const bool narrow = slice.width != slices_.front().width;
    float* padded = narrow ? from.last_x : from.x;
    load_slice(x + image * image_elements(), slice, padded);
    float* dw = sums + slice.sums;
    for (std::int64_t o = 0; o < shape_.out_channels; ++o, dw += slice.size()) {
      const auto add = [&]<int taps, int run>(std::int64_t first) {
        const auto list = narrow ? add_list<taps, run, true> : add_list<taps, run, false>;
        list(padded, slice.taps.data() + first, from.places + o * list_size_, from.values + o * list_size_,
             from.counts[o], slice.width, dw + first * kLanes);
      };
      const std::int64_t taps = std::ssize(slice.taps);
      if (shape_.kernel_height == 3 && taps <= kSums) {
        for_taps<kSums / 3>(taps / 3,
                            [&]<int run>(std::int64_t) { add.template operator()<3 * run, run>(0); });
      } else {
        for_taps<kAddresses>(taps, [&]<int n>(std::int64_t first) { add.template operator()<n, 1>(first); });
      }
    }
  }
  float* bias = sums + sums_size_;
  for (std::int64_t c = 0; c < filled_outputs_; c += kLanes)
    simd_store(bias + c, simd_load(bias + c) + simd_load(from.sums + c));
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
  if (slice.width == kLanes) return plain_from_lanes(slice.channels, taps, sum, kLanes, to, taps);
  const std::int64_t width = shape_.kernel_width, n = slice.channels;
  for (std::int64_t h = 0; h < shape_.kernel_height; ++h, sum += quotient_up(width * n, kLanes) * kLanes) {
    for (std::int64_t k = 0; k < width * n; ++k) to[k % n * taps + h * width + k / n] = sum[k];
  }
}

void SparseGradients::begin_data(const float* w) {
  const std::int64_t taps = kernel_taps();
  for_ranges(context_.threads(), data_slices() * shape_.out_channels, range_items(taps * kLanes),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t pair = begin; pair < end; ++pair) {
                 const std::int64_t c = pair / shape_.out_channels * kLanes, o = pair % shape_.out_channels;
                 lanes_from_plain(std::min(kLanes, shape_.in_channels - c), taps,
                                  w + (o * shape_.in_channels + c) * taps, taps,
                                  packed_weights_.as<float>() + pair * taps * kLanes, kLanes);
               }
             });
}

void SparseGradients::write_data(std::int64_t image, int index, float* dx) {
  const Worker& from = worker(index);
  const std::int64_t height = shape_.out_height(), width = shape_.out_width();
  for (std::int64_t slice = 0; slice < data_slices(); ++slice) {
    const float* weights = packed_weights_.as<float>() + slice * packed_elements();
    std::fill_n(from.dx, rows_ * columns_ * kLanes, 0.0f);
    for (std::int64_t h = 0; h < height; ++h) {
      float* row = from.dx + h * shape_.stride * columns_ * kLanes;
      const std::int64_t* first = from.first + h * width;
      if (shape_.kernel_height == 3 && shape_.kernel_width == 3 && shape_.stride == 1) {
        add_row_3x3(weights, from.channel_weights, from.channel_values, first, width, columns_ * kLanes, row);
        continue;
      }
      for (std::int64_t w = 0; w < width; ++w) {
        for_taps<kAddresses>(kernel_taps(), [&]<int taps>(std::int64_t tap) {
          add_pixel<taps>(weights + tap * kLanes, data_taps_.data() + tap, from.channel_weights + first[w],
                          from.channel_values + first[w], first[w + 1] - first[w],
                          row + w * shape_.stride * kLanes);
        });
      }
    }
    store_slice(from.dx, slice * kLanes, dx + image * image_elements());
  }
}

}  // namespace qmse
