// What a training step needs of a loss. The losses themselves are in losses/.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/choice.h"
#include "engine/context.h"
#include "engine/dtype.h"
#include "kernels/row_loss/row_loss.h"

namespace qmse {

enum class Reduction {
  batch_mean,    // sum over outputs, with the loss's own factors, mean over the batch
  element_mean,  // that times 2/c: for MSE the mean over batch and outputs without the half, as MSELoss
};
constexpr std::array<Choice<Reduction>, 2> choices(Reduction) {
  return {{{Reduction::batch_mean, "batch_mean", "batch mean"},
           {Reduction::element_mean, "element_mean", "element mean"}}};
}

// What a loss over c outputs is multiplied with.
constexpr double scale_of(Reduction reduction, std::int64_t classes) {
  return reduction == Reduction::element_mean ? 2.0 / static_cast<double>(classes) : 1.0;
}

// Something that a loss calculates on the way and can store, [B, c]: "residual".
struct LossDetail {
  std::string_view name;
  void* data;
};

// One batch of outputs and where the results go: RowLossArgs, its numbers being of `dtype`.
struct LossBatch {
  DType dtype = DType::f32;
  std::int64_t batch = 0;
  std::int64_t classes = 0;
  const void* output = nullptr;
  const std::int32_t* labels = nullptr;  // [B], or
  const void* targets = nullptr;         // [B, c]
  void* sample_loss = nullptr;
  void* residual_sq = nullptr;
  std::int32_t* correct = nullptr;
  void* gradient = nullptr;  // null where only values are wanted
  void* workspace = nullptr;
  std::span<const LossDetail> details;  // those of Loss::details() that are to be stored

  // For losses that draw random numbers: the training step, one number in device memory, and the samples'
  // indices in the data set, [B]. Without a step nothing is drawn, and the values are expectations.
  const std::uint64_t* step = nullptr;
  const std::uint32_t* sample_ids = nullptr;
  // One number in device memory: how often the step's random numbers were drawn before; null: never.
  const std::uint32_t* redraw = nullptr;

  // Null where it is not to be stored.
  template <class T>
  T* detail(std::string_view name) const {
    for (const LossDetail& kept : details) {
      if (kept.name == name) return static_cast<T*>(kept.data);
    }
    return nullptr;
  }

  // For a kernel; T is the type that `dtype` names.
  template <class T>
  RowLossArgs<T> rows(Reduction reduction) const {
    RowLossArgs<T> args;
    args.batch = batch;
    args.classes = classes;
    args.output = static_cast<const T*>(output);
    args.labels = labels;
    args.targets = static_cast<const T*>(targets);
    args.scale = scale_of(reduction, classes);
    args.gradient = static_cast<T*>(gradient);
    args.sample_loss = static_cast<T*>(sample_loss);
    args.residual_sq = static_cast<T*>(residual_sq);
    args.correct = correct;
    args.residual = detail<T>("residual");
    args.workspace = workspace;
    return args;
  }
};

class Loss {
 public:
  virtual ~Loss() = default;
  virtual std::string_view name() const = 0;
  // Values and, where it is asked for, the gradient with respect to the outputs.
  virtual void run(Context& context, const LossBatch& batch) const = 0;
  // What it can store beside them.
  virtual std::vector<std::string_view> details() const { return {"residual"}; }
};

}  // namespace qmse
