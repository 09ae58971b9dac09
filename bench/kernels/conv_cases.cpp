#include <functional>
#include <memory>
#include <utility>

#include "bench/kernels/cases.h"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/pooled_conv/pooled_conv_plan.h"
#include "kernels/pooled_conv/pooled_conv_shape.h"

namespace qmse::bench {
namespace {

// One block of the network, with what its passes read and write.
struct Block {
  Conv2dShape conv;
  MaxPool2dShape pool;
  PooledConvShape pooled;
  float *x, *w, *bias, *dy, *y, *dx, *dw, *db, *convolved, *transformed, *partials;
  double* pool_partials;
  std::uint8_t* choice;
  std::shared_ptr<Conv2d<float>> library;
};

// Six of ten windows let something pass, about as many as in training.
Block make_block(CudaContext& context, Arrays& arrays, const Conv2dShape& c) {
  Block b{};
  b.conv = c;
  b.pool = {c.batch, c.out_channels, c.in_height, c.in_width, 2};
  b.pooled = pooled_conv_shape(c, 2);
  const std::int64_t in = c.batch * c.in_channels * c.in_height * c.in_width,
                     out = c.batch * c.out_channels * c.in_height * c.in_width,
                     weights = c.out_channels * c.in_channels * 9;
  b.x = arrays.floats(in);
  b.w = arrays.floats(weights);
  b.bias = arrays.zeros<float>(c.out_channels);
  b.dy = arrays.floats(out / 4);
  b.y = arrays.zeros<float>(out / 4);
  b.dx = arrays.zeros<float>(in);
  b.dw = arrays.zeros<float>(weights);
  b.db = arrays.zeros<float>(c.out_channels);
  b.convolved = arrays.floats(out);  // in [-1, 1)
  b.transformed = arrays.zeros<float>(pooled_conv_transformed(b.pooled));
  b.partials = arrays.zeros<float>(pooled_conv_partials(b.pooled));
  b.pool_partials = arrays.zeros<double>(pool_backward_partials(b.pool));
  b.choice = arrays.zeros<std::uint8_t>(out / 4);
  b.library = make_conv2d(context, Precision<float>(), c);
  // Of four uniform numbers in [-1, 1), 6 times in 10 one is above 0.59.
  const std::vector<float> bias(static_cast<std::size_t>(c.out_channels), -0.59f);
  host_to_device(context, b.bias, bias.data(), bias.size() * sizeof(float));
  bias_relu_max_pool_forward(context, b.pool, b.convolved, b.bias, b.y, b.choice);
  return b;
}

std::string text(const Conv2dShape& c) {
  return std::to_string(c.batch) + " x " + std::to_string(c.in_channels) + " x " +
         std::to_string(c.in_height) + " x " + std::to_string(c.in_width) + " to " +
         std::to_string(c.out_channels);
}

using BlockWork = std::function<Work(CudaContext&, Block)>;

void add_case(std::vector<KernelCase>& cases, const Conv2dShape& c, const std::string& operation,
              BlockWork work) {
  const std::int64_t in = c.batch * c.in_channels * c.in_height * c.in_width,
                     out = c.batch * c.out_channels * c.in_height * c.in_width / 4;
  cases.push_back({operation, text(c), "4 x + 5 windows", 4 * in + 5 * out,
                   [c, work = std::move(work)](CudaContext& context, Arrays& arrays) -> Work {
                     return work(context, make_block(context, arrays, c));
                   }});
}

void add_forward_cases(std::vector<KernelCase>& cases, const Conv2dShape& c) {
  add_case(cases, c, "conv block forward, own", [](CudaContext& context, const Block& b) -> Work {
    return [=, &context] {
      pooled_conv_forward(context, b.pooled, b.x, b.w, b.bias, b.y, b.choice, b.transformed);
    };
  });
  add_case(cases, c, "conv block forward, cuDNN", [](CudaContext& context, const Block& b) -> Work {
    return [=, &context] {
      b.library->forward(b.x, b.w, nullptr, b.convolved);
      bias_relu_max_pool_forward(context, b.pool, b.convolved, b.bias, b.y, b.choice);
    };
  });
}

void add_block_cases(std::vector<KernelCase>& cases, const Conv2dShape& c, bool first) {
  add_forward_cases(cases, c);
  const auto add = [&](const std::string& operation, BlockWork work) {
    add_case(cases, c, operation, std::move(work));
  };
  add("conv block weights, own", [](CudaContext& context, const Block& b) -> Work {
    return [=, &context] {
      pooled_conv_weights(context, b.pooled, b.x, b.dy, b.choice, b.dw, b.db, b.partials);
    };
  });
  add("conv block weights, cuDNN", [](CudaContext& context, const Block& b) -> Work {
    return [=, &context] {
      bias_relu_max_pool_backward(context, b.pool, b.dy, b.choice, b.convolved, b.db, b.pool_partials);
      b.library->backward_weights(b.x, b.convolved, b.dw, nullptr);
    };
  });
  if (first) return;
  add("conv block data, own", [](CudaContext& context, const Block& b) -> Work {
    return [=, &context] { pooled_conv_data(context, b.pooled, b.w, b.dy, b.choice, b.dx); };
  });
  add("conv block data, cuDNN", [](CudaContext&, const Block& b) -> Work {
    return [=] { b.library->backward_data(b.w, b.convolved, b.dx); };
  });
}

}  // namespace

std::vector<KernelCase> conv_cases() {
  std::vector<KernelCase> cases;
  for (const std::int64_t batch : {64, 256, 4096}) {
    add_block_cases(cases, {batch, 1, 28, 28, 32, 3, 3, 1, 1}, true);
    add_block_cases(cases, {batch, 32, 14, 14, 64, 3, 3, 1, 1}, false);
    add_block_cases(cases, {batch, 3, 32, 32, 32, 3, 3, 1, 1}, true);
    add_block_cases(cases, {batch, 32, 16, 16, 64, 3, 3, 1, 1}, false);
  }
  // Other networks' blocks: deeper, of few inputs, large images.
  for (const Conv2dShape& c :
       {Conv2dShape{64, 64, 16, 16, 128, 3, 3, 1, 1}, Conv2dShape{64, 64, 8, 8, 128, 3, 3, 1, 1},
        Conv2dShape{64, 128, 8, 8, 256, 3, 3, 1, 1}, Conv2dShape{64, 8, 14, 14, 48, 3, 3, 1, 1},
        Conv2dShape{64, 16, 32, 32, 64, 3, 3, 1, 1}, Conv2dShape{16, 64, 112, 112, 64, 3, 3, 1, 1},
        Conv2dShape{4, 32, 14, 14, 64, 3, 3, 1, 1}}) {
    add_forward_cases(cases, c);
  }
  return cases;
}

}  // namespace qmse::bench
