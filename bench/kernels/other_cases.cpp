#include "bench/kernels/cases.h"
#include "kernels/bias_activation/bias_activation.h"
#include "kernels/max_pool2d/max_pool2d.h"
#include "kernels/reduce/reduce.h"

namespace qmse::bench {
namespace {

void add_flat_cases(std::vector<KernelCase>& cases, std::int64_t n) {
  const std::string shape = std::to_string(n);
  cases.push_back({"add", shape, "12 n", 12 * n, [=](CudaContext& context, Arrays& arrays) -> Work {
                     const float* x = arrays.floats(n);
                     auto* y = arrays.zeros<float>(n);
                     return [=, &context] { add(context, n, x, y); };
                   }});
  cases.push_back(
      {"first_non_finite", shape, "4 n", 4 * n, [=](CudaContext& context, Arrays& arrays) -> Work {
         const float* x = arrays.floats(n);
         auto* index = arrays.zeros<std::int64_t>(1);
         return [=, &context] { first_non_finite(context, n, x, index); };
       }});
  cases.push_back(
      {"activation_backward relu", shape, "12 n", 12 * n, [=](CudaContext& context, Arrays& arrays) -> Work {
         const float* y = arrays.floats(n);
         const float* dy = arrays.floats(n);
         auto* dx = arrays.zeros<float>(n);
         return [=, &context] { activation_backward(context, n, Activation::relu, y, dy, dx); };
       }});
}

void add_bias_case(std::vector<KernelCase>& cases, const BiasShape& shape) {
  const std::int64_t n = shape.batch * shape.channels * shape.inner;
  const std::string name = std::to_string(shape.batch) + " x " + std::to_string(shape.channels) + " x " +
                           std::to_string(shape.inner);
  cases.push_back({"bias_activation forward relu", name, "8 N C inner + 4 C", 8 * n + 4 * shape.channels,
                   [=](CudaContext& context, Arrays& arrays) -> Work {
                     const float* x = arrays.floats(n);
                     const float* bias = arrays.floats(shape.channels);
                     auto* y = arrays.zeros<float>(n);
                     return [=, &context] {
                       bias_activation_forward(context, shape, Activation::relu, x, bias, y);
                     };
                   }});
  cases.push_back({"bias_gradient", name, "4 N C inner + 4 C", 4 * n + 4 * shape.channels,
                   [=](CudaContext& context, Arrays& arrays) -> Work {
                     const float* dy = arrays.floats(n);
                     auto* db = arrays.zeros<float>(shape.channels);
                     return [=, &context] { bias_gradient(context, shape, dy, db); };
                   }});
}

void add_pool_cases(std::vector<KernelCase>& cases, const MaxPool2dShape& shape) {
  const std::int64_t in = shape.batch * shape.channels * shape.in_height * shape.in_width;
  const std::int64_t out = shape.batch * shape.channels * shape.out_height() * shape.out_width();
  const std::string name = std::to_string(shape.batch) + " x " + std::to_string(shape.channels) + " x " +
                           std::to_string(shape.in_height) + " x " + std::to_string(shape.in_width);
  const std::string formula = "4 N C H W + 5 N C OH OW";
  cases.push_back({"max_pool2d forward", name, formula, 4 * in + 5 * out,
                   [=](CudaContext& context, Arrays& arrays) -> Work {
                     const float* x = arrays.floats(in);
                     auto* y = arrays.zeros<float>(out);
                     auto* choice = arrays.zeros<std::uint8_t>(out);
                     return [=, &context] { max_pool2d_forward(context, shape, x, y, choice); };
                   }});
  cases.push_back({"max_pool2d backward", name, formula, 4 * in + 5 * out,
                   [=](CudaContext& context, Arrays& arrays) -> Work {
                     const float* dy = arrays.floats(out);
                     const std::uint8_t* choice = arrays.bytes(out, 4);
                     auto* dx = arrays.zeros<float>(in);
                     return [=, &context] { max_pool2d_backward(context, shape, dy, choice, dx); };
                   }});
}

}  // namespace

std::vector<KernelCase> other_cases() {
  std::vector<KernelCase> cases;
  add_flat_cases(cases, 421642);
  add_flat_cases(cases, std::int64_t{1} << 26);
  add_bias_case(cases, {256, 128, 1});
  add_bias_case(cases, {4096, 64, 256});
  add_pool_cases(cases, {4096, 32, 32, 32, 2});
  return cases;
}

}  // namespace qmse::bench
