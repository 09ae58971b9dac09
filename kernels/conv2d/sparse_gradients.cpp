#include "kernels/conv2d/sparse_gradients.h"

#include <algorithm>
#include <cstring>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/conv2d/blocked_layout.h"
#include "kernels/cpu/ranges.h"

namespace qmse {

namespace {

constexpr std::int64_t kLanes = SparseGradients::kLanes;
// Up to this many channels the lanes are a kernel's columns: channels would leave most of them empty.
constexpr std::int64_t kFewChannels = 3;
// Weight gradients are summed in at least this many groups of images, then across them.
constexpr std::int64_t kGroups = 16;
// Sums held in registers: enough to hide the latency of an addition.
constexpr std::int64_t kSums = 9;

std::int64_t quotient_up(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }

// With few taps several elements of the list are worked on at once, each with sums of its own.
constexpr int streams(int taps) { return taps <= 3 ? 4 : taps <= 6 ? 2 : 1; }

// dw[t] += values[e] * image[places[e] + offsets[t]] over the list.
template <int taps>
void add_list(const float* image, const std::int64_t* offsets, const std::int32_t* places,
              const float* values, std::int64_t count, float* dw) {
  constexpr int kStreams = streams(taps);
  Simd<float> sums[kStreams][taps];
  const float* starts[taps];
#pragma GCC unroll 9
  for (int t = 0; t < taps; ++t) {
    sums[0][t] = simd_load(dw + t * kLanes);
    starts[t] = image + offsets[t];
#pragma GCC unroll 4
    for (int s = 1; s < kStreams; ++s) sums[s][t] = Simd<float>{};
  }
  std::int64_t e = 0;
  for (; e + kStreams <= count; e += kStreams) {
#pragma GCC unroll 4
    for (int s = 0; s < kStreams; ++s) {
      const Simd<float> value = simd_set(values[e + s]);
      const std::int64_t place = places[e + s];
#pragma GCC unroll 9
      for (int t = 0; t < taps; ++t) sums[s][t] = simd_fma(value, simd_load(starts[t] + place), sums[s][t]);
    }
  }
  if constexpr (kStreams > 1) {
    for (; e < count; ++e) {
      const Simd<float> value = simd_set(values[e]);
#pragma GCC unroll 9
      for (int t = 0; t < taps; ++t)
        sums[0][t] = simd_fma(value, simd_load(starts[t] + places[e]), sums[0][t]);
    }
  }
#pragma GCC unroll 9
  for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 4
    for (int s = 1; s < kStreams; ++s) sums[0][t] += sums[s][t];
    simd_store(dw + t * kLanes, sums[0][t]);
  }
}

// image[offsets[t]] += the sum of values[e] * weights[starts[e] + t] over the list.
template <int taps>
void add_pixel(const float* weights, const std::int64_t* offsets, const std::int32_t* starts,
               const float* values, std::int64_t count, float* image) {
  Simd<float> sums[taps];
#pragma GCC unroll 9
  for (int t = 0; t < taps; ++t) sums[t] = Simd<float>{};
  for (std::int64_t e = 0; e < count; ++e) {
    const Simd<float> value = simd_set(values[e]);
    const float* from = weights + starts[e];
#pragma GCC unroll 9
    for (int t = 0; t < taps; ++t) sums[t] = simd_fma(value, simd_load(from + t * kLanes), sums[t]);
  }
#pragma GCC unroll 9
  for (int t = 0; t < taps; ++t) simd_store(image + offsets[t], simd_load(image + offsets[t]) + sums[t]);
}

// The same for a row of pixels and a 3x3 kernel: the columns that neighbours share stay in registers. The
// lists of the pixels begin at first[0] .. first[width].
void add_row_3x3(const float* weights, const std::int32_t* starts, const float* values,
                 const std::int64_t* first, std::int64_t width, std::int64_t row, float* image) {
  Simd<float> sums[3][3] = {};
  const auto flush = [&](std::int64_t column) __attribute__((always_inline)) {
#pragma GCC unroll 3
    for (int h = 0; h < 3; ++h) {
      float* to = image + h * row + column * kLanes;
      simd_store(to, simd_load(to) + sums[h][0]);
      sums[h][0] = sums[h][1];
      sums[h][1] = sums[h][2];
      sums[h][2] = Simd<float>{};
    }
  };
  for (std::int64_t w = 0; w < width; ++w) {
    for (std::int64_t e = first[w]; e < first[w + 1]; ++e) {
      const Simd<float> value = simd_set(values[e]);
      const float* from = weights + starts[e];
#pragma GCC unroll 3
      for (int h = 0; h < 3; ++h) {
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k)
          sums[h][k] = simd_fma(value, simd_load(from + (3 * h + k) * kLanes), sums[h][k]);
      }
    }
    flush(w);
  }
  flush(width);
  flush(width + 1);
}

// Calls function.operator()<n>(first) for every kSums taps, n of them from `first`.
template <class Function>
void for_taps(std::int64_t taps, const Function& function) {
  for (std::int64_t first = 0; first < taps; first += kSums) {
    switch (std::min(kSums, taps - first)) {
#define QMSE_TAPS(n)                        \
  case n:                                   \
    function.template operator()<n>(first); \
    break
      QMSE_TAPS(1);
      QMSE_TAPS(2);
      QMSE_TAPS(3);
      QMSE_TAPS(4);
      QMSE_TAPS(5);
      QMSE_TAPS(6);
      QMSE_TAPS(7);
      QMSE_TAPS(8);
      QMSE_TAPS(9);
#undef QMSE_TAPS
    }
  }
}

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
      few_channels_(layout == Layout::plain && shape.in_channels <= kFewChannels),
      filled_outputs_(quotient_up(shape.out_channels, kLanes) * kLanes),
      pixels_(shape.out_height() * shape.out_width()),
      rows_(shape.in_height + 2 * shape.padding),
      columns_(shape.in_width + 2 * shape.padding),
      slices_(few_channels_ ? 1 : quotient_up(shape.in_channels, kLanes)),
      data_slices_(quotient_up(shape.in_channels, kLanes)),
      groups_(std::min(shape.batch, std::clamp<std::int64_t>(shape.batch / 8, kGroups, 2 * kGroups))),
      list_size_(pixels_ + kLanes) {
  for (std::int64_t h = 0; h < shape.kernel_height; ++h) {
    for (std::int64_t w = 0; w < shape.kernel_width; ++w) data_taps_.push_back((h * columns_ + w) * kLanes);
  }
  taps_ = data_taps_;
  if (few_channels_) {
    taps_.clear();
    for (std::int64_t i = 0; i < shape.in_channels; ++i) {
      for (std::int64_t h = 0; h < shape.kernel_height; ++h) {
        for (std::int64_t w = 0; w < shape.kernel_width; w += kLanes)
          taps_.push_back((i * rows_ + h) * columns_ + w);
      }
    }
  }
  const std::int64_t height = shape.out_height(), width = shape.out_width();
  for (std::int64_t tile_h = 0; tile_h < height; tile_h += 2) {
    for (std::int64_t tile_w = 0; tile_w < width; tile_w += 2) {
      for (std::int64_t h = tile_h; h < std::min(height, tile_h + 2); ++h) {
        for (std::int64_t w = tile_w; w < std::min(width, tile_w + 2); ++w)
          order_.push_back(static_cast<std::int32_t>(h * width + w));
      }
    }
  }
  const std::int64_t lanes = few_channels_ ? 1 : kLanes;
  for (const std::int32_t pixel : order_) {
    const std::int64_t h = pixel / width, w = pixel % width;
    places_.push_back(static_cast<std::int32_t>((h * columns_ + w) * shape.stride * lanes));
  }
  for (std::int64_t h = 0; h + 2 <= height; h += 2) {
    for (std::int64_t w = 0; w + 2 <= width; w += 2)
      corners_.push_back(static_cast<std::int32_t>((h * columns_ + w) * shape.stride * lanes));
  }
  for (std::int64_t o = 0; o < filled_outputs_; ++o)
    weights_.push_back(static_cast<std::int32_t>(o * data_taps() * kLanes));
  partials_ =
      Buffer(context.memory(), sizeof(float) * groups_ * group_elements(), "convolution partial gradients");
  packed_weights_ =
      Buffer(context.memory(), sizeof(float) * data_slices_ * weights_of(data_taps()), "convolution weights");
  std::fill_n(packed_weights_.as<float>(), data_slices_ * weights_of(data_taps()), 0.0f);
  make_workers();
}

void SparseGradients::make_workers() {
  const std::int64_t dense = filled_outputs_ * pixels_, lists = filled_outputs_ * list_size_;
  // A kernel's last columns are a whole vector, which may reach past the image.
  const std::int64_t x = rows_ * columns_ * (few_channels_ ? shape_.in_channels : kLanes) + kLanes;
  const std::int64_t dx = rows_ * columns_ * kLanes;
  std::size_t bytes = 0;
  const auto lay_out = [&](char* from, Worker& w) {
    bytes = 0;
    const auto take = [&]<class T>(T*& part, std::int64_t count) {
      part = reinterpret_cast<T*>(from + bytes);
      bytes += (sizeof(T) * static_cast<std::size_t>(count) + 255) / 256 * 256;
    };
    take(w.dense, dense);
    take(w.x, x);
    take(w.dx, dx);
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
  const std::int64_t lanes = few_channels_ ? 1 : kLanes, step = shape_.stride * lanes;
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

std::int64_t SparseGradients::channels(std::int64_t slice) const {
  return std::min(kLanes, shape_.in_channels - slice * kLanes);
}

void SparseGradients::load_slice(const float* x, std::int64_t slice, float* padded) const {
  const std::int64_t height = shape_.in_height, width = shape_.in_width, pixels = height * width;
  const std::int64_t first = shape_.padding * columns_ + shape_.padding;
  if (few_channels_) {
    for (std::int64_t i = 0; i < shape_.in_channels; ++i) {
      for (std::int64_t h = 0; h < height; ++h)
        std::copy_n(x + i * pixels + h * width, width, padded + first + (i * rows_ + h) * columns_);
    }
    return;
  }
  const std::int64_t c = slice * kLanes;
  for (std::int64_t h = 0; h < height; ++h) {
    float* to = padded + (first + h * columns_) * kLanes;
    if (layout_ == Layout::plain) {
      simd_transpose(channels(slice), width, x + c * pixels + h * width, pixels, to, kLanes);
      continue;
    }
    const float* from = x + c / block_ * block_ * pixels + c % block_ + h * width * block_;
    for (std::int64_t w = 0; w < width; ++w) simd_store(to + w * kLanes, simd_load(from + w * block_));
  }
}

void SparseGradients::store_slice(const float* padded, std::int64_t slice, float* dx) const {
  const std::int64_t height = shape_.in_height, width = shape_.in_width, pixels = height * width;
  const std::int64_t c = slice * kLanes;
  for (std::int64_t h = 0; h < height; ++h) {
    const float* from = padded + ((h + shape_.padding) * columns_ + shape_.padding) * kLanes;
    if (layout_ == Layout::plain) {
      simd_transpose(width, channels(slice), from, kLanes, dx + c * pixels + h * width, pixels);
      continue;
    }
    float* to = dx + c / block_ * block_ * pixels + c % block_ + h * width * block_;
    for (std::int64_t w = 0; w < width; ++w) simd_store(to + w * block_, simd_load(from + w * kLanes));
  }
}

void SparseGradients::add_weights(std::int64_t image, std::int64_t group, int index, const float* x) {
  const Worker& from = worker(index);
  float* dw = partials_.as<float>() + group * group_elements();
  if (image == first_image(group)) std::fill_n(dw, group_elements(), 0.0f);
  for (std::int64_t slice = 0; slice < slices_; ++slice) {
    load_slice(x + image * image_elements(), slice, from.x);
    for (std::int64_t o = 0; o < shape_.out_channels; ++o, dw += taps() * kLanes) {
      for_taps(taps(), [&]<int taps>(std::int64_t first) {
        add_list<taps>(from.x, taps_.data() + first, from.places + o * list_size_,
                       from.values + o * list_size_, from.counts[o], dw + first * kLanes);
      });
    }
  }
  for (std::int64_t c = 0; c < filled_outputs_; c += kLanes)
    simd_store(dw + c, simd_load(dw + c) + simd_load(from.sums + c));
}

void SparseGradients::end_weights(float* dw, float* db) {
  float* partials = partials_.as<float>();
  const std::int64_t elements = taps() * kLanes;
  for_ranges(context_.threads(), slices_ * shape_.out_channels, range_items(elements * groups_),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t pair = begin; pair < end; ++pair) {
                 float* sum = partials + pair * elements;
                 for (std::int64_t group = 1; group < groups_; ++group) {
                   const float* partial = sum + group * group_elements();
                   for (std::int64_t k = 0; k < elements; ++k) sum[k] += partial[k];
                 }
                 store_weights(sum, pair / shape_.out_channels, pair % shape_.out_channels, dw);
               }
             });
  if (db == nullptr) return;
  const float* bias = partials + slices_ * weights_of(taps());
  std::copy_n(bias, shape_.out_channels, db);
  for (std::int64_t group = 1; group < groups_; ++group) {
    const float* partial = bias + group * group_elements();
    for (std::int64_t o = 0; o < shape_.out_channels; ++o) db[o] += partial[o];
  }
}

// A slice's gradient of one output channel to its place in dw.
void SparseGradients::store_weights(const float* sum, std::int64_t slice, std::int64_t output,
                                    float* dw) const {
  float* to = dw + output * shape_.in_channels * data_taps();
  if (!few_channels_) {
    simd_transpose(taps(), channels(slice), sum, kLanes, to + slice * kLanes * taps(), taps());
    return;
  }
  const std::int64_t width = shape_.kernel_width;
  for (std::int64_t row = 0; row < shape_.in_channels * shape_.kernel_height; ++row) {
    for (std::int64_t w = 0; w < width; w += kLanes, sum += kLanes)
      std::copy_n(sum, std::min(kLanes, width - w), to + row * width + w);
  }
}

void SparseGradients::begin_data(const float* w) {
  const std::int64_t taps = data_taps();
  for_ranges(context_.threads(), data_slices_ * shape_.out_channels, range_items(taps * kLanes),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t pair = begin; pair < end; ++pair) {
                 const std::int64_t slice = pair / shape_.out_channels, o = pair % shape_.out_channels;
                 simd_transpose(channels(slice), taps, w + (o * shape_.in_channels + slice * kLanes) * taps,
                                taps, packed_weights_.as<float>() + pair * taps * kLanes, kLanes);
               }
             });
}

void SparseGradients::write_data(std::int64_t image, int index, float* dx) {
  const Worker& from = worker(index);
  const std::int64_t height = shape_.out_height(), width = shape_.out_width();
  for (std::int64_t slice = 0; slice < data_slices_; ++slice) {
    const float* weights = packed_weights_.as<float>() + slice * weights_of(data_taps());
    std::fill_n(from.dx, rows_ * columns_ * kLanes, 0.0f);
    for (std::int64_t h = 0; h < height; ++h) {
      float* row = from.dx + h * shape_.stride * columns_ * kLanes;
      const std::int64_t* first = from.first + h * width;
      if (shape_.kernel_height == 3 && shape_.kernel_width == 3 && shape_.stride == 1) {
        add_row_3x3(weights, from.channel_weights, from.channel_values, first, width, columns_ * kLanes, row);
        continue;
      }
      for (std::int64_t w = 0; w < width; ++w) {
        for_taps(data_taps(), [&]<int taps>(std::int64_t tap) {
          add_pixel<taps>(weights + tap * kLanes, data_taps_.data() + tap, from.channel_weights + first[w],
                          from.channel_values + first[w], first[w + 1] - first[w],
                          row + w * shape_.stride * kLanes);
        });
      }
    }
    store_slice(from.dx, slice, dx + image * image_elements());
  }
}

}  // namespace qmse
