#include "kernels/conv2d/winograd_forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/conv_references.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

namespace {

using Floats = std::vector<float>;

// The network's layer, images smaller than a tile, odd sizes, every padding, channels that fill no block,
// more tiles than are worked on together.
const Conv2dShape kShapes[] = {{2, 32, 14, 14, 64, 3, 3, 1, 1}, {1, 1, 1, 1, 1, 3, 3, 1, 1},
                               {3, 5, 3, 3, 9, 3, 3, 0, 1},     {2, 17, 5, 8, 33, 3, 3, 2, 1},
                               {5, 8, 9, 7, 16, 3, 3, 1, 1},    {1, 48, 4, 5, 7, 3, 3, 0, 1}};

// Element [n, c, p] of [N, C / block, pixels, block].
std::size_t place(std::int64_t n, std::int64_t c, std::int64_t p, std::int64_t channels, std::int64_t pixels,
                  std::int64_t block) {
  const std::int64_t blocks = (channels + block - 1) / block;
  return static_cast<std::size_t>(((n * blocks + c / block) * pixels + p) * block + c % block);
}

// y [N, O, OH, OW], from images in blocks.
Floats run(const Conv2dShape& s, std::int64_t block, const Floats& x, const Floats& w,
           InstructionSet set = InstructionSet::baseline) {
  CpuContext context(1, set);
  WinogradForward winograd(context, s, block);
  const std::int64_t in_pixels = s.in_height * s.in_width, out_pixels = s.out_height() * s.out_width();
  Floats x_blocked(place(s.batch, 0, 0, s.in_channels, in_pixels, block), 0.0f);
  Floats y_blocked(place(s.batch, 0, 0, s.out_channels, out_pixels, block),
                   std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i), plane = at / in_pixels;
    x_blocked[place(plane / s.in_channels, plane % s.in_channels, at % in_pixels, s.in_channels, in_pixels,
                    block)] = x[i];
  }
  winograd.begin(w.data());
  winograd.run(s.batch, 0, x_blocked.data(), {.y = y_blocked.data()});
  Floats y(static_cast<std::size_t>(output_count(s)));
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i), plane = at / out_pixels;
    y[i] = y_blocked[place(plane / s.out_channels, plane % s.out_channels, at % out_pixels, s.out_channels,
                           out_pixels, block)];
  }
  return y;
}

}  // namespace

// Quarters of whole numbers are the smallest parts that occur, so that every result is exact.
TEST_CASE("winograd_forward: equals the reference on whole numbers") {
  const std::vector<InstructionSet> sets = instruction_sets();
  for (const Conv2dShape& s : kShapes) {
    const Floats x = random_integers<float>(input_count(s), 1),
                 w = random_integers<float>(weight_count(s), 2);
    for (const std::int64_t block : {8, 16}) {
      for (const InstructionSet set : sets) {
        CAPTURE(text(s), block, name(set));
        CHECK((to_f64(run(s, block, x, w, set)) == reference_conv(s, to_f64(x), to_f64(w), {})));
      }
    }
  }
}

// A sum over n channels and its chain of roundings are nine times shorter than the direct sum's, which
// outweighs that terms are sums of up to four inputs and weights: from a few channels on errors are smaller.
// The bound of each output is that of check_products() in tests/operations/layers.h.
TEST_CASE(
    "winograd_forward: errors against f64 are no larger than those of the direct sum, or below a unit") {
  for (const Conv2dShape& s : kShapes) {
    const Floats x = random_values<float>(input_count(s), 3), w = random_values<float>(weight_count(s), 4);
    const std::vector<double> expected = reference_conv(s, to_f64(x), to_f64(w), {});
    const Floats y = run(s, 8, x, w);
    CpuContext context(1);
    const auto direct = make_plain_conv2d<float>(context, s);
    Floats y_direct(y.size());
    direct->forward(x.data(), w.data(), nullptr, y_direct.data());
    double squares = 0, squares_direct = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      squares += std::pow(y[i] - expected[i], 2);
      squares_direct += std::pow(y_direct[i] - expected[i], 2);
    }
    const double unit = std::numeric_limits<float>::epsilon(), count = static_cast<double>(y.size());
    const double error = std::sqrt(squares / count), error_direct = std::sqrt(squares_direct / count);
    CAPTURE(text(s), error / unit, error_direct / unit);
    CHECK(error <= std::max(error_direct, unit));
    check_close(y, expected, 0, unit * static_cast<double>(9 * s.in_channels + 1));
  }
}

TEST_CASE("winograd_forward: an image's bits depend on nothing but the image") {
  const std::vector<InstructionSet> sets = instruction_sets();
  for (const Conv2dShape& s : kShapes) {
    const Floats x = random_values<float>(input_count(s), 5), w = random_values<float>(weight_count(s), 6);
    const Floats all = run(s, 8, x, w);
    CAPTURE(text(s));
    for (const InstructionSet set : sets) CHECK(same_bits(run(s, 16, x, w, set), all));
    Conv2dShape one = s;
    one.batch = 1;
    const std::size_t in = x.size() / static_cast<std::size_t>(s.batch),
                      out = all.size() / static_cast<std::size_t>(s.batch);
    for (std::int64_t n = 0; n < s.batch; ++n) {
      const auto at = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(n) * in);
      const Floats alone = run(one, 8, {x.begin() + at, x.begin() + at + static_cast<std::ptrdiff_t>(in)}, w);
      CHECK(std::memcmp(alone.data(), all.data() + static_cast<std::size_t>(n) * out, out * sizeof(float)) ==
            0);
    }
  }
}

// What is infinite in the direct sum may be NaN, since a tile's sums subtract.
TEST_CASE("winograd_forward: NaN and infinity reach the outputs that the direct sum gives them to") {
  const Conv2dShape s{2, 3, 6, 7, 4, 3, 3, 1, 1};
  const Floats w = random_values<float>(weight_count(s), 7, 0.5, 1);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (std::int64_t pixel = 0; pixel < 42; ++pixel) {
      Floats x = random_values<float>(input_count(s), 8);
      x[static_cast<std::size_t>(42 + pixel)] = bad;  // the first image's second channel
      const std::vector<double> expected = reference_conv(s, to_f64(x), to_f64(w), {});
      const Floats y = run(s, 8, x, w);
      CAPTURE(bad, pixel);
      for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::isfinite(y[i]) == std::isfinite(expected[i]));
    }
  }
}
