// SGD with momentum, Nesterov and weight decay over a flat buffer: PyTorch's torch.optim.SGD rule exactly.
//
//   g = gradient + weight_decay * w;  m = momentum * m + g;  w -= lr * (nesterov ? g + momentum * m : m)
//
// (m starts at zero, which gives PyTorch's first step; without momentum m is not touched and may be null.)
#pragma once

#include <cstdint>

#include "kernels/core/context.h"
#include "kernels/reduce/reduce.h"

namespace qmse {

struct SgdHyper {
  double momentum = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;
};

template <class T>
struct SgdArgs {
  std::int64_t n = 0;
  T* weights = nullptr;                   // [n]
  const T* gradients = nullptr;           // [n]
  T* momenta = nullptr;                   // [n]
  const double* learning_rate = nullptr;  // one number in device memory
  double* gradient_norm_sq =
      nullptr;  // one number in device memory: sum of gradient^2 (before weight decay), f64, fixed order
  // One number in device memory: from 0 up, or with a gradient whose norm is not finite, nothing is updated;
  // null: always is.
  const std::int64_t* halt = nullptr;
  double* partials = nullptr;  // scratch of norm_partials(n) doubles in device memory
};

void sgd_step(CpuContext&, const SgdHyper&, const SgdArgs<float>&);
void sgd_step(CpuContext&, const SgdHyper&, const SgdArgs<double>&);
void sgd_step(CudaContext&, const SgdHyper&, const SgdArgs<float>&);

}  // namespace qmse
