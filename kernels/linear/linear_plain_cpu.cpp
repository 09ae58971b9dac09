// Fully connected layer on the project's own matrix product.
#include <algorithm>

#include "kernels/linear/gemm.h"
#include "kernels/linear/linear_cpu.h"

namespace qmse {

namespace {

// Work is cut into blocks of outputs (forward) or inputs (gradients) over the whole batch, so that each
// weight is read once.
constexpr std::int64_t kOutputs = 32;
constexpr std::int64_t kInputs = 128;

template <class T>
class PlainLinear final : public Linear<T> {
 public:
  PlainLinear(CpuContext& context, const LinearShape& shape)
      : context_(context),
        shape_(shape),
        gemm_(QMSE_FOR_ISA(context.instruction_set(), gemm<T>)),
        gradient_(context.memory(),
                  shape.activation == Activation::relu ? sizeof(T) * shape.batch * shape.out_features : 0,
                  "linear gradient before the activation") {}

  void forward(const T* x, const T* w, const T* bias, T* y) override {
    const std::int64_t in = shape_.in_features, out = shape_.out_features;
    context_.threads().run(block_count(out, kOutputs), [&](std::int64_t block, int) {
      const std::int64_t first = block * kOutputs, last = std::min(out, first + kOutputs);
      gemm_(shape_.batch, last - first, in, {x, in, 1}, {w + first * in, 1, in}, y + first, out, false);
      add_bias_and_activate(shape_, shape_.batch, first, last, bias, y);
    });
  }

  void backward(const T* x, const T* w, const T* y, const T* dy, T* dx, T* dw, T* db) override {
    const std::int64_t batch = shape_.batch, in = shape_.in_features, out = shape_.out_features;
    const T* dz = gradient_before_activation(context_, shape_, y, dy, gradient_.template as<T>());
    context_.threads().run(block_count(in, kInputs), [&](std::int64_t block, int) {
      const std::int64_t first = block * kInputs, width = std::min(in - first, kInputs);
      gemm_(out, width, batch, {dz, 1, out}, {x + first, in, 1}, dw + first, in, false);
      if (dx != nullptr) gemm_(batch, width, out, {dz, out, 1}, {w + first, in, 1}, dx + first, in, false);
    });
    if (db != nullptr) sum_bias_gradient(context_, shape_, dz, db);
  }

  const char* algorithm() const override { return "plain"; }

 private:
  CpuContext& context_;
  LinearShape shape_;
  Gemm<T>* gemm_;
  Buffer gradient_;
};

}  // namespace

template <class T>
std::unique_ptr<Linear<T>> make_plain_linear(CpuContext& context, const LinearShape& shape) {
  check(shape);
  return std::make_unique<PlainLinear<T>>(context, shape);
}

template std::unique_ptr<Linear<float>> make_plain_linear(CpuContext&, const LinearShape&);
template std::unique_ptr<Linear<double>> make_plain_linear(CpuContext&, const LinearShape&);

std::unique_ptr<Linear<double>> make_linear(CpuContext& context, Precision<double>, const LinearShape& shape,
                                            BackwardNeeds) {
  return make_plain_linear<double>(context, shape);
}

}  // namespace qmse
