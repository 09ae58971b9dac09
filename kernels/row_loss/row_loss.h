// What the three losses share: one row of outputs a sample, value and gradient in one pass. C++17: included
// by device code.
#pragma once

#include <cstdint>

namespace qmse {

// Pointers are to the context's device. Exactly one of `labels` and `targets` is given.
template <class T>
struct RowLossArgs {
  std::int64_t batch = 0;                // B >= 1
  std::int64_t classes = 0;              // c >= 1
  const T* output = nullptr;             // f [B, c]
  const std::int32_t* labels = nullptr;  // [B], each in [0, c): the target is one-hot and never built
  const T* targets = nullptr;            // y [B, c]

  // The per-sample loss is reported times `scale` (1, or 2/c for reduction element_mean); the gradient with
  // respect to f is that of the batch mean: scale / B times the sample's.
  double scale = 1.0;

  T* gradient = nullptr;     // [B, c]; null where only values are wanted
  T* sample_loss = nullptr;  // [B]
  T* residual_sq = nullptr;  // [B], ||y - f||^2 (cross-entropy: of y - softmax(f))
  std::int32_t* correct =
      nullptr;  // [B], 1 where the largest output is the label (dense: the largest target), first on ties
  T* residual = nullptr;  // [B, c], y - f; null unless asked for (trace)
};

}  // namespace qmse
