// The QMSE loss of "A theoretical framework for escaping local optima in MSE toward global convergence".
//
// r = y - f, Q = (r+v)(r+v)^T, v a random unit vector: loss 1/2 r^T Q r = 1/2 a^2 with a = <r+v, r> = ||r||^2
// + <v,r>. Gradient with respect to f: -a (r+v) with Q held constant as in the paper, -a (2r+v) with Q
// differentiated too. v is drawn in registers and never stored unless asked for.
#pragma once

#include <cstdint>

#include "base/choice.h"
#include "device/context.h"
#include "kernels/row_loss/row_loss.h"
#include "random/direction.h"

namespace qmse {

enum class QGradient { constant, full };
constexpr std::array<Choice<QGradient>, 2> choices(QGradient) {
  return {{{QGradient::constant, "constant"}, {QGradient::full, "full"}}};
}

struct QmseOptions {
  DirectionDistribution distribution = DirectionDistribution::sphere;
  DirectionScope scope = DirectionScope::per_sample;
  QGradient q_gradient = QGradient::constant;
  std::uint64_t seed = 0;  // of v
};

template <class T>
struct QmseArgs {
  RowLossArgs<T> row;
  QmseOptions options;
  // One number in device memory, so that a replayed graph sees it change.
  const std::uint64_t* step = nullptr;
  // [B] indices in the data set, the random counter's sample; unused per_batch.
  const std::uint32_t* sample_ids = nullptr;
  // One number in device memory: how often v of this step was drawn before (first_attempt()); null: never.
  const std::uint32_t* redraw = nullptr;
  T* v = nullptr;  // [B, c]; null unless asked for (trace)
};

// Throws ShapeError, beginning with `name`, unless sizes and pointers are as QmseArgs says.
template <class T>
void check_qmse_args(const char* name, const QmseArgs<T>&);

void qmse_loss(CpuContext&, const QmseArgs<float>&);
void qmse_loss(CpuContext&, const QmseArgs<double>&);  // v is the same f32 vector, widened
template <class Gpu>
void qmse_loss(Gpu&, const QmseArgs<float>&);

}  // namespace qmse
