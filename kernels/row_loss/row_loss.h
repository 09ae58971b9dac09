// What the three losses share: one row of outputs a sample, value and gradient in one pass. C++17: included
// by device code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace qmse {

enum class LongRowsBy { shape, holding, reading_twice };

// Pointers are to the context's device. Exactly one of `labels` and `targets` is given.
template <class T>
struct RowLossArgs {
  std::int64_t batch = 0;                // B >= 1
  std::int64_t classes = 0;              // 1 <= c <= 2^30
  const T* output = nullptr;             // f [B, c]
  const std::int32_t* labels = nullptr;  // [B], each in [0, c): the target is one-hot and never built
  const T* targets = nullptr;            // y [B, c]

  // The per-sample loss is reported times `scale` (1, or 2/c for reduction element_mean); the gradient with
  // respect to f is that of the batch mean, scale / B times the sample's, unless gradient_scale is given:
  // then it is that times the sample's.
  double scale = 1.0;
  std::optional<double> gradient_scale = std::nullopt;

  T* gradient = nullptr;     // [B, c]; null where only values are wanted
  T* sample_loss = nullptr;  // [B]
  T* residual_sq = nullptr;  // [B], ||y - f||^2 (cross-entropy: of y - softmax(f))
  std::int32_t* correct =
      nullptr;  // [B], 1 where the largest output is the label (dense: the largest target), first on ties
  T* residual = nullptr;  // [B, c], y - f; null unless asked for (trace)

  // CUDA only: row_loss_workspace_bytes() of device memory, 16-byte aligned, contents undefined; may be null
  // where that is 0.
  void* workspace = nullptr;
  // CUDA only: how rows that do not fit a block are done (long_rows.cuh); the results are the same.
  LongRowsBy long_rows = LongRowsBy::shape;
};

// What a sample's gradient is multiplied with.
template <class T>
double gradient_scale(const RowLossArgs<T>& args) {
  return args.gradient_scale.value_or(args.scale / static_cast<double>(args.batch));
}

// Scratch memory the losses need on CUDA: 0 as long as a row fits a block, then 52 bytes for every 8192
// elements of a row, 4 for each row and 4.
std::size_t row_loss_workspace_bytes(std::int64_t batch, std::int64_t classes);

// Throws ShapeError, starting with `name`, unless sizes and pointers are as RowLossArgs says.
template <class T>
void check_row_loss_args(const char* name, const RowLossArgs<T>& args);

}  // namespace qmse
