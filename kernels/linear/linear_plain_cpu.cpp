// Fully connected layer on the project's own matrix product.
#include "kernels/linear/linear_cpu.h"

namespace qmse {

namespace {

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
    forward_dense(context_, shape_, *gemm_, x, w, bias, y);
  }

  void backward(const T* x, const T* w, const T* y, const T* dy, T* dx, T* dw, T* db) override {
    const T* dz = gradient_before_activation(context_, shape_, y, dy, gradient_.template as<T>());
    gradients_dense(context_, shape_, *gemm_, x, w, dz, dx, dw);
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
