#include "kernels/conv2d/sparse_loops.h"

#include <cstring>
#include <utility>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/cpu/simd.h"

namespace qmse::QMSE_ISA {

namespace {

constexpr int kEight = kSimdLanes<float>;
constexpr int kWide = kWideLanes<float>;
static_assert(kWide <= kListSlack);
// Sums held in registers beside the factor: as many as there are registers.
constexpr int kSums = 15;
// The same where each has an address of its own.
constexpr int kAddresses = 9;

// What lists are made from: values of eight channels from c on, zero where nothing passed. row() is that of
// the k-th element of a list of places, pixel() that of a pixel; places() are a wide vector's for one channel
// of a tile of as many elements.

struct DenseSource {
  const DenseDy& from;
  std::int64_t elements, columns;

  Simd<float> row(std::int64_t c, std::int64_t k) const {
    return simd_load(from.dy + c * elements + from.order[k] * kEight);
  }
  Simd<float> pixel(std::int64_t c, std::int64_t h, std::int64_t w) const {
    return simd_load(from.dy + c * elements + (h * columns + w) * kEight);
  }
  bool covers(std::int64_t, std::int64_t) const { return true; }

  struct Tile {
    WideInt first;
    WideInt places(int) const { return first; }
  };
  Tile tile(std::int64_t, std::int64_t k, std::int64_t) const {
    return {simd_load<WideInt>(from.places + k)};
  }
};

struct WindowedSource {
  const WindowedDy& from;
  std::int64_t elements;

  Simd<float> value(std::int64_t c, std::int64_t k) const {
    const std::int64_t block = c >> from.block_shift, size = std::int64_t{1} << from.block_shift;
    return simd_load(from.gradient + ((block * elements + k) << from.block_shift) + (c & (size - 1)));
  }
  const std::uint8_t* chosen(std::int64_t c, std::int64_t k) const {
    return from.choice + c * elements + k * kEight;
  }
  Simd<float> row(std::int64_t c, std::int64_t k) const {
    return simd_load_bytes(chosen(c, k)) != kNothingPassed ? value(c, k) : Simd<float>{};
  }
  Simd<float> pixel(std::int64_t c, std::int64_t h, std::int64_t w) const {
    const std::int64_t k = (h >> 1) * from.columns + (w >> 1);
    const auto here = static_cast<std::int32_t>((h & 1) * 2 + (w & 1));
    return simd_load_bytes(chosen(c, k)) == here ? value(c, k) : Simd<float>{};
  }
  bool covers(std::int64_t h, std::int64_t w) const { return h < 2 * from.rows && w < 2 * from.columns; }

  struct Tile {
    Tile(const WideInt& corners, const std::int32_t (&places)[8]) : first(corners), in_window(places) {}
    std::uint8_t choice[kEight * kWide];  // [8, elements]
    WideInt first;
    const std::int32_t (&in_window)[8];
    WideInt places(int lane) const {
      return first + simd_lookup(in_window, wide_load_bytes(choice + lane * kWide));
    }
  };
  Tile tile(std::int64_t c, std::int64_t k, std::int64_t count) const {
    const std::uint8_t* choice = chosen(c, k);
    std::uint8_t last[kEight * kWide];
    if (count < kWide) {
      std::memset(last, 0, sizeof last);
      std::memcpy(last, choice, static_cast<std::size_t>(count * kEight));
      choice = last;
    }
    Tile tile(simd_load<WideInt>(from.corners + k), from.places_in_window);
    simd_transpose_bytes(choice, tile.choice);
    return tile;
  }
};

template <class Source>
void list_places(const Source& source, const GradientLists& lists) {
  for (std::int64_t c = 0; c < lists.channels; c += kEight) {
    float* values = lists.values + c * lists.size;
    std::int32_t* places = lists.places + c * lists.size;
    std::int64_t counts[kEight] = {};
    Simd<float> sum{};
    for (std::int64_t k = 0; k < source.elements; k += kWide) {
      const std::int64_t count = source.elements - k < kWide ? source.elements - k : kWide;
      const auto row = [&](std::int64_t e) __attribute__((always_inline)) {
        if (e >= count) return Simd<float>{};
        const Simd<float> value = source.row(c, k + e);
        sum += value;
        return value;
      };
      Simd<float> rows[kWide];
#pragma GCC unroll 16
      for (int e = 0; e < kWide; ++e) rows[e] = row(e);
      WideSimd<float> lanes[kEight];
#pragma GCC unroll 8
      for (int e = 0; e < kEight; ++e) lanes[e] = simd_join(rows[e], rows[kWide - kEight + e]);
      simd_transpose(lanes);
      const auto tile = source.tile(c, k, count);
#pragma GCC unroll 8
      for (int lane = 0; lane < kEight; ++lane) {
        const std::int64_t at = lane * lists.size + counts[lane];
        counts[lane] += simd_store_lanes(simd_nonzero(lanes[lane]), lanes[lane], tile.places(lane),
                                         values + at, places + at);
      }
    }
    std::memcpy(lists.counts + c, counts, sizeof counts);
    simd_store(lists.sums + c, sum);
  }
}

template <class Source>
void list_channels(const Source& source, const GradientLists& lists) {
  std::int64_t count = 0;
  std::int64_t* first = lists.first;
  for (std::int64_t h = 0; h < lists.height; ++h) {
    for (std::int64_t w = 0; w < lists.width; ++w) {
      *first++ = count;
      if (!source.covers(h, w)) continue;
      for (std::int64_t c = 0; c < lists.channels; c += kWide) {
        const std::int64_t next = c + kWide - kEight;
        const WideSimd<float> value = simd_join(
            source.pixel(c, h, w), next < lists.channels ? source.pixel(next, h, w) : Simd<float>{});
        count += simd_store_few_lanes(simd_nonzero(value), value, simd_load<WideInt>(lists.weights + c),
                                      lists.channel_values + count, lists.channel_weights + count);
      }
    }
  }
  *first = count;
}

template <class Source>
void list(const Source& source, const GradientLists& lists, WantedGradients wanted) {
  if (wanted.weights) list_places(source, lists);
  if (wanted.data) list_channels(source, lists);
}

void list_dense(const DenseDy& dy, const GradientLists& lists, WantedGradients wanted) {
  list(DenseSource{dy, lists.height * lists.width, lists.width}, lists, wanted);
}

void list_windows(const WindowedDy& dy, const GradientLists& lists, WantedGradients wanted) {
  list(WindowedSource{dy, dy.rows * dy.columns}, lists, wanted);
}

// With few taps several elements of the list are worked on at once, each with sums of its own.
constexpr int streams(int taps) { return taps <= 3 ? 4 : taps <= 5 ? 2 : 1; }

// The list of one channel. Taps that are one vector behind the other in groups of `run` share an address:
// there are fewer registers for these than for sums.
template <class V, int taps, int run, bool narrow>
void add_list(const WeightSums& to, const std::int64_t* offsets, const std::int32_t* places,
              const float* values, std::int64_t count, float* dw) {
  constexpr int kLanes = sizeof(V) / sizeof(float);
  constexpr int kStreams = streams(taps);
  const std::int64_t width = to.width;
  V sums[kStreams][taps];
  const float* starts[taps / run];
#pragma GCC unroll 15
  for (int t = 0; t < taps; ++t) {
    sums[0][t] = to.begin ? V{} : simd_load<V>(dw + t * kLanes);
    if (t % run == 0) starts[t / run] = to.image + offsets[t];
#pragma GCC unroll 4
    for (int s = 1; s < kStreams; ++s) sums[s][t] = V{};
  }
  const auto add = [&](V(&sum)[taps], std::int64_t e) __attribute__((always_inline)) {
    const V value = simd_set<V>(values[e]);
    const std::int64_t place = narrow ? (places[e] >> 3) * width : places[e];
#pragma GCC unroll 15
    for (int t = 0; t < taps; ++t)
      sum[t] = simd_fma(value, simd_load<V>(starts[t / run] + place + t % run * kLanes), sum[t]);
  };
  std::int64_t e = 0;
  for (; e + kStreams <= count; e += kStreams) {
#pragma GCC unroll 4
    for (int s = 0; s < kStreams; ++s) add(sums[s], e + s);
  }
  if constexpr (kStreams > 1) {
    for (; e < count; ++e) add(sums[0], e);
  }
#pragma GCC unroll 15
  for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 4
    for (int s = 1; s < kStreams; ++s) sums[0][t] += sums[s][t];
    simd_store(dw + t * kLanes, sums[0][t]);
  }
}

// Calls function.operator()<n>(first) for every `most` taps, n of them from `first`.
template <int most, class Function>
void for_taps(std::int64_t taps, const Function& function) {
  const auto call = [&]<int... n>(std::int64_t count, std::int64_t first, std::integer_sequence<int, n...>) {
    ((count == n + 1 ? function.template operator()<n + 1>(first) : void()), ...);
  };
  for (std::int64_t first = 0; first < taps; first += most)
    call(taps - first < most ? taps - first : most, first, std::make_integer_sequence<int, most>());
}

template <class V>
void add_weights_in(const WeightSums& to, const GradientLists& lists, std::int64_t channels) {
  float* dw = to.dw;
  for (std::int64_t o = 0; o < channels; ++o, dw += to.tap_count * to.lanes) {
    const auto add = [&]<int taps, int run>(std::int64_t first) {
      const auto list = to.narrow ? add_list<V, taps, run, true> : add_list<V, taps, run, false>;
      list(to, to.taps + first, lists.places + o * lists.size, lists.values + o * lists.size, lists.counts[o],
           dw + first * to.lanes);
    };
    if (to.rows && to.tap_count <= kSums) {
      for_taps<kSums / 3>(to.tap_count / 3,
                          [&]<int run>(std::int64_t) { add.template operator()<3 * run, run>(0); });
    } else {
      for_taps<kAddresses>(to.tap_count,
                           [&]<int n>(std::int64_t first) { add.template operator()<n, 1>(first); });
    }
  }
}

void add_weights(const WeightSums& to, const GradientLists& lists, std::int64_t channels) {
  if (to.lanes == kEight) return add_weights_in<Simd<float>>(to, lists, channels);
  add_weights_in<WideSimd<float>>(to, lists, channels);
}

template <class V, int taps>
void add_pixel(const float* weights, const std::int64_t* offsets, const std::int32_t* starts,
               const float* values, std::int64_t count, float* image) {
  constexpr int kLanes = sizeof(V) / sizeof(float);
  V sums[taps];
#pragma GCC unroll 15
  for (int t = 0; t < taps; ++t) sums[t] = V{};
  for (std::int64_t e = 0; e < count; ++e) {
    const V value = simd_set<V>(values[e]);
    const float* from = weights + starts[e];
#pragma GCC unroll 15
    for (int t = 0; t < taps; ++t) sums[t] = simd_fma(value, simd_load<V>(from + t * kLanes), sums[t]);
  }
#pragma GCC unroll 15
  for (int t = 0; t < taps; ++t) simd_store(image + offsets[t], simd_load<V>(image + offsets[t]) + sums[t]);
}

// A row of pixels and a 3x3 kernel: the columns that neighbours share stay in registers.
template <class V>
void add_row_3x3(const float* weights, const std::int32_t* starts, const float* values,
                 const std::int64_t* first, std::int64_t width, std::int64_t row, float* image) {
  constexpr int kLanes = sizeof(V) / sizeof(float);
  V sums[3][3] = {};
  const auto flush = [&](std::int64_t column) __attribute__((always_inline)) {
#pragma GCC unroll 3
    for (int h = 0; h < 3; ++h) {
      float* to = image + h * row + column * kLanes;
      simd_store(to, simd_load<V>(to) + sums[h][0]);
      sums[h][0] = sums[h][1];
      sums[h][1] = sums[h][2];
      sums[h][2] = V{};
    }
  };
  for (std::int64_t w = 0; w < width; ++w) {
    for (std::int64_t e = first[w]; e < first[w + 1]; ++e) {
      const V value = simd_set<V>(values[e]);
      const float* from = weights + starts[e];
#pragma GCC unroll 3
      for (int h = 0; h < 3; ++h) {
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k)
          sums[h][k] = simd_fma(value, simd_load<V>(from + (3 * h + k) * kLanes), sums[h][k]);
      }
    }
    flush(w);
  }
  flush(width);
  flush(width + 1);
}

template <class V>
void add_data_in(const DataSums& to, const GradientLists& lists) {
  const std::int64_t* first = lists.first + to.row * lists.width;
  if (to.three_by_three) {
    add_row_3x3<V>(to.weights, lists.channel_weights, lists.channel_values, first, lists.width, to.row_size,
                   to.dx);
    return;
  }
  for (std::int64_t w = 0; w < lists.width; ++w) {
    for_taps<kAddresses>(to.tap_count, [&]<int taps>(std::int64_t tap) {
      add_pixel<V, taps>(to.weights + tap * to.lanes, to.taps + tap, lists.channel_weights + first[w],
                         lists.channel_values + first[w], first[w + 1] - first[w],
                         to.dx + w * to.stride * to.lanes);
    });
  }
}

void add_data(const DataSums& to, const GradientLists& lists) {
  if (to.lanes == kEight) return add_data_in<Simd<float>>(to, lists);
  add_data_in<WideSimd<float>>(to, lists);
}

}  // namespace

extern const SparseLoops sparse_loops = {list_dense, list_windows, add_weights, add_data};

}  // namespace qmse::QMSE_ISA
