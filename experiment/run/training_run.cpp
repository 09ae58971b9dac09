#include "experiment/run/training_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "data/registry.h"
#include "data/resident_dataset.h"
#include "engine/in_quotes.h"
#include "engine/name_text.h"
#include "engine/training_loop.h"
#include "experiment/run/checkpoint.h"
#include "experiment/run/environment.h"
#include "experiment/run/evaluation.h"
#include "experiment/run/json_lines.h"
#include "experiment/run/run_directory.h"
#include "experiment/run/run_outcome.h"
#include "experiment/run/run_record.h"
#include "experiment/run/run_settings.h"
#include "experiment/run/run_warnings.h"
#include "experiment/run/setup.h"
#include "experiment/run/tensor_digest.h"
#include "experiment/run/weights_file.h"
#include "kernels/core/shuffle.h"

namespace qmse {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Everything a training computes with, built once. Later members use earlier ones.
struct Parts {
  Parts(const TrainConfig& config, Context& context, const TrainingImages& images)
      : card(make_card(config, images.train, images.normalization)),
        train_data(context, images.train, images.normalization),
        test_data(context, images.test, images.normalization),
        model(make_model(card.model)),
        store(context, DType::f32, model.parameters()),
        network([this](Tape& tape, Value input) { return model.record(tape, store, input); }),
        loss(make_loss(config)),
        optimizer(make_optimizer(config, store)),
        loop(context, network, train_data.view(), *loss, *optimizer, config.batch_size,
             {.capture = !config.no_graph, .halt_on_non_finite = config.on_nan == OnNan::stop}),
        test_evaluator(context, network, test_data.view(), *loss, kEvaluationBatch, !config.no_graph) {
    if (config.evaluate_train) {
      train_evaluator.emplace(context, network, train_data.view(), *loss, kEvaluationBatch, !config.no_graph);
    }
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  ModelCard card;
  ResidentDataset<float> train_data, test_data;
  Sequential model;
  ParameterStore store;
  Network network;
  std::unique_ptr<Loss> loss;
  std::unique_ptr<Optimizer> optimizer;
  TrainingLoop<float> loop;
  Evaluator<float> test_evaluator;
  std::optional<Evaluator<float>> train_evaluator;
};

struct Interrupted {};  // thrown out of an evaluation that the user stops

}  // namespace

ConfigJson to_json(const EpochRecord& record) {
  ConfigJson json;
  json["epoch"] = record.epoch;
  json["step"] = record.step;
  json["lr"] = record.lr;
  json["train_loss"] = record.train_loss;
  json["train_residual_sq"] = record.train_residual_sq;
  json["train_accuracy"] = record.train_accuracy;
  json["test_loss"] = record.test_loss;
  json["test_residual_sq"] = record.test_residual_sq;
  json["test_accuracy"] = record.test_accuracy;
  json["grad_norm"] = record.grad_norm;
  json["seconds"] = record.seconds;
  json["images_per_second"] = record.images_per_second;
  if (record.train_accuracy_full) json["train_accuracy_full"] = *record.train_accuracy_full;
  json["weights_sha256"] = record.weights_sha256;
  return json;
}

class TrainingRun::Impl {
 public:
  Impl(const ConfigJson& given, TrainingEvents events, ImageCache* shared_images)
      : events_(std::move(events)), settings_(given), directory_(settings_.config().out) {
    settings_.settle(directory_);
    if (!directory_.locked()) {
      notice("the file system of " + in_quotes(directory_.path()) +
             " has no file locks: nothing keeps a second qmse out of this run, so start none");
    }
    std::optional<SafetensorsFile> checkpoint;
    if (settings_.resuming()) {
      if (std::filesystem::exists(directory_.checkpoint_file())) {
        checkpoint.emplace(directory_.checkpoint_file());
        position_ = read_position(*checkpoint);
        check_epochs();
      } else {
        look_without_checkpoint();
      }
      if (all_steps_done()) return;
    }
    const bool automatic = config().device == "auto";
    context_ = make_context(config());
    settings_.resolve_machine(*context_);
    notice("device " + context_->device_name() + describe_machine(*context_, automatic));
    {
      ImageCache own_images;
      build(*(shared_images != nullptr ? *shared_images : own_images).get(config()));
    }
    if (checkpoint) {
      restore(*checkpoint);
    } else {
      initialize_weights();
    }
    cut_logs();
    directory_.record_outcome(ended(RunEnd::none));
    directory_.write_config(config());
    ConfigJson record = environment(*context_);
    record["data"] = describe_data();
    for (const Tape::Choice& choice : parts_->loop.choices()) {
      record["algorithms"][choice.node] = choice.algorithm;
      if (choice.slow) {
        notice(choice.node +
               " runs on plain loops, several times slower: oneDNN has no fast kernel for it here" +
               " (environment.json has its answer)");
      }
    }
    directory_.record_environment(record, static_cast<std::int64_t>(position_.counter.step));
    metrics_log_ = JsonLines(directory_.metrics_file());
    if (config().log_steps > 0) steps_log_ = JsonLines(directory_.steps_file());
  }

  const TrainConfig& config() const { return settings_.config(); }
  const MemoryResource* memory() const { return context_ ? &context_->memory() : nullptr; }

  TrainingOutcome run() {
    if (!parts_) return complete();
    try {
      const TrainingOutcome outcome = train();
      directory_.record_outcome(
          ended(outcome == TrainingOutcome::stopped ? RunEnd::stopped : RunEnd::finished));
      return outcome;
    } catch (const Diverged& diverged) {
      record_failure(diverged.outcome());
      throw;
    } catch (const std::exception& error) {
      record_failure(ended(RunEnd::failed, error.what()));
      throw;
    }
  }

 private:
  bool all_steps_done() const { return position_.epoch >= config().epochs; }

  // The rest of the steps, and the final weights.
  TrainingOutcome train() {
    while (!all_steps_done()) {
      if (!run_epoch()) return TrainingOutcome::stopped;
    }
    directory_.check_still_ours();
    write_weights(directory_.model_file(), parts_->store, parts_->card, step());
    return TrainingOutcome::finished;
  }

  // What a kill after the last step may have left undone; needs neither data nor device.
  TrainingOutcome complete() {
    if (has_final_weights() && read_outcome(directory_.path()).end == RunEnd::finished &&
        directory_.recorded_config().epochs == config().epochs)
      return TrainingOutcome::already_finished;
    directory_.check_still_ours();
    cut_logs();
    directory_.write_config(config());
    const bool written = has_final_weights();
    if (!written)
      write_weights_of(SafetensorsFile(directory_.checkpoint_file()), directory_.model_file(), step());
    directory_.record_outcome(ended(RunEnd::finished));
    return written ? TrainingOutcome::already_finished : TrainingOutcome::finished;
  }

  // Whether model.safetensors is of this step, and not of a shorter run that was extended since, or cut
  // short itself. One without a step is written again where there is something to write it from.
  bool has_final_weights() const {
    try {
      const std::optional<std::int64_t> recorded = read_step(SafetensorsFile(directory_.model_file()));
      return recorded ? *recorded == step() : !std::filesystem::exists(directory_.checkpoint_file());
    } catch (const Error&) {
      return false;
    }
  }

  // A run that was killed before its first checkpoint begins anew; one whose checkpoint was taken away must
  // not lose what it has measured.
  void look_without_checkpoint() {
    if (!std::filesystem::exists(directory_.metrics_file())) return;
    const RunRecord record = read_run(directory_.path());
    const auto epochs = static_cast<std::int64_t>(record.epochs.size());
    const bool ended = read_outcome(directory_.path()).end == RunEnd::finished;
    if (epochs <= 1 && !ended) return;
    if (ended && epochs == config().epochs) {
      position_.epoch = epochs;
      position_.counter.step = record.epochs.back().value("step", std::uint64_t{0});
      return;
    }
    throw ConfigError(in_quotes(directory_.path()) + " has the metrics of " + std::to_string(epochs) +
                      " epochs but no checkpoint.safetensors to go on from: put it back, or start another " +
                      "run in another --out" +
                      (ended ? ", with --init-from " + in_quotes(directory_.model_file()) : ""));
  }

  std::int64_t step() const { return static_cast<std::int64_t>(position_.counter.step); }

  // Here, at position_.
  RunOutcome ended(RunEnd end, const std::string& reason = "") const {
    const std::int64_t begun = position_.epoch + (position_.counter.index > 0 ? 1 : 0);
    return {end, begun, step(), "", reason};
  }

  // The error itself goes on: one that comes of recording it, on a full disk say, must not hide it.
  void record_failure(const RunOutcome& outcome) const noexcept {
    try {
      directory_.record_outcome(outcome);
    } catch (const std::exception&) {
    }
  }

  void notice(const std::string& text) const {
    if (events_.notice) events_.notice(text);
  }

  bool stop_requested() const { return events_.stop && events_.stop(); }

  void check_epochs() const {
    const bool inside = position_.counter.index > 0;
    if (position_.epoch + (inside ? 1 : 0) > config().epochs) {
      throw ConfigError("--epochs is " + std::to_string(config().epochs) + ", but the run in " +
                        in_quotes(directory_.path()) + " is already " +
                        (inside ? "in epoch " + std::to_string(position_.epoch + 1)
                                : "through epoch " + std::to_string(position_.epoch)));
    }
  }

  void build(const TrainingImages& images) {
    content_ = images.content;
    images_ = {{"train", images.train.count},
               {"test", images.test.count},
               {"shape", {images.shape[0], images.shape[1], images.shape[2]}}};
    classes_ = images.train.class_names;
    settings_.set_data(images.data);
    notice(images.train.name + ": " + std::to_string(images.train.count) + " training and " +
           std::to_string(images.test.count) + " test images from " + printable(images.directory.native()));
    if (!images.warning.empty()) notice(images.warning);
    warnings_.emplace(config(), images.train, images.test);
    parts_ = std::make_unique<Parts>(config(), *context_, images);
    const std::int64_t steps = parts_->loop.steps_per_epoch();
    settings_.set_total_steps(steps);
    if (steps > std::numeric_limits<std::uint32_t>::max() / config().epochs) {
      throw ConfigError("--epochs " + std::to_string(config().epochs) + " of " + std::to_string(steps) +
                        " steps are more than 2^32 steps, which the random numbers are made for");
    }
    notice("model " + config().model + " with " + std::to_string(parts_->store.parameter_count()) +
           " parameters, loss " + config().loss + ", " + std::to_string(steps) + " steps an epoch");
  }

  // What the results were obtained on: official data or something else.
  ConfigJson describe_data() {
    const ContentReport& content = content_.get();
    if (content.kind == ContentKind::differs) {
      notice("these are not the official files of " + config().dataset + ": " + content.summary +
             " (qmse data verify " + config().dataset + " tells where)");
    }
    ConfigJson json;
    json["name"] = config().dataset;
    if (!content.sha256.empty()) json["sha256"] = content.sha256;
    json["content"] = content.summary;
    json["images"] = images_;
    json["classes"] = classes_;
    return json;
  }

  void initialize_weights() {
    if (settings_.resuming()) {
      notice("no checkpoint in " + in_quotes(directory_.path()) + ": starting from the beginning");
    }
    if (config().init_from.empty()) {
      parts_->store.initialize(config().init, *config().seed_init);
    } else {
      read_weights(SafetensorsFile(config().init_from), parts_->store);
    }
  }

  void restore(const SafetensorsFile& checkpoint) {
    read_checkpoint(checkpoint, parts_->store, *parts_->optimizer);
    check_position(position_, parts_->train_data.view().samples, config().batch_size, checkpoint.path());
    check_same_images(checkpoint);
    const StepCounter& counter = position_.counter;
    notice("going on in " + in_quotes(directory_.path()) + " after step " + std::to_string(counter.step) +
           ", epoch " + std::to_string(position_.epoch + (counter.index > 0 ? 1 : 0)));
  }

  // Content counts, and not where it lies.
  void check_same_images(const SafetensorsFile& checkpoint) {
    const ModelCard then = read_card(checkpoint);
    const ModelCard& now = parts_->card;
    const bool alike = then.dataset == now.dataset && then.class_names == now.class_names &&
                       then.normalization.mean == now.normalization.mean &&
                       then.normalization.stddev == now.normalization.stddev;
    const ConfigJson recorded = directory_.recorded_environment();
    const auto data = recorded.find("data");
    const std::string sha256 = data != recorded.end() && data->is_object() && data->contains("sha256") &&
                                       (*data)["sha256"].is_string()
                                   ? (*data)["sha256"].get<std::string>()
                                   : "";
    const std::string sha256_now = content_.get().sha256;
    const bool same = sha256.empty() || sha256_now.empty() || sha256 == sha256_now;
    if (alike && same) return;
    throw DataError("the images in " + in_quotes(config().data) + " have changed since the run in " +
                    in_quotes(directory_.path()) +
                    " began: give --data the ones it was trained on, or start another run in another --out");
  }

  // The logs as they were at the position to start from.
  void cut_logs() const {
    const std::int64_t lines = JsonLines::cut_back(directory_.metrics_file(), "epoch", position_.epoch);
    if (lines != position_.epoch) {
      throw DataError(in_quotes(directory_.metrics_file()) + ": has " + std::to_string(lines) +
                      " epochs where the checkpoint has " + std::to_string(position_.epoch));
    }
    JsonLines::cut_back(directory_.steps_file(), "step", step());
  }

  // False where the user stopped it.
  bool run_epoch() {
    TrainingLoop<float>& loop = parts_->loop;
    const std::int64_t steps = loop.steps_per_epoch();
    const std::int64_t first_step = position_.epoch * steps;
    const ScheduleConfig rule = schedule(config());
    std::vector<double> rates(static_cast<std::size_t>(steps));
    for (std::int64_t i = 0; i < steps; ++i) {
      rates[static_cast<std::size_t>(i)] =
          learning_rate(rule, *config().lr, first_step + i, config().schedule_total_steps);
    }
    std::vector<std::uint32_t> order(static_cast<std::size_t>(parts_->train_data.view().samples));
    shuffled_order(*config().seed_data, static_cast<std::uint32_t>(position_.epoch),
                   parts_->train_data.view().samples, order.data());
    loop.resume_epoch(order, rates, position_.counter, position_.metrics);

    const TrainingPosition before = position_;
    const Clock::time_point start = Clock::now();
    const auto keep_time = [&] { position_.seconds = before.seconds + seconds_since(start); };
    if (!run_steps(rates)) {
      keep_time();
      save();
      return false;
    }
    EpochRecord record;
    try {
      record = measure(rates.back());
    } catch (const Interrupted&) {
      keep_time();
      save();
      return false;
    }
    keep_time();
    record.seconds = position_.seconds;
    evaluation_seconds_ = record.seconds - position_.step_seconds;
    end_epoch(record);
    return position_.epoch == config().epochs || !stop_requested();
  }

  // How many steps to queue before the host looks around again: on a GPU as many as one launch takes, but
  // none beyond the next that is logged or kept.
  std::int64_t steps_at_once(std::int64_t done) const {
    std::int64_t count = context_->is_cuda() ? StepGraph::kRepetitions : 1;
    for (const std::int64_t every : {config().log_steps, config().checkpoint_every}) {
      if (every > 0) count = std::min(count, every - done % every);
    }
    return count;
  }

  // The rest of the epoch's steps. Returns false, with position_ up to date, where the user stopped it.
  bool run_steps(const std::vector<double>& rates) {
    TrainingLoop<float>& loop = parts_->loop;
    Clock::time_point resumed = Clock::now();  // step_seconds counts from here
    Clock::time_point shown = resumed;
    const auto pause = [&] {
      position_.counter = loop.counter();  // waits for the device
      position_.metrics = loop.metrics();
      position_.step_seconds += seconds_since(resumed);
      resumed = Clock::now();
      check_finite(position_.metrics);
    };
    while (!loop.epoch_done()) {
      const std::int64_t epoch_start = position_.epoch * loop.steps_per_epoch();
      loop.step(steps_at_once(epoch_start + loop.steps_done()));
      const std::int64_t step = epoch_start + loop.steps_done();
      const bool logs = config().log_steps > 0 && step % config().log_steps == 0;
      if (logs || !context_->is_cuda()) check_finite(loop.metrics());  // a GPU would have to be waited for
      if (logs) log_step(step, rates);
      if (events_.progress && seconds_since(shown) >= 0.1) {
        pause();
        report_progress();
        shown = resumed = Clock::now();
      }
      if (loop.epoch_done()) break;
      if (stop_requested()) {
        pause();
        return false;
      }
      if (config().checkpoint_every > 0 && step % config().checkpoint_every == 0) {
        pause();
        save();
        resumed = Clock::now();
      }
    }
    pause();
    if (events_.progress) report_progress();
    return true;
  }

  void log_step(std::int64_t step, const std::vector<double>& rates) {
    const StepCounter counter = parts_->loop.counter();
    ConfigJson line;
    line["epoch"] = position_.epoch + 1;
    line["step"] = step;
    line["lr"] = rates[counter.index - 1];
    line["loss"] = parts_->loop.metrics().last_loss;
    line["grad_norm"] = std::sqrt(counter.gradient_norm_sq);
    steps_log_.append(line);
  }

  void report_progress() const {
    const EpochMetrics& metrics = position_.metrics;
    const double samples = static_cast<double>(metrics.samples);
    const std::int64_t steps_left = (config().epochs - position_.epoch) * parts_->loop.steps_per_epoch() -
                                    static_cast<std::int64_t>(position_.counter.index);
    const double step_seconds = position_.step_seconds / static_cast<double>(metrics.steps);
    events_.progress({position_.epoch + 1, config().epochs,
                      static_cast<std::int64_t>(position_.counter.index), parts_->loop.steps_per_epoch(),
                      metrics.loss / samples, static_cast<double>(metrics.correct) / samples,
                      position_.step_seconds > 0 ? samples / position_.step_seconds : 0.0,
                      step_seconds * static_cast<double>(steps_left) +
                          evaluation_seconds_ * static_cast<double>(config().epochs - position_.epoch)});
  }

  // After the last step of an epoch no further loss would show what the step did to the weights.
  void check_finite_end(const EpochRecord& record) {
    if (warned_epoch_ == position_.epoch) return;
    const std::string parameter = first_non_finite_parameter();
    if (parameter.empty() && std::isfinite(record.test_loss)) return;
    not_finite((parameter.empty() ? "the test loss is not finite after step "
                                  : "the weights are not finite after step ") +
                   std::to_string(record.step) + " (epoch " + std::to_string(record.epoch) + ")" +
                   (parameter.empty() ? "" : "; the first that are not are " + in_quotes(parameter)),
               record.step, parameter);
  }

  std::string first_non_finite_parameter() const {
    const ParameterStore& store = parts_->store;
    for (std::size_t i = 0; i < store.size(); ++i) {
      const std::vector<float> values = store.read<float>(store.weights(), i);
      if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }))
        return store.spec(i).name;
    }
    return "";
  }

  void check_finite(const EpochMetrics& metrics) {
    if (metrics.first_non_finite_step < 0 || warned_epoch_ == position_.epoch) return;
    const std::string name = parts_->loop.first_non_finite();
    const std::int64_t step =
        position_.epoch * parts_->loop.steps_per_epoch() + metrics.first_non_finite_step + 1;
    const bool loss = !std::isfinite(metrics.loss);
    const std::string where = !name.empty() ? "the first layer with a non-finite value is " + in_quotes(name)
                              : loss        ? "the first layer with a non-finite value is the loss itself"
                                            : "all layers' outputs are";
    not_finite(std::string(loss ? "the loss" : "the gradient") + " is not finite at step " +
                   std::to_string(step) + " (epoch " + std::to_string(position_.epoch + 1) + "); " + where,
               step, name);
  }

  void not_finite(const std::string& message, std::int64_t step, const std::string& layer) {
    if (config().on_nan == OnNan::stop) {
      throw Diverged(message + "; lower --lr, or go on regardless with --on-nan continue",
                     position_.epoch + 1, step, layer);
    }
    warned_epoch_ = position_.epoch;
    notice(message + "; going on (--on-nan continue)");
  }

  // The epoch's figures, from position_.metrics and evaluation. Throws Interrupted where the user stops it.
  EpochRecord measure(double last_rate) {
    const Evaluator<float>::OnBatch watch = [this](std::int64_t) {
      if (stop_requested()) throw Interrupted{};
    };
    const EpochMetrics& metrics = position_.metrics;
    const Scores train = scores(metrics);
    const Scores test = scores(parts_->test_evaluator.run(watch));
    EpochRecord record;
    record.epoch = position_.epoch + 1;
    record.step = static_cast<std::int64_t>(position_.counter.step);
    record.lr = last_rate;
    record.train_loss = train.loss;
    record.train_residual_sq = train.residual_sq;
    record.train_accuracy = train.accuracy;
    record.test_loss = test.loss;
    record.test_residual_sq = test.residual_sq;
    record.test_accuracy = test.accuracy;
    record.grad_norm = std::sqrt(metrics.gradient_norm_sq / static_cast<double>(metrics.steps));
    record.images_per_second = static_cast<double>(metrics.samples) / position_.step_seconds;
    if (parts_->train_evaluator)
      record.train_accuracy_full = scores(parts_->train_evaluator->run(watch)).accuracy;
    record.weights_sha256 = weights_sha256(parts_->store);
    return record;
  }

  // The order matters: a checkpoint says that all before it is on the disk.
  void end_epoch(const EpochRecord& record) {
    directory_.check_still_ours();
    metrics_log_.append(to_json(record));
    metrics_log_.sync();
    check_finite_end(record);
    if (config().snapshot_every > 0 && record.epoch % config().snapshot_every == 0) {
      write_weights(directory_.snapshot_file(record.epoch), parts_->store, parts_->card, record.step);
    }
    TrainingPosition next;
    next.epoch = record.epoch;
    next.counter.step = position_.counter.step;
    position_ = next;
    save();
    if (events_.epoch) events_.epoch(record, config().epochs);
    for (const std::string& text : warnings_->after(record, record.epoch == config().epochs)) notice(text);
  }

  void save() {
    directory_.check_still_ours();
    steps_log_.sync();
    write_checkpoint(directory_.checkpoint_file(), parts_->store, *parts_->optimizer, position_, parts_->card,
                     config());
  }

  TrainingEvents events_;
  RunSettings settings_;
  RunDirectory directory_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<Parts> parts_;
  std::optional<RunWarnings> warnings_;
  std::shared_future<ContentReport> content_;
  ConfigJson images_, classes_;  // how many of which shape, and the names
  TrainingPosition position_;
  JsonLines metrics_log_, steps_log_;
  double evaluation_seconds_ = 0;  // of the last epoch, all that were no steps; unknown in the first
  std::int64_t warned_epoch_ = -1;
};

TrainingRun::TrainingRun(const ConfigJson& given, TrainingEvents events, ImageCache* images)
    : impl_(std::make_unique<Impl>(given, std::move(events), images)) {}
TrainingRun::~TrainingRun() = default;
const TrainConfig& TrainingRun::config() const { return impl_->config(); }
const MemoryResource* TrainingRun::memory() const { return impl_->memory(); }
TrainingOutcome TrainingRun::run() { return impl_->run(); }

}  // namespace qmse
