// The training step, repeated over an epoch: gather, forward, loss, backward, optimizer, metrics, over
// buffers that do not move.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/batch_pass.h"
#include "engine/optimizer.h"
#include "engine/step_graph.h"
#include "kernels/step_totals/step_totals.h"

namespace qmse {

struct TrainingLoopOptions {
  bool capture = true;              // on CUDA, replay steps from graphs (see StepGraph); same bits without
  bool halt_on_non_finite = false;  // a step whose loss or gradient is not finite changes no weight, and the
                                    // loop stays at it: the steps that follow repeat it
  std::uint32_t redraws = 0;  // how often a step whose gradient is exactly zero, although a residual is not,
                              // is taken again with another v; step() then waits for every step
};

// An epoch takes its batches from a given order of sample indices, `batch_size` at a time; the last may be
// smaller and is a mean over its own size. f32 on every backend, f64 on the CPU.
template <class T>
class TrainingLoop {
 public:
  using Options = TrainingLoopOptions;

  // What is passed by reference must outlive the loop.
  TrainingLoop(Context& context, const Network& network, const ResidentData<T>& data, const Loss& loss,
               Optimizer& optimizer, std::int64_t batch_size, const Options& options = {});
  TrainingLoop(const TrainingLoop&) = delete;
  TrainingLoop& operator=(const TrainingLoop&) = delete;

  std::int64_t steps_per_epoch() const;

  // Starts an epoch, or goes on with one from where `counter` and `metrics` say it stood. order: every
  // sample's index once, [samples]; rates: the learning rate of each step of the epoch, [steps_per_epoch].
  // Sizes that differ, an index or a place in the epoch that cannot be are a ShapeError.
  void begin_epoch(std::span<const std::uint32_t> order, std::span<const double> rates, std::uint64_t step);
  void resume_epoch(std::span<const std::uint32_t> order, std::span<const double> rates,
                    const StepCounter& counter, const EpochMetrics& metrics);

  bool epoch_done() const { return steps_done_ == steps_per_epoch(); }
  std::int64_t steps_done() const { return steps_done_; }  // in this epoch
  // The next `count` steps, or as many as the epoch has left. Allocates nothing and, without redraws, reads
  // nothing back and does not wait for the device.
  void step(std::int64_t count = 1);

  // Read back from the device (waits for it).
  EpochMetrics metrics() const;
  StepCounter counter() const;
  // What the operations of a whole batch (of the rest, where there is no whole one) chose automatically.
  std::vector<Tape::Choice> choices() const { return (full_.pass ? full_ : tail_).pass->tape().choices(); }
  // The name of the first value that is not finite in the forward pass of the step whose loss was not; empty
  // where there was none, or only the loss itself is not finite. (Of the last such batch size's step, where
  // the loop was made without halt_on_non_finite and went on.)
  std::string first_non_finite();

 private:
  // The step for one batch size.
  struct Stage {
    std::unique_ptr<BatchPass<T>> pass;
    std::unique_ptr<StepGraph> graph;
  };
  Stage make_stage(const Network& network, const ResidentData<T>& data, const Loss& loss, std::int64_t batch);
  void queue_step(BatchPass<T>& pass);
  std::int64_t full_steps() const { return samples_ / batch_size_; }

  Context* context_;
  Optimizer* optimizer_;
  std::int64_t samples_;
  std::int64_t batch_size_;
  Options options_;
  std::int64_t steps_done_ = 0;
  Buffer order_, rates_, counter_, metrics_, totals_workspace_;
  Stage full_;  // empty where the data set is smaller than a batch
  Stage tail_;  // the last, smaller batch; empty where the batches divide the data set
};

// Loss without randomness, ||r||^2 and accuracy of a network over a data set, in the data set's own order.
template <class T>
class Evaluator {
 public:
  // `capture` as in TrainingLoopOptions.
  Evaluator(Context& context, const Network& network, const ResidentData<T>& data, const Loss& loss,
            std::int64_t batch_size, bool capture = true);
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // Waits for the device once, at the end.
  EpochMetrics run();
  // The same; on_batch(first sample's index) is called after each batch was queued, and may read outputs().
  // Where it returns false the evaluation ends there, with nothing.
  using OnBatch = std::function<bool(std::int64_t first)>;
  std::optional<EpochMetrics> run(const OnBatch& on_batch);
  // Of the batch queued last, [rows, classes]; waits for the device.
  std::vector<T> outputs() const;

 private:
  Context* context_;
  ResidentData<T> data_;
  std::int64_t batch_size_;
  Buffer order_, counter_, metrics_, totals_workspace_;
  std::unique_ptr<BatchPass<T>> full_, tail_;
  std::unique_ptr<StepGraph> full_graph_, tail_graph_;
  BatchPass<T>* last_ = nullptr;
};

}  // namespace qmse
