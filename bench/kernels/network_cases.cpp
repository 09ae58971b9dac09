#include "bench/kernels/cases.h"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/gather_normalize/gather_normalize.h"
#include "kernels/optimizer_step/rules.h"
#include "kernels/step_totals/step_totals.h"

namespace qmse::bench {
namespace {

struct Images {
  std::string name;
  std::int64_t channels, size;
  std::int64_t parameters;  // of the paper's network for these images and 10 classes
};

std::string text(const MaxPool2dShape& shape) {
  return std::to_string(shape.batch) + " x " + std::to_string(shape.channels) + " x " +
         std::to_string(shape.in_height) + " x " + std::to_string(shape.in_width);
}

KernelCase gather_case(const Images& images, std::int64_t batch) {
  const std::int64_t inner = images.size * images.size;
  const std::int64_t pixels = images.channels * inner;
  KernelCase result{"gather_normalize " + images.name,
                    std::to_string(batch) + " x " + std::to_string(pixels),
                    "5 B C H W + 16 B",
                    batch * (5 * pixels + 16),
                    {}};
  result.make = [=](CudaContext& context, Arrays& arrays) -> Work {
    GatherArgs<float> args;
    args.batch = batch;
    args.channels = images.channels;
    args.inner = inner;
    args.images = arrays.bytes(batch * pixels);
    args.labels = arrays.labels(batch, 10);
    args.order = arrays.indices(batch);
    args.first = arrays.zeros<std::uint64_t>(1);
    args.scale = arrays.floats(images.channels);
    args.shift = arrays.floats(images.channels);
    args.x = arrays.zeros<float>(batch * pixels);
    args.batch_labels = arrays.zeros<std::int32_t>(batch);
    args.sample_ids = arrays.zeros<std::uint32_t>(batch);
    return [&context, args] { gather_normalize(context, args); };
  };
  return result;
}

// One block of the network behind its convolution.
void add_pool_cases(std::vector<KernelCase>& cases, const MaxPool2dShape& shape) {
  const std::int64_t in = shape.batch * shape.channels * shape.in_height * shape.in_width;
  const std::int64_t out = shape.batch * shape.channels * shape.out_height() * shape.out_width();
  const std::string formula = "4 N C H W + 5 N C OH OW";
  cases.push_back({"bias_relu_max_pool forward", text(shape), formula, 4 * in + 5 * out,
                   [=](CudaContext& context, Arrays& arrays) -> Work {
                     const float* x = arrays.floats(in);
                     const float* bias = arrays.floats(shape.channels);
                     auto* y = arrays.zeros<float>(out);
                     auto* choice = arrays.zeros<std::uint8_t>(out);
                     return [=, &context] { bias_relu_max_pool_forward(context, shape, x, bias, y, choice); };
                   }});
  // The bias gradient comes with it, from the same pass.
  cases.push_back({"bias_relu_max_pool backward", text(shape), formula, 4 * in + 5 * out,
                   [=](CudaContext& context, Arrays& arrays) -> Work {
                     const float* dy = arrays.floats(out);
                     const std::uint8_t* choice = arrays.bytes(out, 4);
                     auto* dx = arrays.zeros<float>(in);
                     auto* db = arrays.zeros<float>(shape.channels);
                     auto* partials = arrays.zeros<double>(pool_backward_partials(shape));
                     return [=, &context] {
                       bias_relu_max_pool_backward(context, shape, dy, choice, dx, db, partials);
                     };
                   }});
}

KernelCase sgd_case(const Images& images) {
  const std::int64_t n = images.parameters;
  return {
      "sgd momentum", std::to_string(n), "20 n", 20 * n, [=](CudaContext& context, Arrays& arrays) -> Work {
        OptimizerArgs<float> args;
        args.n = n;
        args.weights = arrays.floats(n);
        args.gradients = arrays.floats(n);
        args.states[0] = arrays.zeros<float>(n);
        args.learning_rate = arrays.number(1e-6);
        return [&context, args] { optimizer_step<SgdRule>(context, SgdRule::Hyper{.momentum = 0.9}, args); };
      }};
}

KernelCase adam_case(const Images& images) {
  const std::int64_t n = images.parameters;
  return {"adam", std::to_string(n), "28 n", 28 * n, [=](CudaContext& context, Arrays& arrays) -> Work {
            OptimizerArgs<float> args;
            args.n = n;
            args.weights = arrays.floats(n);
            args.gradients = arrays.floats(n);
            args.states[0] = arrays.zeros<float>(n);
            args.states[1] = arrays.zeros<float>(n);
            args.step = arrays.zeros<std::uint64_t>(1);
            args.learning_rate = arrays.number(1e-6);
            return [&context, args] { optimizer_step<AdamRule>(context, AdamRule::Hyper{}, args); };
          }};
}

// The end of a step over such a batch: losses, correct predictions and the gradient's norm.
KernelCase totals_case(const Images& images, std::int64_t batch) {
  const std::int64_t n = images.parameters;
  return {"step_totals", std::to_string(batch) + " " + std::to_string(n), "12 B + 4 n", 12 * batch + 4 * n,
          [=](CudaContext& context, Arrays& arrays) -> Work {
            StepTotalsArgs<float> args;
            args.batch = batch;
            args.sample_loss = arrays.floats(batch);
            args.residual_sq = arrays.floats(batch);
            args.correct = arrays.labels(batch, 2);
            args.n = n;
            args.gradients = arrays.floats(n);
            args.metrics = arrays.zeros<EpochMetrics>(1);
            args.counter = arrays.zeros<StepCounter>(1);
            args.workspace = arrays.zeros<char>(static_cast<std::int64_t>(step_totals_workspace_bytes(n)));
            return [=, &context] { step_totals(context, args); };
          }};
}

}  // namespace

std::vector<KernelCase> network_cases() {
  const Images all[] = {{"mnist", 1, 28, 421642}, {"cifar10", 3, 32, 545098}};
  std::vector<KernelCase> cases;
  for (const Images& images : all) {
    for (const std::int64_t batch : {64, 256, 1024, 4096}) {
      cases.push_back(gather_case(images, batch));
      add_pool_cases(cases, {batch, 32, images.size, images.size, 2});
      add_pool_cases(cases, {batch, 64, images.size / 2, images.size / 2, 2});
    }
    for (const std::int64_t batch : {64, 4096}) cases.push_back(totals_case(images, batch));
    cases.push_back(sgd_case(images));
    cases.push_back(adam_case(images));
  }
  return cases;
}

}  // namespace qmse::bench
