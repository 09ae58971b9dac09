// Pieces of the width experiment that have a mathematics of their own.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "analysis/mlp/mlp.h"

namespace qmse {

// Keras' ReduceLROnPlateau (factor 0.5, patience 40, cooldown 10, min_lr 1e-7) and EarlyStopping (min_delta
// 1e-7, patience 10,000), as in the thesis: 40,000 steps of one length, then up to 80,000 of falling ones. The
// step is halved where the loss has not fallen by more than `min_delta` for 40 steps: Keras' default is 1e-4.
class ThesisSchedule {
 public:
  explicit ThesisSchedule(double lr, std::int64_t constant_steps = 40000, std::int64_t plateau_steps = 80000,
                          double min_delta = 1e-4);
  // The length of the next step; 0: training is over. `loss` is that before the step.
  double next(double loss);

 private:
  void restart_stopping();

  double lr_, min_delta_, best_plateau_, best_stopping_;
  std::int64_t constant_steps_, plateau_steps_, step_ = 0;
  std::int64_t waited_plateau_ = 0, cooldown_ = 0, waited_stopping_ = 0;
};

// A point that Yun, Sra and Jadbabaie's theorem 1 speaks of: every unit of the one hidden layer is active on
// all samples, and the output is the best affine fit of the targets. So it is a differentiable local minimum
// of the MSE at every width, however much better other networks do. `network` has a hidden layer of (leaky)
// ReLUs, biases and no penalty.
std::vector<double> affine_trap(const Mlp& network, std::uint64_t seed);

}  // namespace qmse
