#include "engine/training_loop.h"

#include <algorithm>
#include <numeric>

#include "device/range.h"

namespace qmse {

namespace {

template <class T>
std::unique_ptr<BatchPass<T>> make_pass(Context& context, const Network& network, const ResidentData<T>& data,
                                        const Loss& loss, std::int64_t batch, bool gradients) {
  if (batch == 0) return nullptr;
  return std::make_unique<BatchPass<T>>(context, network, data, loss, batch,
                                        BatchPassOptions{.gradients = gradients});
}

// `batch_size`, if a data set of `samples` can be cut by it.
std::int64_t checked_batch_size(std::int64_t samples, std::int64_t batch_size) {
  if (samples < 1) throw DataError("the data set is empty");
  if (batch_size < 1)
    throw ShapeError("the batch size must be at least 1, not " + std::to_string(batch_size));
  return batch_size;
}

Buffer make_totals_workspace(Context& context, std::int64_t parameters) {
  Buffer workspace(context.memory(), step_totals_workspace_bytes(parameters), "workspace of a step's totals");
  fill_zero(context, workspace.data(), workspace.bytes());
  return workspace;
}

// The sizes of the whole batches (0 where there is none) and of the rest.
struct Split {
  std::int64_t full, tail;
};

Split split(std::int64_t samples, std::int64_t batch_size) {
  return {samples >= batch_size ? batch_size : 0, samples % batch_size};
}

}  // namespace

template <class T>
TrainingLoop<T>::TrainingLoop(Context& context, const Network& network, const ResidentData<T>& data,
                              const Loss& loss, Optimizer& optimizer, std::int64_t batch_size,
                              const Options& options)
    : context_(&context),
      optimizer_(&optimizer),
      samples_(data.samples),
      batch_size_(checked_batch_size(data.samples, batch_size)),
      options_(options),
      order_(context.memory(), static_cast<std::size_t>(samples_) * sizeof(std::uint32_t),
             "order of the epoch"),
      rates_(context.memory(), static_cast<std::size_t>(steps_per_epoch() + 1) * sizeof(double),
             "learning rates"),
      counter_(context.memory(), sizeof(StepCounter), "step counter"),
      metrics_(context.memory(), sizeof(EpochMetrics), "epoch metrics"),
      totals_workspace_(make_totals_workspace(context, optimizer.store().flat_size())),
      full_(make_stage(network, data, loss, split(data.samples, batch_size).full)),
      tail_(make_stage(network, data, loss, split(data.samples, batch_size).tail)) {
  steps_done_ = steps_per_epoch();  // nothing to do until an epoch begins
}

template <class T>
std::int64_t TrainingLoop<T>::steps_per_epoch() const {
  return samples_ / batch_size_ + (samples_ % batch_size_ != 0 ? 1 : 0);
}

template <class T>
void TrainingLoop<T>::begin_epoch(std::span<const std::uint32_t> order, std::span<const double> rates,
                                  std::uint64_t step) {
  resume_epoch(order, rates, StepCounter{.step = step}, EpochMetrics{});
}

template <class T>
void TrainingLoop<T>::resume_epoch(std::span<const std::uint32_t> order, std::span<const double> rates,
                                   const StepCounter& counter, const EpochMetrics& metrics) {
  const std::int64_t steps = steps_per_epoch();
  if (static_cast<std::int64_t>(order.size()) != samples_ ||
      static_cast<std::int64_t>(rates.size()) != steps) {
    throw ShapeError("an epoch over " + std::to_string(samples_) + " samples in " + std::to_string(steps) +
                     " steps cannot take an order of " + std::to_string(order.size()) + " and " +
                     std::to_string(rates.size()) + " learning rates");
  }
  if (counter.index > static_cast<std::uint64_t>(steps)) {
    throw ShapeError("an epoch of " + std::to_string(steps) + " steps cannot go on from step " +
                     std::to_string(counter.index));
  }
  const auto used = std::min(static_cast<std::int64_t>(counter.index) * batch_size_, samples_);
  if (counter.first != static_cast<std::uint64_t>(used)) {
    throw ShapeError("after " + std::to_string(counter.index) + " steps of " + std::to_string(batch_size_) +
                     " an epoch over " + std::to_string(samples_) + " samples goes on at " +
                     std::to_string(used) + ", not at " + std::to_string(counter.first));
  }
  for (const std::uint32_t sample : order) {
    if (sample >= static_cast<std::uint64_t>(samples_)) {
      throw ShapeError("the order of an epoch over " + std::to_string(samples_) +
                       " samples holds the index " + std::to_string(sample));
    }
  }
  std::vector<double> padded(rates.begin(), rates.end());
  padded.push_back(0.0);  // read, but not used, after the last step
  StepCounter start = counter;
  start.learning_rate = padded[start.index];
  host_to_device(*context_, order_.data(), order.data(), order.size_bytes());
  host_to_device(*context_, rates_.data(), padded.data(), padded.size() * sizeof(double));
  host_to_device(*context_, counter_.data(), &start, sizeof(start));
  host_to_device(*context_, metrics_.data(), &metrics, sizeof(metrics));
  steps_done_ = static_cast<std::int64_t>(start.index);
}

template <class T>
typename TrainingLoop<T>::Stage TrainingLoop<T>::make_stage(const Network& network,
                                                            const ResidentData<T>& data, const Loss& loss,
                                                            std::int64_t batch) {
  Stage stage;
  if (batch == 0) return stage;
  stage.pass = make_pass(*context_, network, data, loss, batch, true);
  stage.graph = std::make_unique<StepGraph>(
      *context_, [this, pass = stage.pass.get()] { queue_step(*pass); }, options_.capture);
  return stage;
}

// Everything of a step that happens on the device. The loss and the gradient's norm are looked at before the
// weights are changed.
template <class T>
void TrainingLoop<T>::queue_step(BatchPass<T>& pass) {
  auto* counter = counter_.as<StepCounter>();
  auto* metrics = metrics_.as<EpochMetrics>();
  pass.train(order_.as<std::uint32_t>(), &counter->first, &counter->step,
             options_.redraws > 0 ? &counter->redraw : nullptr);
  StepTotalsArgs<T> totals;
  totals.n = optimizer_->store().flat_size();
  totals.gradients = static_cast<const T*>(optimizer_->store().gradients());
  totals.rates = rates_.as<double>();
  totals.halt_on_non_finite = options_.halt_on_non_finite;
  totals.redraws = options_.redraws;
  totals.metrics = metrics;
  totals.counter = counter;
  totals.workspace = totals_workspace_.data();
  pass.total(totals);
  const Range phase("optimizer");
  optimizer_->step({&counter->update_rate, &counter->update_step,
                    totals.halt_on_non_finite || totals.redraws > 0 ? &counter->held : nullptr});
}

template <class T>
void TrainingLoop<T>::step(std::int64_t count) {
  const std::int64_t end = std::min(steps_done_ + count, steps_per_epoch());
  for (; options_.redraws > 0 && steps_done_ < end; ++steps_done_) {
    do (steps_done_ < full_steps() ? full_ : tail_).graph->run(1);
    while (this->counter().redraw > 0);
  }
  if (steps_done_ < std::min(end, full_steps())) {
    const std::int64_t steps = std::min(end, full_steps()) - steps_done_;
    full_.graph->run(steps);
    steps_done_ += steps;
  }
  if (steps_done_ < end) {
    tail_.graph->run(1);
    ++steps_done_;
  }
}

template <class T>
EpochMetrics TrainingLoop<T>::metrics() const {
  EpochMetrics metrics;
  device_to_host(*context_, &metrics, metrics_.data(), sizeof(metrics));
  return metrics;
}

template <class T>
StepCounter TrainingLoop<T>::counter() const {
  StepCounter counter;
  device_to_host(*context_, &counter, counter_.data(), sizeof(counter));
  return counter;
}

template <class T>
std::string TrainingLoop<T>::first_non_finite() {
  const std::int64_t step = metrics().first_non_finite_step;
  if (step < 0) return "";
  Tape& tape = (step < full_steps() ? full_ : tail_).pass->tape();
  const Value value = tape.first_non_finite();
  return value.id < 0 ? "" : tape.name(value);
}

template <class T>
Evaluator<T>::Evaluator(Context& context, const Network& network, const ResidentData<T>& data,
                        const Loss& loss, std::int64_t batch_size, bool capture)
    : context_(&context),
      data_(data),
      batch_size_(std::min(checked_batch_size(data.samples, batch_size), data.samples)),
      order_(context.memory(), static_cast<std::size_t>(data.samples) * sizeof(std::uint32_t),
             "order of evaluation"),
      counter_(context.memory(), sizeof(StepCounter), "evaluation counter"),
      metrics_(context.memory(), sizeof(EpochMetrics), "evaluation metrics"),
      totals_workspace_(make_totals_workspace(context, 0)),
      full_(make_pass(context, network, data, loss, split(data.samples, batch_size_).full, false)),
      tail_(make_pass(context, network, data, loss, split(data.samples, batch_size_).tail, false)) {
  std::vector<std::uint32_t> order(static_cast<std::size_t>(data.samples));
  std::iota(order.begin(), order.end(), 0u);
  host_to_device(context, order_.data(), order.data(), order.size() * sizeof(std::uint32_t));
  const auto make_graph = [&](BatchPass<T>* pass) {
    const auto queue = [this, pass] {
      StepTotalsArgs<T> totals;
      totals.metrics = metrics_.as<EpochMetrics>();
      totals.counter = counter_.as<StepCounter>();
      totals.workspace = totals_workspace_.data();
      pass->evaluate(order_.as<std::uint32_t>(), &totals.counter->first);
      pass->total(totals);
    };
    return pass == nullptr ? nullptr : std::make_unique<StepGraph>(context, queue, capture);
  };
  full_graph_ = make_graph(full_.get());
  tail_graph_ = make_graph(tail_.get());
}

template <class T>
EpochMetrics Evaluator<T>::run() {
  return *run(OnBatch());
}

template <class T>
std::optional<EpochMetrics> Evaluator<T>::run(const OnBatch& on_batch) {
  EpochMetrics metrics;
  const StepCounter start;
  host_to_device(*context_, metrics_.data(), &metrics, sizeof(metrics));
  host_to_device(*context_, counter_.data(), &start, sizeof(start));
  const std::int64_t full_batches = data_.samples / batch_size_;
  if (!on_batch) full_graph_->run(full_batches);
  last_ = full_.get();
  for (std::int64_t batch = 0; on_batch && batch < full_batches; ++batch) {
    full_graph_->run(1);
    if (!on_batch(batch * batch_size_)) return std::nullopt;
  }
  if (tail_graph_) {
    tail_graph_->run(1);
    last_ = tail_.get();
    if (on_batch && !on_batch(full_batches * batch_size_)) return std::nullopt;
  }
  device_to_host(*context_, &metrics, metrics_.data(), sizeof(metrics));
  return metrics;
}

template <class T>
std::vector<T> Evaluator<T>::outputs() const {
  std::vector<T> outputs(static_cast<std::size_t>(last_->batch() * data_.classes));
  device_to_host(*context_, outputs.data(), last_->tape().data(last_->output()), outputs.size() * sizeof(T));
  return outputs;
}

template class TrainingLoop<float>;
template class TrainingLoop<double>;
template class Evaluator<float>;
template class Evaluator<double>;

}  // namespace qmse
