// Fully connected layer: y = activation(x wT + b). x [N, I], w [O, I] (PyTorch's layout), b [O], y [N, O].
#pragma once

#include <cstdint>
#include <memory>

#include "device/context.h"
#include "kernels/bias_activation/activation.h"
#include "kernels/plan.h"

namespace qmse {

struct LinearShape {
  std::int64_t batch = 0, in_features = 0, out_features = 0;
  Activation activation =
      Activation::identity;  // identity or relu: what the matrix product's epilogue can do
  bool operator==(const LinearShape&) const = default;
};

// Throws ShapeError unless every size is at least 1 and the activation is identity or relu.
void check(const LinearShape& shape);

// Planned for one shape, as Conv2d. Sums run in an order fixed by the shape alone. On the CPU the zeros among x
// and among gradients may be left out of them, where there are many: the same sums, but that an infinity or NaN
// which meets such a zero adds nothing, in place of a NaN.
template <class T>
class Linear {
 public:
  virtual ~Linear() = default;
  virtual void forward(const T* x, const T* w, const T* bias /* may be null */, T* y) = 0;
  // From dy and, for relu, y: dx (null where the input needs no gradient), dw, db (null without
  // bias); overwritten.
  virtual void backward(const T* x, const T* w, const T* y, const T* dy, T* dx, T* dw, T* db) = 0;
  virtual const char* algorithm() const = 0;
};

std::unique_ptr<Linear<float>> make_linear(CpuContext&, Precision<float>, const LinearShape& shape,
                                           BackwardNeeds needs = {});
std::unique_ptr<Linear<double>> make_linear(CpuContext&, Precision<double>, const LinearShape& shape,
                                            BackwardNeeds needs = {});
std::unique_ptr<Linear<float>> make_linear(CudaContext&, Precision<float>, const LinearShape& shape,
                                           BackwardNeeds needs = {});

// The plain loops, in the precision of T.
template <class T>
std::unique_ptr<Linear<T>> make_plain_linear(CpuContext& context, const LinearShape& shape);

}  // namespace qmse
