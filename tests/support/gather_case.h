// A small data set of random images and the batch that must come out of it, for tests of gather_normalize.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/gather_normalize/gather_normalize.h"
#include "tests/support/catch.h"
#include "tests/support/numbers.h"

namespace qmse::test {

template <class T>
struct GatherCase {
  std::int64_t batch, channels, inner;
  std::uint64_t first;
  std::vector<std::uint8_t> images;
  std::vector<std::int32_t> labels;
  std::vector<std::uint32_t> order;
  std::vector<T> scale, shift;
  std::vector<T> x;
  std::vector<std::int32_t> batch_labels;
  std::vector<std::uint32_t> sample_ids;

  GatherCase(std::int64_t b, std::int64_t c, std::int64_t n, std::uint64_t begin)
      : batch(b), channels(c), inner(n), first(begin) {
    const std::size_t samples = static_cast<std::size_t>(b) + static_cast<std::size_t>(begin) + 5;
    for (std::size_t i = 0; i < samples * static_cast<std::size_t>(c * n); ++i) {
      images.push_back(static_cast<std::uint8_t>((i * 2654435761u) >> 13));
    }
    for (std::size_t i = 0; i < samples; ++i) {
      labels.push_back(static_cast<std::int32_t>(i * 7 % 10));
      order.push_back(static_cast<std::uint32_t>(samples - 1 - i));  // back to front
    }
    scale = random_values<T>(c, 1, 0.001, 0.02);
    shift = random_values<T>(c, 2, -2, 2);
    x.assign(static_cast<std::size_t>(b * c * n), T(-77));
    batch_labels.assign(static_cast<std::size_t>(b), -1);
    sample_ids.assign(static_cast<std::size_t>(b), 0);
  }

  GatherArgs<T> args() {
    GatherArgs<T> a;
    a.batch = batch;
    a.channels = channels;
    a.inner = inner;
    a.images = images.data();
    a.labels = labels.data();
    a.order = order.data();
    a.first = &first;
    a.scale = scale.data();
    a.shift = shift.data();
    a.x = x.data();
    a.batch_labels = batch_labels.data();
    a.sample_ids = sample_ids.data();
    return a;
  }

  // One rounding a pixel: equal to the last bit.
  void check_result() const {
    for (std::size_t i = 0; i < sample_ids.size(); ++i) {
      const std::size_t sample = order.size() - 1 - static_cast<std::size_t>(first) - i;
      CAPTURE(i);
      CHECK(sample_ids[i] == sample);
      CHECK(batch_labels[i] == labels[sample]);
      std::size_t wrong = 0;
      for (std::size_t c = 0; c < scale.size(); ++c) {
        for (std::size_t j = 0; j < static_cast<std::size_t>(inner); ++j) {
          const std::size_t at = c * static_cast<std::size_t>(inner) + j;
          const std::size_t image_size = static_cast<std::size_t>(channels * inner);
          const T expected = std::fma(static_cast<T>(images[sample * image_size + at]), scale[c], shift[c]);
          wrong += x[i * image_size + at] != expected ? 1 : 0;
        }
      }
      CHECK(wrong == 0);
    }
  }
};

}  // namespace qmse::test
