// The backward pass of a convolution block: the engine's, and oneDNN's dense products of the same images,
// taking turns, for several shares of windows with a gradient. docs/benchmarks.md has the command.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <vector>

#include "base/build_config.h"
#include "bench/processor_time.h"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/conv2d/sparse_gradients.h"
#if QMSE_ONEDNN
#include "kernels/conv2d/onednn.h"
#endif

namespace {

using namespace qmse;
using bench::processor_seconds;

// On a vector's boundary, as the engine's own buffers.
struct Values {
  Values(CpuContext& context, std::int64_t count)
      : size(count), memory(context.memory(), sizeof(float) * static_cast<std::size_t>(count), "benchmark") {
    for (std::int64_t i = 0; i < count; ++i) data()[i] = draw() - 0.5f;
  }
  static float draw() {
    static std::uint32_t state = 12345;
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) * 0x1p-24f;
  }
  float* data() const { return memory.as<float>(); }
  std::int64_t size;
  Buffer memory;
};

struct Part {
  const char* name;
  std::function<void()> run;
  std::vector<double> seconds;
  double median() {
    std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2),
                     seconds.end());
    return seconds[seconds.size() / 2];
  }
};

#if QMSE_ONEDNN
// One image after the other with blocked x, dy and dx; the gradients are not added up.
struct Dense {
  Dense(CpuContext& context, const Conv2dShape& s, bool plain_x)
      : shape(s),
        stream(onednn::cpu_engine()),
        dy(context, s.batch * s.out_channels * s.out_height() * s.out_width()) {
    using Tag = dnnl::memory::format_tag;
    const onednn::OneThread one_thread;
    const auto f32 = dnnl::memory::data_type::f32;
    const Tag blocked = onednn::channel_block() == 16 ? Tag::nChw16c : Tag::nChw8c;
    const dnnl::memory::dims strides{s.stride, s.stride}, padding{s.padding, s.padding};
    const dnnl::memory::desc x({1, s.in_channels, s.in_height, s.in_width}, f32,
                               plain_x ? Tag::nchw : blocked),
        y({1, s.out_channels, s.out_height(), s.out_width()}, f32, blocked),
        w({s.out_channels, s.in_channels, s.kernel_height, s.kernel_width}, f32, Tag::any);
    const auto forward = onednn::convolution_forward({x, w, y, strides, padding});
    const auto kind = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::convolution_backward_weights::primitive_desc weights_desc(onednn::cpu_engine(), kind, x, w, y,
                                                                          strides, padding, padding, forward);
    const dnnl::convolution_backward_data::primitive_desc data_desc(onednn::cpu_engine(), kind, x, w, y,
                                                                    strides, padding, padding, forward);
#else
    const dnnl::convolution_backward_weights::primitive_desc weights_desc(
        {kind, x, w, y, strides, padding, padding}, onednn::cpu_engine(), forward);
    const dnnl::convolution_backward_data::primitive_desc data_desc(
        {kind, x, w, y, strides, padding, padding}, onednn::cpu_engine(), forward);
#endif
    weights = dnnl::convolution_backward_weights(weights_desc);
    data = dnnl::convolution_backward_data(data_desc);
    const dnnl::engine& engine = onednn::cpu_engine();
    x_memory = dnnl::memory(x, engine);
    dx_memory = dnnl::memory(x, engine);
    dy_memory = dnnl::memory(y, engine, nullptr);
    dw_memory = dnnl::memory(weights_desc.diff_weights_desc(), engine);
    w_memory = dnnl::memory(data_desc.weights_desc(), engine);
    fast = std::string(weights_desc.impl_info_str()).find("ref") == std::string::npos;
  }
  void run(bool of_weights) {
    const onednn::OneThread one_thread;
    const std::int64_t image = dy.size / shape.batch;
    for (std::int64_t n = 0; n < shape.batch; ++n) {
      dy_memory.set_data_handle(dy.data() + n * image);
      if (of_weights) {
        weights.execute(
            stream,
            {{DNNL_ARG_SRC, x_memory}, {DNNL_ARG_DIFF_DST, dy_memory}, {DNNL_ARG_DIFF_WEIGHTS, dw_memory}});
      } else {
        data.execute(
            stream,
            {{DNNL_ARG_DIFF_DST, dy_memory}, {DNNL_ARG_WEIGHTS, w_memory}, {DNNL_ARG_DIFF_SRC, dx_memory}});
      }
    }
  }
  Conv2dShape shape;
  dnnl::stream stream;
  Values dy;
  dnnl::primitive weights, data;
  dnnl::memory x_memory, dx_memory, dy_memory, dw_memory, w_memory;
  bool fast = false;  // weights on a kernel that is not oneDNN's reference loops
};
#endif

struct Case {
  const char* name;
  Conv2dShape shape;
  Layout layout;
};

void measure(CpuContext& context, const Case& c, double passing, int rounds) {
  const Conv2dShape& s = c.shape;
  const std::int64_t windows = (s.out_height() / 2) * (s.out_width() / 2);
  const bool data = c.layout == Layout::blocked;
  std::int64_t block = SparseGradients::kLanes;
#if QMSE_ONEDNN
  if (data) block = onednn::channel_block();
#endif
  const Values x(context, s.batch * s.in_channels * s.in_height * s.in_width),
      w(context, s.out_channels * s.in_channels * s.kernel_height * s.kernel_width),
      dy(context, s.batch * s.out_channels * windows), dx(context, x.size), dw(context, w.size),
      db(context, s.out_channels);
  std::vector<std::uint8_t> choice(static_cast<std::size_t>(dy.size));
  for (std::uint8_t& place : choice)
    place = Values::draw() < passing ? static_cast<std::uint8_t>(4 * Values::draw()) : kNothingPassed;
  SparseGradients gradients(context, s, c.layout, block);
  const std::int64_t image = s.out_channels * windows;
  const auto each = [&](const std::function<void(std::int64_t, std::int64_t)>& work) {
    for (std::int64_t group = 0; group < gradients.groups(); ++group) {
      for (std::int64_t n = gradients.first_image(group); n < gradients.first_image(group + 1); ++n)
        work(n, group);
    }
  };
  const auto list = [&](std::int64_t n, SparseGradients::Wanted wanted) {
    gradients.list_windows(0, wanted, dy.data() + n * image, block, choice.data() + n * image);
  };
  std::vector<Part> parts;
  parts.push_back({"lists", [&] { each([&](std::int64_t n, std::int64_t) { list(n, {true, data}); }); }, {}});
  parts.push_back(
      {"weights",
       [&] {
         list(0, {true, false});
         each([&](std::int64_t n, std::int64_t group) { gradients.add_weights(n, group, 0, x.data()); });
         gradients.end_weights(dw.data(), db.data());
       },
       {}});
  if (data) {
    parts.push_back({"data",
                     [&] {
                       gradients.begin_data(w.data());
                       list(0, {false, true});
                       each([&](std::int64_t n, std::int64_t) { gradients.write_data(n, 0, dx.data()); });
                     },
                     {}});
  }
#if QMSE_ONEDNN
  Dense dense(context, s, c.layout == Layout::plain);
  if (dense.fast) parts.push_back({"dense weights", [&] { dense.run(true); }, {}});
  if (data) parts.push_back({"dense data", [&] { dense.run(false); }, {}});
#endif
  for (int round = 0; round < rounds; ++round) {
    for (Part& part : parts) {
      const double begin = processor_seconds();
      part.run();
      if (round > 0) part.seconds.push_back(processor_seconds() - begin);
    }
  }
  std::printf("%-28s %3.0f %%", c.name, 100 * passing);
  for (Part& part : parts)
    std::printf("  %s %.1f", part.name, part.median() / static_cast<double>(s.batch) * 1e6);
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  std::int64_t batch = 64;
  int rounds = 31;
  std::vector<double> passing = {0.3, 0.6, 1.0};
  CLI::App app(
      "Backward pass of the paper's convolution blocks on one thread, beside oneDNN's dense products: median "
      "microseconds of processor time an image");
  app.add_option("--batch", batch)->capture_default_str();
  app.add_option("--rounds", rounds)->capture_default_str();
  app.add_option("--passing", passing, "shares of windows with a gradient")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  CpuContext context(1);
  const Case cases[] = {{"mnist conv1 1->32 28x28", {batch, 1, 28, 28, 32, 3, 3, 1, 1}, Layout::plain},
                        {"cifar conv1 3->32 32x32", {batch, 3, 32, 32, 32, 3, 3, 1, 1}, Layout::plain},
                        {"mnist conv2 32->64 14x14", {batch, 32, 14, 14, 64, 3, 3, 1, 1}, Layout::blocked},
                        {"cifar conv2 32->64 16x16", {batch, 32, 16, 16, 64, 3, 3, 1, 1}, Layout::blocked}};
  for (const Case& c : cases) {
    for (const double share : passing) measure(context, c, share, rounds);
  }
}
