#include "kernels/conv2d/direct_forward.h"

#include <limits>
#include <vector>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/conv2d/winograd_forward.h"
#include "tests/support/catch.h"
#include "tests/support/conv_references.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

namespace {

using Floats = std::vector<float>;

// Images, an image smaller than a tile, odd sizes, every padding, outputs that fill no vector and no block.
const Conv2dShape kShapes[] = {{2, 1, 28, 28, 32, 3, 3, 1, 1}, {1, 1, 1, 1, 1, 3, 3, 1, 1},
                               {3, 3, 7, 10, 24, 3, 3, 1, 1},  {2, 2, 5, 8, 33, 3, 3, 2, 1},
                               {2, 3, 4, 3, 9, 3, 3, 0, 1},    {2, 5, 6, 7, 17, 3, 3, 1, 1}};

// [N, C, pixels] of [N, C / block, pixels, block].
Floats plain(const Floats& blocked, std::int64_t images, std::int64_t channels, std::int64_t pixels,
             std::int64_t block) {
  const std::int64_t blocks = (channels + block - 1) / block;
  Floats to;
  for (std::int64_t n = 0; n < images; ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < pixels; ++p)
        to.push_back(
            blocked[static_cast<std::size_t>(((n * blocks + c / block) * pixels + p) * block + c % block)]);
  return to;
}

std::int64_t filled(std::int64_t n, std::int64_t size) { return (n + size - 1) / size * size; }

Floats run(const Conv2dShape& s, std::int64_t block, const Floats& x, const Floats& w,
           InstructionSet set = InstructionSet::baseline) {
  CpuContext context(1, set);
  DirectForward direct(context, s, block);
  const std::int64_t pixels = s.out_height() * s.out_width();
  Floats y(static_cast<std::size_t>(s.batch * filled(s.out_channels, block) * pixels),
           std::numeric_limits<float>::quiet_NaN());
  for (int repeated = 0; repeated < 2; ++repeated) {
    direct.begin(w.data());
    direct.run(s.batch, 0, x.data(), {.y = y.data()});
  }
  return plain(y, s.batch, s.out_channels, pixels, block);
}

struct Pooled {
  Floats y;
  std::vector<int> choice;
};

Pooled pool(const Conv2dShape& s, const Floats& conv, const Floats& bias) {
  Pooled pooled;
  const std::int64_t height = s.out_height(), width = s.out_width();
  for (std::int64_t plane = 0; plane < s.batch * s.out_channels; ++plane) {
    for (std::int64_t h = 0; h + 2 <= height; h += 2) {
      for (std::int64_t w = 0; w + 2 <= width; w += 2) {
        float best = 0;
        int choice = kNothingPassed;
        for (int k = 0; k < 4; ++k) {
          const float value =
              conv[static_cast<std::size_t>((plane * height + h + k / 2) * width + w + k % 2)] +
              bias[static_cast<std::size_t>(plane % s.out_channels)];
          if (!(value > best)) continue;
          best = value;
          choice = k;
        }
        pooled.y.push_back(best);
        pooled.choice.push_back(choice);
      }
    }
  }
  return pooled;
}

template <class Forward>
Pooled run_pooled(const Conv2dShape& s, std::int64_t block, const Floats& x, const Floats& w,
                  const Floats& bias, InstructionSet set) {
  CpuContext context(1, set);
  Forward forward(context, s, block);
  const std::int64_t windows = s.out_height() / 2 * (s.out_width() / 2),
                     channels = filled(s.out_channels, block);
  Floats y(static_cast<std::size_t>(s.batch * channels * windows) + 1, 7.0f), given(bias);
  std::vector<std::uint8_t> choice(y.size(), 7);
  given.resize(static_cast<std::size_t>(channels), 0.0f);
  forward.begin(w.data());
  forward.run(s.batch, 0, x.data(), {y.data(), given.data(), choice.data()});
  CHECK(y.back() == 7.0f);
  CHECK(choice.back() == 7);
  const Floats numbers(choice.begin(), choice.end());
  Pooled pooled{plain(y, s.batch, s.out_channels, windows, block), {}};
  // Choices lie in eights whatever the block.
  for (std::int64_t n = 0; n < s.batch; ++n) {
    const auto from = numbers.begin() + static_cast<std::ptrdiff_t>(n * channels * windows);
    const Floats image(from, from + static_cast<std::ptrdiff_t>(filled(s.out_channels, 8) * windows));
    for (const float value : plain(image, 1, s.out_channels, windows, 8))
      pooled.choice.push_back(static_cast<int>(value));
  }
  return pooled;
}

}  // namespace

TEST_CASE("direct_forward: equals the reference on whole numbers") {
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

TEST_CASE("direct_forward: an image's bits depend on nothing but the image") {
  const std::vector<InstructionSet> sets = instruction_sets();
  for (const Conv2dShape& s : kShapes) {
    const Floats x = random_values<float>(input_count(s), 5), w = random_values<float>(weight_count(s), 6);
    const Floats all = run(s, 8, x, w);
    CAPTURE(text(s));
    for (const InstructionSet set : sets) CHECK(same_bits(run(s, 16, x, w, set), all));
    Conv2dShape one = s;
    one.batch = 1;
    const auto in = static_cast<std::ptrdiff_t>(input_count(one)),
               out = static_cast<std::ptrdiff_t>(output_count(one));
    for (std::ptrdiff_t n = 0; n < s.batch; ++n) {
      const Floats alone = run(one, 8, {x.begin() + n * in, x.begin() + (n + 1) * in}, w);
      CHECK((alone == Floats(all.begin() + n * out, all.begin() + (n + 1) * out)));
    }
  }
}

// Whole numbers, so that ties and zeros occur, with a negative bias among them.
TEST_CASE("forward_tiles: pooled tiles are those of the output, through bias, ReLU and max-pool") {
  const std::vector<InstructionSet> sets = instruction_sets();
  for (const Conv2dShape& s : kShapes) {
    const Floats x = random_integers<float>(input_count(s), 7),
                 w = random_integers<float>(weight_count(s), 8),
                 bias = random_integers<float>(s.out_channels, 9);
    const Pooled expected = pool(s, run(s, 8, x, w), bias);
    for (const std::int64_t block : {8, 16}) {
      Floats blocked(
          static_cast<std::size_t>(s.batch * filled(s.in_channels, block) * s.in_height * s.in_width));
      for (std::int64_t n = 0; n < s.batch; ++n) {
        for (std::int64_t c = 0; c < s.in_channels; ++c) {
          for (std::int64_t p = 0; p < s.in_height * s.in_width; ++p) {
            const std::int64_t pixels = s.in_height * s.in_width,
                               blocks = filled(s.in_channels, block) / block;
            blocked[static_cast<std::size_t>(((n * blocks + c / block) * pixels + p) * block + c % block)] =
                x[static_cast<std::size_t>((n * s.in_channels + c) * pixels + p)];
          }
        }
      }
      for (const InstructionSet set : sets) {
        CAPTURE(text(s), block, name(set));
        const Pooled direct = run_pooled<DirectForward>(s, block, x, w, bias, set);
        CHECK((direct.y == expected.y));
        CHECK((direct.choice == expected.choice));
        const Pooled winograd = run_pooled<WinogradForward>(s, block, blocked, w, bias, set);
        CHECK((winograd.y == expected.y));
        CHECK((winograd.choice == expected.choice));
      }
    }
  }
}
