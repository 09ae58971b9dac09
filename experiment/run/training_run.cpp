#include "experiment/run/training_run.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/in_quotes.h"
#include "base/name_text.h"
#include "data/registry.h"
#include "device/device.h"
#include "experiment/run/environment.h"
#include "experiment/run/json_lines.h"
#include "experiment/run/plain_text.h"
#include "experiment/run/run_directory.h"
#include "experiment/run/run_outcome.h"
#include "experiment/run/run_record.h"
#include "experiment/run/run_settings.h"
#include "experiment/run/run_warnings.h"
#include "experiment/run/setup.h"
#include "experiment/run/tensor_digest.h"
#include "experiment/run/training.h"
#include "experiment/run/training_observers.h"
#include "experiment/run/weights_file.h"
#include "experiment/run/weights_source.h"

namespace qmse {

class TrainingRun::Impl {
 public:
  Impl(const Json& given, TrainingEvents events, ImageCache* shared_images, ContextCache* contexts)
      : events_(std::move(events)), settings_(given), directory_(settings_.config().out) {
    settings_.settle(directory_);
    if (!directory_.locked()) {
      notice("the file system of " + in_quotes(directory_.path()) +
             " has no file locks: nothing keeps a second qmse out of this run, so start none");
    }
    std::optional<SafetensorsFile> checkpoint;
    if (settings_.resuming()) find_position(checkpoint);
    if (all_steps_done()) return;
    const bool automatic = parse_device(config().device).kind == Device::Kind::automatic;
    ContextCache own_contexts;
    context_ = (contexts != nullptr ? *contexts : own_contexts).get(config());
    settings_.resolve_machine(*context_);
    notice("device " + context_->device_name() + describe_machine(*context_, automatic));
    {
      ImageCache own_images;
      build(*(shared_images != nullptr ? *shared_images : own_images).get(config(), events_.stop_loading));
    }
    Json record = start_record(config());
    record.update(environment(*context_));
    if (checkpoint) {
      restore(*checkpoint);
    } else {
      initialize_weights(record);
    }
    record["data"] = describe_data();
    add_algorithms(record);
    cut_logs();
    try {
      begin(record);
    } catch (const std::exception& error) {
      if (directory_.holds_a_run()) record_failure(ended(RunEnd::failed, error.what()));
      throw;
    }
  }

  const TrainConfig& config() const { return settings_.config(); }
  const MemoryResource* memory() const { return context_ ? &context_->memory() : nullptr; }

  TrainingOutcome run() {
    if (!training_) return complete();
    try {
      const bool finished = training_->run(observers_);
      if (finished) {
        directory_.check_still_ours();
        write_weights(directory_.model_file(), parts_->store, parts_->card, step());
        if (position().epoch < config().epochs)
          notice("stopped early after epoch " + std::to_string(position().epoch) +
                 ": no better validation accuracy since epoch " + std::to_string(training_->best().epoch()));
      }
      directory_.record_outcome(ended(finished ? RunEnd::finished : RunEnd::stopped));
      return finished ? TrainingOutcome::finished : TrainingOutcome::stopped;
    } catch (const Diverged& diverged) {
      record_failure(diverged.outcome());
      throw;
    } catch (const std::exception& error) {
      record_failure(ended(RunEnd::failed, error.what()));
      throw;
    }
  }

 private:
  // The first records. Whatever fails before them leaves the directory as it was.
  void begin(const Json& record) {
    directory_.write_config(config());
    directory_.record_outcome(ended(RunEnd::none));
    directory_.record_environment(record, step());
    observers_ = run_observers(config(), directory_, events_, *warnings_);
    training_.emplace(config(), *context_, *parts_, position_, best_, events_.stop, events_.notice);
  }

  const TrainingPosition& position() const { return training_ ? training_->position() : position_; }
  bool all_steps_done() const {
    return position_.epoch >= config().epochs || best_.ends(position_.epoch, config().stop_early);
  }

  // What a kill after the last step may have left undone; needs neither data nor device.
  TrainingOutcome complete() {
    const bool written = has_final_weights();
    if (written) check_recorded_weights(directory_.model_file());
    if (written && read_outcome(directory_.path()).end == RunEnd::finished &&
        directory_.recorded_config().epochs == config().epochs)
      return TrainingOutcome::already_finished;
    directory_.check_still_ours();
    cut_logs();
    directory_.write_config(config());
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

  // Where the run to go on with stands, and its checkpoint where there is one.
  void find_position(std::optional<SafetensorsFile>& checkpoint) {
    if (!std::filesystem::exists(directory_.checkpoint_file())) return look_without_checkpoint();
    position_ = read_position(checkpoint.emplace(directory_.checkpoint_file()));
    check_same_training(*checkpoint);
    check_epochs();
    if (config().validation > 0) {
      std::vector<Json> epochs = read_run(directory_.path()).epochs;
      epochs.resize(std::min(epochs.size(), static_cast<std::size_t>(position_.epoch)));
      best_ = best_epoch(epochs);
    }
  }

  // A checkpoint of a run with other settings, or settings changed in config.json by hand, would join two
  // trainings.
  void check_same_training(const SafetensorsFile& checkpoint) const {
    std::optional<TrainConfig> then = recorded_config(checkpoint);
    if (!then) return;
    if (!then->init_from.empty() && !config().init_from.empty())
      then->init_from = config().init_from;  // the path does not count
    std::string differences;
    for (const std::string& conflict : resume_conflicts(config(), *then))
      differences += (differences.empty() ? "" : "; ") + conflict;
    if (differences.empty()) return;
    throw DataError(in_quotes(checkpoint.path()) + " is of a training with other settings than " +
                    in_quotes(directory_.config_file()) + " has: " + differences +
                    "; put back the file that belongs to the other, or start another run in another --out");
  }

  // A run that was killed before its first checkpoint begins anew; one whose checkpoint was taken away must
  // not lose what it has measured.
  void look_without_checkpoint() {
    if (!std::filesystem::exists(directory_.metrics_file())) return;
    const RunRecord record = read_run(directory_.path());
    const auto epochs = static_cast<std::int64_t>(record.epochs.size());
    const bool ended = read_outcome(directory_.path()).end == RunEnd::finished;
    if (epochs <= 1 && !ended) return;
    const BestEpoch best = best_epoch(record.epochs);
    if (ended && (epochs == config().epochs || best.ends(epochs, config().stop_early))) {
      best_ = best;
      position_.epoch = epochs;
      position_.counter.step = record.epochs.back().value("step", std::uint64_t{0});
      return;
    }
    throw ConfigError(in_quotes(directory_.path()) + " has the metrics of " + std::to_string(epochs) +
                      " epochs but no checkpoint.safetensors to go on from: put it back, or start another " +
                      "run in another --out" +
                      (ended ? ", with --init-from " + in_quotes(directory_.model_file()) : ""));
  }

  std::int64_t step() const { return static_cast<std::int64_t>(position().counter.step); }

  // Here, at position().
  RunOutcome ended(RunEnd end, const std::string& reason = "") const {
    const std::int64_t begun = position().epoch + (position().counter.index > 0 ? 1 : 0);
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
    if (images.validation) images_["validation"] = images.validation->count;
    classes_ = images.train.class_names;
    settings_.set_data(images.data);
    notice(images.train.name + ": " + std::to_string(images.train.count) + " training" +
           (images.validation ? ", " + std::to_string(images.validation->count) + " validation" : "") +
           " and " + std::to_string(images.test.count) +
           (images.train.is_table() ? " test rows from " : " test images from ") +
           printable(images.directory.native()));
    if (!images.warning.empty()) notice(images.warning);
    warnings_.emplace(config(), images.train, images.test);
    parts_ = std::make_unique<TrainingParts>(config(), *context_, images);
    const std::int64_t steps = parts_->loop.steps_per_epoch();
    settings_.set_total_steps(steps);
    if (steps > std::numeric_limits<std::uint32_t>::max() / config().epochs) {
      throw ConfigError("--epochs " + std::to_string(config().epochs) + " of " + std::to_string(steps) +
                        " steps are more than 2^32 steps, which the random numbers are made for");
    }
    notice("model " + config().model + " with " + std::to_string(parts_->store.parameter_count()) +
           " parameters, loss " + config().loss + ", " + counted(steps, "step") + " an epoch");
  }

  // What the results were obtained on: official data or something else.
  Json describe_data() {
    const ContentReport& content = content_.get();
    if (content.kind == ContentKind::differs) {
      notice("these are not the official files of " + config().dataset + ": " + content.summary +
             " (qmse data verify " + config().dataset + " tells where)");
    }
    Json json;
    json["name"] = config().dataset;
    if (!content.sha256.empty()) json["sha256"] = content.sha256;
    json["content"] = content.summary;
    json["images"] = images_;
    json["classes"] = classes_;
    return json;
  }

  void add_algorithms(Json& record) const {
    for (const Tape::Choice& choice : parts_->loop.choices()) {
      record["algorithms"][choice.node] = choice.algorithm;
      if (choice.slow) {
        notice(choice.node +
               " runs on plain loops, several times slower: oneDNN has no fast kernel for it here" +
               " (environment.json has its answer)");
      }
    }
  }

  // Adds to `record` what the weights are where they are another run's.
  void initialize_weights(Json& record) {
    if (settings_.resuming()) {
      notice("no checkpoint in " + in_quotes(directory_.path()) + ": starting from the beginning");
    }
    if (config().init_from.empty()) {
      parts_->store.initialize(config().init, *config().seed_init);
    } else {
      const WeightsSource source = find_weights(config().init_from);
      if (!source.note.empty()) notice(source.note);
      read_weights(SafetensorsFile(source.file), parts_->store);
      record["init_from"]["sha256"] = weights_sha256(parts_->store);
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
    const Json recorded = directory_.recorded_environment();
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
                      " epochs where the checkpoint has " + std::to_string(position_.epoch) +
                      "; put back the file that belongs to it, or start the run again in another --out");
    }
    JsonLines::cut_back(directory_.steps_file(), "step", step());
  }

  TrainingEvents events_;
  RunSettings settings_;
  RunDirectory directory_;
  std::shared_ptr<Context> context_;
  std::unique_ptr<TrainingParts> parts_;
  std::optional<RunWarnings> warnings_;
  std::shared_future<ContentReport> content_;
  Json images_, classes_;      // how many of which shape, and the names
  TrainingPosition position_;  // to start from
  BestEpoch best_;             // of the epochs before it
  std::vector<std::unique_ptr<TrainingObserver>> observers_;
  std::optional<Training> training_;  // none where there are no steps left to do
};

TrainingRun::TrainingRun(const Json& given, TrainingEvents events, ImageCache* images, ContextCache* contexts)
    : impl_(std::make_unique<Impl>(given, std::move(events), images, contexts)) {}
TrainingRun::~TrainingRun() = default;
const TrainConfig& TrainingRun::config() const { return impl_->config(); }
const MemoryResource* TrainingRun::memory() const { return impl_->memory(); }
TrainingOutcome TrainingRun::run() { return impl_->run(); }

}  // namespace qmse
