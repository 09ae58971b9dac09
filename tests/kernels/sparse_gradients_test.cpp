#include "kernels/conv2d/sparse_gradients.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "tests/support/catch.h"
#include "tests/support/conv_references.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

namespace {

using Floats = std::vector<float>;

// {batch, in channels, height, width, out channels, kernel height, kernel width, padding, stride}: the
// network's layers, a single pixel, kernels of up to eleven columns, strides, channels that fill no vector or
// are a slice of their own width, odd sizes, batches cut into uneven groups.
const Conv2dShape kShapes[] = {
    {3, 1, 28, 28, 32, 3, 3, 1, 1}, {2, 32, 14, 14, 64, 3, 3, 1, 1}, {2, 3, 32, 32, 32, 3, 3, 1, 1},
    {1, 1, 1, 1, 1, 1, 1, 0, 1},    {1, 16, 7, 9, 5, 3, 3, 1, 1},    {17, 2, 7, 9, 9, 2, 2, 1, 1},
    {3, 8, 9, 8, 17, 5, 5, 2, 2},   {2, 3, 5, 13, 3, 2, 11, 1, 1},   {2, 17, 6, 13, 3, 1, 9, 0, 1},
    {35, 5, 8, 7, 8, 3, 3, 0, 1},   {1, 4, 11, 6, 10, 3, 3, 2, 3},   {19, 48, 5, 5, 7, 3, 3, 1, 1},
    {2, 1, 12, 12, 12, 7, 7, 3, 1}, {3, 10, 9, 7, 6, 3, 3, 1, 1},    {2, 12, 5, 10, 9, 3, 3, 0, 1},
    {2, 20, 7, 9, 8, 3, 3, 2, 2},   {2, 11, 7, 7, 5, 5, 5, 2, 1}};

std::int64_t pixels_in(const Conv2dShape& s) { return s.in_height * s.in_width; }

// [N, C, pixels] as [N, C / block, pixels, block], the missing channels being `fill`; and back.
Floats blocked(const Floats& plain, std::int64_t channels, std::int64_t pixels, std::int64_t block,
               float fill = 0) {
  const std::int64_t blocks = (channels + block - 1) / block,
                     images = static_cast<std::int64_t>(plain.size()) / (channels * pixels);
  Floats to(static_cast<std::size_t>(images * blocks * pixels * block), fill);
  for (std::int64_t n = 0; n < images; ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < pixels; ++p)
        to[static_cast<std::size_t>(((n * blocks + c / block) * pixels + p) * block + c % block)] =
            plain[static_cast<std::size_t>((n * channels + c) * pixels + p)];
  return to;
}
Floats plain(const Floats& from, std::int64_t channels, std::int64_t pixels, std::int64_t block) {
  Floats to(from.size());
  for (std::size_t i = 0; i < to.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i), n = at / (channels * pixels), c = at / pixels % channels;
    to[i] = from[static_cast<std::size_t>(
        ((n * channels / block + c / block) * pixels + at % pixels) * block + c % block)];
  }
  return to;
}

// Zeros but for one in `every`.
Floats sparse(Floats values, std::uint64_t seed, int every) {
  const Floats draw = random_values<float>(static_cast<std::int64_t>(values.size()), seed, 0, every);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = draw[i] < 1 ? values[i] : 0;
  return values;
}

struct Results {
  Floats dx, dw, db;
};

// Over buffers that hold NaN beforehand; x and dx in blocks of `block` channels, 0 for the plain layout.
Results run(const Conv2dShape& s, std::int64_t block, const Floats& x, const Floats& w, const Floats& dy,
            int threads = 2, InstructionSet set = InstructionSet::baseline) {
  CpuContext context(threads, set);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Results r{Floats(x.size(), nan), Floats(w.size(), nan),
            Floats(static_cast<std::size_t>(s.out_channels), nan)};
  const Floats given = block == 0 ? x : blocked(x, s.in_channels, pixels_in(s), block);
  SparseGradients gradients(context, s, block == 0 ? Layout::plain : Layout::blocked,
                            block == 0 ? SparseGradients::kLanes : block);
  for (int repeated = 0; repeated < 2; ++repeated) {  // nothing stays behind from the first time
    gradients.backward_weights(given.data(), dy.data(), r.dw.data(), r.db.data());
    gradients.backward_data(w.data(), dy.data(), r.dx.data());
  }
  if (block != 0) r.dx = plain(r.dx, s.in_channels, pixels_in(s), block);
  return r;
}

void check_same_bits(const Results& a, const Results& b) {
  CHECK(same_bits(a.dx, b.dx));
  CHECK(same_bits(a.dw, b.dw));
  CHECK(same_bits(a.db, b.db));
}

std::vector<std::int64_t> blocks_of(const Conv2dShape& s) {
  std::vector<std::int64_t> blocks{0};
  for (const std::int64_t block : {8, 16}) {
    if (s.in_channels % block == 0) blocks.push_back(block);
  }
  return blocks;
}

}  // namespace

// Whole numbers, so that every result is exact: no gradient at all, few, as many as behind a pool,
// and everywhere.
TEST_CASE("sparse_gradients: equal the dense reference on whole numbers, however much is zero") {
  const std::vector<InstructionSet> sets = instruction_sets();
  for (const Conv2dShape& s : kShapes) {
    const Floats x = random_integers<float>(input_count(s), 1),
                 w = random_integers<float>(weight_count(s), 2);
    for (const int every : {0, 1, 4, 50}) {
      Floats dy = random_integers<float>(output_count(s), 3);
      if (every == 1) std::replace(dy.begin(), dy.end(), 0.0f, 1.0f);
      dy = every == 0 ? Floats(dy.size(), 0.0f) : sparse(dy, 4, every);
      const ConvGradients g = reference_conv_backward(s, to_f64(x), to_f64(w), to_f64(dy));
      for (const std::int64_t block : blocks_of(s)) {
        for (const InstructionSet set : sets) {
          CAPTURE(text(s), every, block, name(set));
          const Results r = run(s, block, x, w, dy, 2, set);
          CHECK((to_f64(r.dx) == g.dx));
          CHECK((to_f64(r.dw) == g.dw));
          CHECK((to_f64(r.db) == g.db));
        }
      }
    }
  }
}

// A sum of n products of numbers below 1 stays within 2n units: check_products() in
// tests/operations/layers.h says why.
TEST_CASE("sparse_gradients: within rounding of the dense reference on fractions") {
  for (const Conv2dShape& s : kShapes) {
    CAPTURE(text(s));
    const Floats x = random_values<float>(input_count(s), 5), w = random_values<float>(weight_count(s), 6),
                 dy = sparse(random_values<float>(output_count(s), 7), 8, 4);
    const Results r = run(s, 0, x, w, dy);
    const ConvGradients g = reference_conv_backward(s, to_f64(x), to_f64(w), to_f64(dy));
    const double unit = std::numeric_limits<float>::epsilon();
    const auto terms = static_cast<double>(s.batch * s.out_height() * s.out_width());
    check_close(r.dw, g.dw, 0, 2 * unit * terms);
    check_close(r.db, g.db, 0, 2 * unit * terms);
    check_close(r.dx, g.dx, 0,
                2 * unit * static_cast<double>(s.out_channels * s.kernel_height * s.kernel_width));
  }
}

TEST_CASE("sparse_gradients: layouts, the number of threads and the instruction set do not change a bit") {
  const std::vector<InstructionSet> sets = instruction_sets();
  for (const Conv2dShape& s : kShapes) {
    const Floats x = random_values<float>(input_count(s), 9), w = random_values<float>(weight_count(s), 10),
                 dy = sparse(random_values<float>(output_count(s), 11), 12, 3);
    const Results first = run(s, 0, x, w, dy, 1);
    for (const std::int64_t block : blocks_of(s)) {
      for (const int threads : {1, 2, 3, 5}) {
        for (const InstructionSet set : sets) {
          CAPTURE(text(s), block, threads, name(set));
          check_same_bits(run(s, block, x, w, dy, threads, set), first);
        }
      }
    }
  }
}

TEST_CASE("sparse_gradients: lists from windows give the bits of the unpooled gradient") {
  const std::vector<InstructionSet> sets = instruction_sets();
  for (const Conv2dShape& s : kShapes) {
    const std::int64_t height = s.out_height() / 2, width = s.out_width() / 2, windows = height * width;
    if (windows == 0) continue;
    const auto o = s.out_channels;
    Floats pooled = random_values<float>(s.batch * o * windows, 13);
    std::vector<std::uint8_t> choice(pooled.size());
    const Floats draw = random_values<float>(static_cast<std::int64_t>(pooled.size()), 14, 0, 6);
    Floats dy(static_cast<std::size_t>(output_count(s)), 0.0f);
    for (std::size_t i = 0; i < pooled.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i), plane = at / windows, k = at % windows;
      const int place = static_cast<int>(draw[i]);
      if (i % 7 == 3) pooled[i] = 0;  // passed, and zero all the same
      choice[i] = place < 4 ? static_cast<std::uint8_t>(place) : kNothingPassed;
      const std::int64_t pixel = (k / width * 2 + place / 2) * s.out_width() + k % width * 2 + place % 2;
      if (place < 4) dy[static_cast<std::size_t>(plane * s.out_height() * s.out_width() + pixel)] = pooled[i];
    }
    const Floats x = random_values<float>(input_count(s), 15), w = random_values<float>(weight_count(s), 16);
    const Results expected = run(s, 0, x, w, dy);

    // The choices as [N, O / 8, windows, 8].
    const Floats choice_plain(choice.begin(), choice.end());
    const Floats choice_blocked = blocked(choice_plain, o, windows, 8, kNothingPassed);
    const std::vector<std::uint8_t> choices(choice_blocked.begin(), choice_blocked.end());
    for (const std::int64_t block : {8, 16}) {
      const Floats gradient = blocked(pooled, o, windows, block);
      const std::int64_t image = (o + block - 1) / block * block * windows,
                         choice_image = (o + 7) / 8 * 8 * windows;
      const bool in_blocks = s.in_channels % block == 0;
      const Floats given = in_blocks ? blocked(x, s.in_channels, pixels_in(s), block) : x;
      for (const InstructionSet set : sets) {
        CAPTURE(text(s), block, name(set));
        CpuContext context(2, set);
        SparseGradients gradients(context, s, in_blocks ? Layout::blocked : Layout::plain, block);
        Results r{Floats(x.size()), Floats(w.size()), Floats(static_cast<std::size_t>(o))};
        gradients.begin_data(w.data());
        context.threads().run(gradients.groups(), [&](std::int64_t group, int worker) {
          for (std::int64_t n = gradients.first_image(group); n < gradients.first_image(group + 1); ++n) {
            gradients.list_windows(worker, {}, gradient.data() + n * image, block,
                                   choices.data() + n * choice_image);
            gradients.add_weights(n, group, worker, given.data());
            gradients.write_data(n, worker, r.dx.data());
          }
        });
        gradients.end_weights(r.dw.data(), r.db.data());
        if (in_blocks) r.dx = plain(r.dx, s.in_channels, pixels_in(s), block);
        check_same_bits(r, expected);
      }
    }
  }
}

// A place's gradient is multiplied by the padding's zeros too, so it reaches all of its channel's dw.
TEST_CASE("sparse_gradients: NaN and infinity in dy reach their channel's dw and db, and dx around them") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const Conv2dShape& s :
         {Conv2dShape{2, 3, 9, 8, 10, 3, 3, 1, 1}, Conv2dShape{2, 16, 9, 8, 10, 3, 3, 1, 1},
          Conv2dShape{2, 9, 9, 8, 10, 5, 5, 2, 2}}) {
      const Floats x = random_values<float>(input_count(s), 17, 0.5, 1),
                   w = random_values<float>(weight_count(s), 18, 0.5, 1);
      Floats dy = sparse(random_values<float>(output_count(s), 19), 20, 4);
      const std::int64_t image = 1, channel = 6, h = 2, width = s.out_width(),
                         pixels = s.out_height() * width;
      dy[static_cast<std::size_t>((image * s.out_channels + channel) * pixels + h * width)] = bad;
      CAPTURE(text(s), bad);
      const Results r = run(s, 0, x, w, dy);
      const std::size_t weights = r.dw.size() / r.db.size();
      for (std::size_t i = 0; i < r.dw.size(); ++i) CHECK(std::isfinite(r.dw[i]) == (i / weights != 6));
      for (std::size_t i = 0; i < r.db.size(); ++i) CHECK(std::isfinite(r.db[i]) == (i != 6));
      for (std::size_t i = 0; i < r.dx.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i),
                   down = at / s.in_width % s.in_height - h * s.stride + s.padding,
                   right = at % s.in_width + s.padding;
        const bool reached = at / (s.in_channels * pixels_in(s)) == image && down >= 0 &&
                             down < s.kernel_height && right < s.kernel_width;
        CHECK(std::isfinite(r.dx[i]) == !reached);
      }
    }
  }
}

TEST_CASE("sparse_gradients: NaN in x or w stays out where dy is zero") {
  const Conv2dShape s{2, 16, 9, 8, 10, 3, 3, 1, 1};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Floats x = random_values<float>(input_count(s), 21), w = random_values<float>(weight_count(s), 22),
         dy(static_cast<std::size_t>(output_count(s)), 0.0f);
  x[0] = nan;  // the first image's first corner
  w[0] = nan;  // of channel 0
  dy[static_cast<std::size_t>(3 * s.out_height() * s.out_width() + 40)] =
      1;  // channel 3, far from the corner
  const Results r = run(s, 0, x, w, dy);
  for (const float value : r.dw) CHECK(std::isfinite(value));
  for (const float value : r.dx) CHECK(std::isfinite(value));
  CHECK(r.db[3] == 1);
}
