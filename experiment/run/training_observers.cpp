#include "experiment/run/training_observers.h"

#include <cmath>
#include <utility>

#include "experiment/run/json_lines.h"

namespace qmse {
namespace {

using Clock = std::chrono::steady_clock;

// metrics.jsonl
class MetricsLog final : public TrainingObserver {
 public:
  explicit MetricsLog(const RunDirectory& directory)
      : directory_(&directory), log_(directory.metrics_file()) {}
  void measured(Training&, const EpochRecord& record) override {
    directory_->check_still_ours();
    log_.append(to_json(record));
    log_.sync();
  }

 private:
  const RunDirectory* directory_;
  JsonLines log_;
};

// steps.jsonl
class StepLog final : public TrainingObserver {
 public:
  StepLog(const RunDirectory& directory, std::int64_t every) : log_(directory.steps_file()), every_(every) {}
  std::int64_t every() const override { return every_; }
  void after_steps(Training& training) override {
    if (training.step() % every_ != 0) return;
    TrainingLoop<float>& loop = training.parts().loop;
    const EpochMetrics metrics = loop.metrics();
    training.check_finite(metrics);
    Json line;
    line["epoch"] = training.position().epoch + 1;
    line["step"] = training.step();
    line["lr"] = training.rate();
    line["loss"] = metrics.last_loss;
    line["grad_norm"] = std::sqrt(loop.counter().gradient_norm_sq);
    log_.append(line);
  }
  void sync() { log_.sync(); }

 private:
  JsonLines log_;
  std::int64_t every_;
};

class Progress final : public TrainingObserver {
 public:
  explicit Progress(const TrainingEvents& events) : events_(&events) {}
  void after_steps(Training& training) override {
    const bool done = training.parts().loop.epoch_done();
    if (!done && std::chrono::duration<double>(Clock::now() - shown_).count() < 0.1) return;
    training.pause();
    report(training);
    shown_ = Clock::now();
    training.resume();
  }

 private:
  void report(Training& training) const {
    const TrainingPosition& position = training.position();
    const EpochMetrics& metrics = position.metrics;
    const auto samples = static_cast<double>(metrics.samples);
    const auto index = static_cast<std::int64_t>(position.counter.index);
    const std::int64_t epochs_left = training.config().epochs - position.epoch;
    const std::int64_t steps = training.parts().loop.steps_per_epoch();
    const double step_seconds = position.step_seconds / static_cast<double>(metrics.steps);
    events_->progress({position.epoch + 1, training.config().epochs, index, steps, metrics.loss / samples,
                       training.parts().card.targets
                           ? std::nullopt
                           : std::optional<double>(static_cast<double>(metrics.correct) / samples),
                       position.step_seconds > 0 ? samples / position.step_seconds : 0.0,
                       step_seconds * static_cast<double>(epochs_left * steps - index) +
                           training.evaluation_seconds() * static_cast<double>(epochs_left)});
  }

  const TrainingEvents* events_;
  Clock::time_point shown_ = Clock::now();
};

class Snapshots final : public TrainingObserver {
 public:
  Snapshots(const RunDirectory& directory, std::int64_t every) : directory_(&directory), every_(every) {}
  void after_epoch(Training& training, const EpochRecord& record) override {
    if (record.epoch % every_ != 0) return;
    write_weights(directory_->snapshot_file(record.epoch), training.parts().store, training.parts().card,
                  record.step);
  }

 private:
  const RunDirectory* directory_;
  std::int64_t every_;
};

// best.safetensors
class Best final : public TrainingObserver {
 public:
  explicit Best(const RunDirectory& directory) : directory_(&directory) {}
  void after_epoch(Training& training, const EpochRecord& record) override {
    if (training.best().epoch() != record.epoch) return;
    write_weights(directory_->best_file(), training.parts().store, training.parts().card, record.step);
  }

 private:
  const RunDirectory* directory_;
};

class Checkpoints final : public TrainingObserver {
 public:
  // `every` steps too; 0: after epochs and stops only. `steps` may be null.
  Checkpoints(const RunDirectory& directory, std::int64_t every, StepLog* steps)
      : directory_(&directory), every_(every), steps_(steps) {}
  std::int64_t every() const override { return every_; }
  void after_steps(Training& training) override {
    if (every_ == 0 || training.step() % every_ != 0 || training.parts().loop.epoch_done()) return;
    training.pause();
    save(training);
    training.resume();
  }
  void stopped(Training& training) override { save(training); }
  void after_epoch(Training& training, const EpochRecord&) override { save(training); }

 private:
  void save(Training& training) {
    directory_->check_still_ours();
    if (steps_ != nullptr) steps_->sync();
    const TrainingParts& parts = training.parts();
    write_checkpoint(directory_->checkpoint_file(), parts.store, *parts.optimizer, training.position(),
                     parts.card, training.config());
  }

  const RunDirectory* directory_;
  std::int64_t every_;
  StepLog* steps_;
};

class Announcements final : public TrainingObserver {
 public:
  Announcements(const TrainingEvents& events, RunWarnings warnings)
      : events_(&events), warnings_(std::move(warnings)) {}
  void after_epoch(Training& training, const EpochRecord& record) override {
    const std::int64_t epochs = training.config().epochs;
    if (events_->epoch) events_->epoch(record, epochs);
    for (const std::string& text : warnings_.after(record, record.epoch == epochs)) {
      if (events_->notice) events_->notice(text);
    }
  }

 private:
  const TrainingEvents* events_;
  RunWarnings warnings_;
};

}  // namespace

std::vector<std::unique_ptr<TrainingObserver>> run_observers(const TrainConfig& config,
                                                             const RunDirectory& directory,
                                                             const TrainingEvents& events,
                                                             RunWarnings warnings) {
  std::vector<std::unique_ptr<TrainingObserver>> all;
  all.push_back(std::make_unique<MetricsLog>(directory));
  StepLog* steps = nullptr;
  if (config.log_steps > 0) {
    auto log = std::make_unique<StepLog>(directory, config.log_steps);
    steps = log.get();
    all.push_back(std::move(log));
  }
  if (events.progress) all.push_back(std::make_unique<Progress>(events));
  if (config.snapshot_every > 0) all.push_back(std::make_unique<Snapshots>(directory, config.snapshot_every));
  if (config.keep_best) all.push_back(std::make_unique<Best>(directory));
  all.push_back(std::make_unique<Checkpoints>(directory, config.checkpoint_every, steps));
  all.push_back(std::make_unique<Announcements>(events, std::move(warnings)));
  return all;
}

}  // namespace qmse
