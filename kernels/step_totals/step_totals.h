// What a step adds up when its gradients are there: its losses and correct predictions, the norm of its
// gradient. With them the epoch's sums grow and the step counter moves on, all in device memory, so that the
// host reads once an epoch and a replayed step sees the counter move. C++17: included by device code.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/host_device.h"
#include "device/context.h"

namespace qmse {

// What is added up over samples: of a batch, and of the epoch so far. Another sum is a member with its line
// in each function; both backends, the epoch's metrics and checkpoints go by these.
struct SampleSums {
  double loss = 0;
  double residual_sq = 0;
  std::int64_t correct = 0;

  // visit(name, pointer to member) for each.
  template <class Visit>
  QMSE_HOST_DEVICE static void members(Visit&& visit) {
    visit("loss", &SampleSums::loss);
    visit("residual_sq", &SampleSums::residual_sq);
    visit("correct", &SampleSums::correct);
  }
  // Sample i's part; `args` is a StepTotalsArgs.
  template <class Args>
  QMSE_HOST_DEVICE void add_sample(const Args& args, std::int64_t i) {
    loss += static_cast<double>(args.sample_loss[i]);
    residual_sq += static_cast<double>(args.residual_sq[i]);
    correct += args.correct[i];
  }
  QMSE_HOST_DEVICE void add(const SampleSums& other) {
    members([&](const char*, auto member) { this->*member += other.*member; });
  }
};

struct EpochMetrics : SampleSums {
  double gradient_norm_sq = 0;  // summed over the steps
  std::int64_t samples = 0;
  std::int64_t steps = 0;
  // The index within the epoch of the first step whose loss or gradient was not finite, or -1.
  std::int64_t first_non_finite_step = -1;
  double last_loss = 0;         // mean loss of the last batch
  std::int64_t null_steps = 0;  // steps whose gradient was exactly zero although a residual was not
  std::int64_t redraws = 0;     // draws of v that were made again because of such a gradient
};

// Where training stands.
struct StepCounter {
  std::uint64_t step = 0;       // steps taken since training began: the random counter's step
  std::uint64_t index = 0;      // steps taken in this epoch
  std::uint64_t first = 0;      // samples used in this epoch: where in the order the next batch begins
  double learning_rate = 0;     // of the next step
  double gradient_norm_sq = 0;  // of the last step
  // For the optimizer, whose update comes after the counter has moved on: the learning rate of the step that
  // it ends, and the steps taken before that one.
  double update_rate = 0;
  std::uint64_t update_step = 0;
  std::uint32_t redraw = 0;  // how often v of the next step was drawn before
  std::int64_t held = -1;    // 0 where the optimizer is to leave the weights alone: the last step was not
                             // finite, or is taken again with another v
};

// Every pointer is to device memory.
template <class T>
struct StepTotalsArgs {
  std::int64_t batch = 0;
  const T* sample_loss = nullptr;         // [batch]
  const T* residual_sq = nullptr;         // [batch]
  const std::int32_t* correct = nullptr;  // [batch], 1 or 0
  std::int64_t n = 0;                     // 0 while evaluating: the gradient's norm is then 0
  const T* gradients = nullptr;           // [n], flat
  const double* rates = nullptr;  // the epoch's learning rates, one a step, and one element more; null
                                  // while evaluating
  // A step whose loss or gradient is not finite is not left: what is queued after it repeats it, so that
  // its activations can be looked at, and adds nothing.
  bool halt_on_non_finite = false;
  // How often a step whose gradient is exactly zero, although a residual is not, is not left either, but
  // taken again with another v.
  std::uint32_t redraws = 0;
  EpochMetrics* metrics = nullptr;
  StepCounter* counter = nullptr;
  void* workspace = nullptr;  // step_totals_workspace_bytes(n) bytes; zeros before the first call with it
};

// The gradient's squares are summed in chunks of so many elements; the chunks' sums are f64.
inline constexpr std::int64_t kFlatChunk = 4096;
inline constexpr std::int64_t flat_chunks(std::int64_t n) { return (n + kFlatChunk - 1) / kFlatChunk; }

// The workspace begins with this, and the chunks' sums follow.
struct StepTotalsWorkspace {
  SampleSums batch;
  std::uint64_t blocks_done = 0;  // on a GPU, of the call that runs
};
inline constexpr std::size_t step_totals_workspace_bytes(std::int64_t n) {
  return sizeof(StepTotalsWorkspace) + static_cast<std::size_t>(flat_chunks(n)) * sizeof(double);
}

// Sums are f64, in an order that sizes alone decide: index order on the CPU, a fixed tree on a GPU.
void step_totals(CpuContext&, const StepTotalsArgs<float>&);
void step_totals(CpuContext&, const StepTotalsArgs<double>&);
template <class Gpu>
void step_totals(Gpu&, const StepTotalsArgs<float>&);

}  // namespace qmse
