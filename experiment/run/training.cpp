#include "experiment/run/training.h"

#include <algorithm>
#include <cmath>

#include "base/in_quotes.h"
#include "experiment/run/evaluation.h"
#include "experiment/run/run_outcome.h"
#include "experiment/run/setup.h"
#include "experiment/run/tensor_digest.h"
#include "random/shuffle.h"

namespace qmse {
namespace {

std::string first_non_finite_parameter(const ParameterStore& store) {
  for (std::size_t i = 0; i < store.size(); ++i) {
    const std::vector<float> values = store.read<float>(store.weights(), i);
    if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }))
      return store.spec(i).name;
  }
  return "";
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TrainingParts::TrainingParts(const TrainConfig& config, Context& context, const TrainingImages& images)
    : card(make_card(config, images.train, images.normalization, images.targets)),
      train_data(context, images.train, images.normalization, images.targets),
      test_data(context, images.test, images.normalization, images.targets),
      model(make_model(card.model)),
      store(context, DType::f32, model.parameters()),
      network([this](Tape& tape, Value input) { return model.record(tape, store, input); }),
      loss(make_loss(config)),
      optimizer(make_optimizer(config, store)),
      loop(context, network, train_data.view(), *loss, *optimizer, config.batch_size,
           {.capture = !config.no_graph,
            .halt_on_non_finite = config.on_nan == OnNan::stop,
            .redraws = static_cast<std::uint32_t>(config.v_resample)}),
      test_evaluator(context, network, test_data.view(), *loss, kEvaluationBatch, !config.no_graph) {
  if (config.evaluate_train)
    train_evaluator.emplace(context, network, train_data.view(), *loss, kEvaluationBatch, !config.no_graph);
  if (images.validation) {
    validation_data.emplace(context, *images.validation, images.normalization, images.targets);
    validation_evaluator.emplace(context, network, validation_data->view(), *loss, kEvaluationBatch,
                                 !config.no_graph);
  }
  if (config.diagnose > 0) diagnoser.emplace(config, context, model, train_data.view());
  if (images.targets) {
    train_variance = target_variance(images.train, *images.targets);
    test_variance = target_variance(images.test, *images.targets);
    if (images.validation) validation_variance = target_variance(*images.validation, *images.targets);
  }
}

Training::Training(const TrainConfig& config, Context& context, TrainingParts& parts,
                   const TrainingPosition& start, const BestEpoch& best, std::function<bool()> stop,
                   Logger notice)
    : config_(&config),
      context_(&context),
      parts_(&parts),
      position_(start),
      best_(best),
      stop_(std::move(stop)),
      notice_(std::move(notice)) {}

bool Training::run(std::span<const std::unique_ptr<TrainingObserver>> observers) {
  while (!done()) {
    if (!run_epoch(observers)) return false;
  }
  return true;
}

bool Training::done() const {
  return position_.epoch >= config_->epochs || best_.ends(position_.epoch, config_->stop_early);
}

bool Training::run_epoch(std::span<const std::unique_ptr<TrainingObserver>> observers) {
  begin_epoch();
  TrainingLoop<float>& loop = parts_->loop;
  const auto stopped = [&] {
    pause();
    for (const auto& observer : observers) observer->stopped(*this);
    return false;
  };
  while (!loop.epoch_done()) {
    loop.step(steps_at_once(observers));
    if (!context_->is_cuda()) check_finite(loop.metrics());  // a GPU would have to be waited for
    for (const auto& observer : observers) observer->after_steps(*this);
    if (!loop.epoch_done() && stop_requested()) return stopped();
  }
  pause();
  steps_began_.reset();
  std::optional<EpochRecord> record = measure();
  if (!record) return stopped();
  keep_time();
  record->seconds = position_.seconds;
  evaluation_seconds_ = position_.seconds - position_.step_seconds;
  for (const auto& observer : observers) observer->measured(*this, *record);
  check_finite_end(*record);
  TrainingPosition next;
  next.epoch = record->epoch;
  next.counter.step = position_.counter.step;
  position_ = next;
  if (record->validation_loss) {
    best_.add(record->epoch, record->validation_r2 ? *record->validation_r2 : *record->validation_accuracy);
  }
  for (const auto& observer : observers) observer->after_epoch(*this, *record);
  return done() || !stop_requested();
}

void Training::begin_epoch() {
  const std::int64_t steps = parts_->loop.steps_per_epoch();
  const std::int64_t unit = schedule_unit_steps(*config_, steps);
  const ScheduleConfig rule = schedule(*config_, unit);
  rates_.resize(static_cast<std::size_t>(steps));
  for (std::int64_t i = 0; i < steps; ++i) {
    rates_[static_cast<std::size_t>(i)] =
        learning_rate(rule, *config_->lr, position_.epoch * steps + i, config_->schedule_total_steps * unit);
  }
  const std::int64_t samples = parts_->train_data.view().samples;
  std::vector<std::uint32_t> order(static_cast<std::size_t>(samples));
  shuffled_order(*config_->seed_data, static_cast<std::uint32_t>(position_.epoch), samples, order.data());
  parts_->loop.resume_epoch(order, rates_, position_.counter, position_.metrics);
  seconds_before_ = position_.seconds;
  epoch_began_ = Clock::now();
  resume();
}

// How many steps to queue before the host looks around again: on a GPU as many as one launch takes, but none
// beyond the next that an observer has to see.
std::int64_t Training::steps_at_once(std::span<const std::unique_ptr<TrainingObserver>> observers) const {
  std::int64_t count = context_->is_cuda() ? StepGraph::kRepetitions : 1;
  for (const auto& observer : observers) {
    const std::int64_t every = observer->every();
    if (every > 0) count = std::min(count, every - step() % every);
  }
  return count;
}

std::int64_t Training::step() const {
  return position_.epoch * parts_->loop.steps_per_epoch() + parts_->loop.steps_done();
}

void Training::keep_time() { position_.seconds = seconds_before_ + seconds_since(epoch_began_); }

void Training::pause() {
  position_.counter = parts_->loop.counter();  // waits for the device
  position_.metrics = parts_->loop.metrics();
  keep_time();
  if (steps_began_) {
    position_.step_seconds += seconds_since(*steps_began_);
    resume();
  }
  check_finite(position_.metrics);
}

// The epoch's figures, from position_.metrics and evaluation. Nothing where the user stopped it.
std::optional<EpochRecord> Training::measure() {
  const auto go_on = [this](std::int64_t) { return !stop_requested(); };
  const EpochMetrics& metrics = position_.metrics;
  const Scores train = scores(metrics);
  const std::optional<EpochMetrics> tested = parts_->test_evaluator.run(go_on);
  if (!tested) return std::nullopt;
  const Scores test = scores(*tested);
  EpochRecord record;
  record.epoch = position_.epoch + 1;
  record.step = static_cast<std::int64_t>(position_.counter.step);
  record.lr = rates_.back();
  record.train_loss = train.loss;
  record.train_residual_sq = train.residual_sq;
  const bool table = parts_->card.targets.has_value();
  const auto put = [&](const Scores& of, double variance, std::optional<double>& accuracy,
                       std::optional<double>& r2) {
    if (table) {
      r2 = r_squared(of, variance);
    } else {
      accuracy = of.accuracy;
    }
  };
  put(train, parts_->train_variance, record.train_accuracy, record.train_r2);
  record.test_loss = test.loss;
  record.test_residual_sq = test.residual_sq;
  put(test, parts_->test_variance, record.test_accuracy, record.test_r2);
  record.grad_norm = std::sqrt(metrics.gradient_norm_sq / static_cast<double>(metrics.steps));
  record.null_steps = metrics.null_steps;
  if (config_->v_resample > 0) record.v_redraws = metrics.redraws;
  record.images_per_second = static_cast<double>(metrics.samples) / position_.step_seconds;
  if (parts_->train_evaluator) {
    const std::optional<EpochMetrics> all = parts_->train_evaluator->run(go_on);
    if (!all) return std::nullopt;
    put(scores(*all), parts_->train_variance, record.train_accuracy_full, record.train_r2_full);
  }
  if (parts_->validation_evaluator) {
    const std::optional<EpochMetrics> all = parts_->validation_evaluator->run(go_on);
    if (!all) return std::nullopt;
    const Scores validation = scores(*all);
    record.validation_loss = validation.loss;
    record.validation_residual_sq = validation.residual_sq;
    put(validation, parts_->validation_variance, record.validation_accuracy, record.validation_r2);
  }
  if (parts_->diagnoser && record.epoch % config_->diagnose == 0)
    record.diagnosis = parts_->diagnoser->run(parts_->store, record.step);
  record.weights_sha256 = weights_sha256(parts_->store);
  return record;
}

// After the last step of an epoch no further loss would show what the step did to the weights.
void Training::check_finite_end(const EpochRecord& record) {
  if (warned_epoch_ == record.epoch) return;
  const std::string parameter = first_non_finite_parameter(parts_->store);
  if (parameter.empty() && std::isfinite(record.test_loss)) return;
  not_finite((parameter.empty() ? "the test loss is not finite after step "
                                : "the weights are not finite after step ") +
                 std::to_string(record.step) + " (epoch " + std::to_string(record.epoch) + ")" +
                 (parameter.empty() ? "" : "; the first that are not are " + in_quotes(parameter)),
             record.epoch, record.step, parameter);
}

void Training::check_finite(const EpochMetrics& metrics) {
  const std::int64_t epoch = position_.epoch + 1;
  if (metrics.first_non_finite_step < 0 || warned_epoch_ == epoch) return;
  const std::string name = parts_->loop.first_non_finite();
  const std::int64_t step =
      position_.epoch * parts_->loop.steps_per_epoch() + metrics.first_non_finite_step + 1;
  const bool loss = !std::isfinite(metrics.loss);
  const std::string where = !name.empty() ? "the first layer with a non-finite value is " + in_quotes(name)
                            : loss        ? "the first layer with a non-finite value is the loss itself"
                                          : "all layers' outputs are";
  not_finite(std::string(loss ? "the loss" : "the gradient") + " is not finite at step " +
                 std::to_string(step) + " (epoch " + std::to_string(epoch) + "); " + where,
             epoch, step, name);
}

void Training::not_finite(const std::string& message, std::int64_t epoch, std::int64_t step,
                          const std::string& layer) {
  if (config_->on_nan == OnNan::stop) {
    throw Diverged(message + "; lower --lr, or go on regardless with --on-nan continue", epoch, step, layer);
  }
  warned_epoch_ = epoch;
  if (notice_) notice_(message + "; going on (--on-nan continue)");
}

}  // namespace qmse
