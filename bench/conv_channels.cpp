// Convolution blocks over a grid of channel counts: the speed of each as a network plans it, of the plain
// loops, and of the other layouts of the same shape, taking turns on one thread. docs/benchmarks.md has
// the command.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "bench/processor_time.h"
#include "kernels/conv_block/conv_block.h"
#include "kernels/conv_block/conv_block_plain.h"

namespace {

using namespace qmse;

// On a vector's boundary, as the engine's own buffers.
struct Values {
  Values(CpuContext& context, std::int64_t count)
      : memory(context.memory(), sizeof(float) * static_cast<std::size_t>(count), "benchmark") {
    std::uint32_t state = 12345;
    for (std::int64_t i = 0; i < count; ++i) {
      state = state * 1664525u + 1013904223u;
      data()[i] = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
    }
  }
  float* data() const { return memory.as<float>(); }
  Buffer memory;
};

struct Contender {
  std::string name;
  std::unique_ptr<ConvBlock<float>> block;
  bool planned;           // by a network: in the middle of it, or at its end
  double seconds = 1e30;  // of the fastest forward and backward
};

double multiplications(const Conv2dShape& s, bool first) {
  const double forward = static_cast<double>(s.batch * s.out_channels * s.out_height() * s.out_width()) *
                         static_cast<double>(s.in_channels * s.kernel_height * s.kernel_width);
  return (first ? 2 : 3) * forward;
}

}  // namespace

int main(int argc, char** argv) {
  std::int64_t batch = 64, size = 14;
  int rounds = 15;
  std::vector<std::int64_t> ins = {1, 3, 8, 10, 12, 16, 20, 24, 32, 48, 64};
  std::vector<std::int64_t> outs = {8, 10, 12, 16, 20, 24, 32, 48, 64};
  CLI::App app(
      "Speed of convolution blocks (3x3, ReLU, 2x2 max-pool) over a grid of channel counts, forward and "
      "backward");
  app.add_option("--batch", batch)->capture_default_str();
  app.add_option("--size", size, "height and width of the images")->capture_default_str();
  app.add_option("--rounds", rounds, "the fastest of so many counts")->capture_default_str();
  app.add_option("--in", ins, "input channels")->delimiter(',');
  app.add_option("--out", outs, "output channels")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  CpuContext context(1);
  double fastest = 0, slowest = 1e30, worst_loss = 0;
  std::printf("%4s %4s %10s %10s %10s  %s\n", "in", "out", "planned", "plain", "others", "GFLOP/s; how");
  for (const std::int64_t in : ins) {
    for (const std::int64_t out : outs) {
      const Conv2dShape conv{batch, in, size, size, out, 3, 3, 1, 1};
      const auto blocked = [&](std::int64_t channels) {
        return preferred_layout(context, Precision<float>(), channels) == Layout::blocked;
      };
      std::vector<Contender> contenders;
      contenders.push_back({"plain", make_plain_conv_block<float>(context, {conv, 2}), false});
      const bool first = in <= 3;  // images, which need no gradient
      const Layout input = first ? Layout::plain : preferred_layout(context, Precision<float>(), in);
      for (const Layout from : {Layout::plain, Layout::blocked}) {
        for (const Layout to : {Layout::plain, Layout::blocked}) {
          if ((from == Layout::blocked && !blocked(in)) || (to == Layout::blocked && !blocked(out))) continue;
          contenders.push_back({std::string(from == Layout::plain ? "plain" : "blocked") + "-" +
                                    (to == Layout::plain ? "plain" : "blocked"),
                                make_conv_block(context, Precision<float>(), {conv, 2, from, to}),
                                from == input});
        }
      }
      const std::int64_t pooled = batch * out * (size / 2) * (size / 2);
      const Values x(context, batch * in * size * size), w(context, out * in * 9), bias(context, out),
          dy(context, pooled), y(context, pooled), dx(context, batch * in * size * size),
          dw(context, out * in * 9), db(context, out);
      for (int round = 0; round < rounds; ++round) {
        for (Contender& contender : contenders) {
          const double begin = bench::processor_seconds();
          contender.block->forward(x.data(), w.data(), bias.data(), y.data());
          contender.block->backward(x.data(), w.data(), dy.data(), first ? nullptr : dx.data(), dw.data(),
                                    db.data());
          contender.seconds = std::min(contender.seconds, bench::processor_seconds() - begin);
        }
      }
      const double giga = 2e-9 * multiplications(conv, first);
      std::string how;
      double best = 0, worst = 1e30;
      for (std::size_t i = 1; i < contenders.size(); ++i) {
        const double speed = giga / contenders[i].seconds;
        how += contenders[i].name + " " + std::to_string(speed).substr(0, 5) + ", ";
        best = std::max(best, speed);
        if (contenders[i].planned) worst = std::min(worst, speed);
      }
      const double plain = giga / contenders[0].seconds;
      std::printf("%4ld %4ld %10.2f %10.2f  %s%s\n", static_cast<long>(in), static_cast<long>(out), worst,
                  plain, how.c_str(), contenders.back().block->algorithm());
      fastest = std::max(fastest, worst);
      slowest = std::min(slowest, worst);
      worst_loss = std::max(worst_loss, std::max(best, plain) / worst);
    }
  }
  std::printf("fastest / slowest %.2f, best alternative / planned at most %.2f\n", fastest / slowest,
              worst_loss);
}
