// What a training step needs of a loss. The losses themselves are in losses/.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/choice.h"
#include "engine/context.h"
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

// One batch of outputs and where the results go; row.scale is set by the loss.
template <class T>
struct LossBatch {
  RowLossArgs<T> row;
  const std::uint32_t* sample_ids =
      nullptr;                            // [B] indices in the data set; for losses that draw random numbers
  const std::uint64_t* step = nullptr;    // the training step, one number in device memory; likewise
  const std::uint32_t* redraw = nullptr;  // one number in device memory: how often v of this step was drawn
                                          // before; null: never
  T* v = nullptr;  // [B, c]; where a loss that draws v stores it, null unless asked for
};

class Loss {
 public:
  virtual ~Loss() = default;
  virtual std::string_view name() const = 0;
  // Value, and where batch.row.gradient is given the gradient with respect to
  // the outputs, as training uses them.
  virtual void train(Context& context, const LossBatch<float>& batch) const = 0;
  virtual void train(Context& context, const LossBatch<double>& batch) const = 0;
  // The value without randomness, as evaluation reports it: for a loss
  // that draws random numbers its expectation.
  virtual void evaluate(Context& context, const LossBatch<float>& batch) const = 0;
  virtual void evaluate(Context& context, const LossBatch<double>& batch) const = 0;
  // Whether train() stores v where asked to.
  virtual bool draws_direction() const { return false; }
};

}  // namespace qmse
