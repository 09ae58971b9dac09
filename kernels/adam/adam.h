// Adam over a flat buffer: PyTorch's torch.optim.Adam rule exactly (weight decay added to the gradient,
// amsgrad off).
//
//   g = gradient + weight_decay * w;  m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2
//   w -= lr / (1 - beta1^t) * m / (sqrt(s) / sqrt(1 - beta2^t) + epsilon),  t = 1 at the first step
#pragma once

#include <cstdint>

#include "kernels/core/context.h"
#include "kernels/reduce/reduce.h"

namespace qmse {

struct AdamHyper {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
};

template <class T>
struct AdamArgs {
  std::int64_t n = 0;
  T* weights = nullptr;                   // [n]
  const T* gradients = nullptr;           // [n]
  T* first_moments = nullptr;             // [n], m
  T* second_moments = nullptr;            // [n], s
  const std::uint64_t* step = nullptr;    // one number in device memory: t - 1, the steps taken so far
  const double* learning_rate = nullptr;  // one number in device memory
  double* gradient_norm_sq =
      nullptr;  // one number in device memory: sum of gradient^2 (before weight decay), f64, fixed order
  // One number in device memory: from 0 up, or with a gradient whose norm is not finite, nothing is updated;
  // null: always is.
  const std::int64_t* halt = nullptr;
  double* partials = nullptr;  // scratch of norm_partials(n) doubles in device memory
};

void adam_step(CpuContext&, const AdamHyper&, const AdamArgs<float>&);
void adam_step(CpuContext&, const AdamHyper&, const AdamArgs<double>&);
void adam_step(CudaContext&, const AdamHyper&, const AdamArgs<float>&);

}  // namespace qmse
