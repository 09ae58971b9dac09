// The training itself: epochs of steps, evaluation, and what listens to it. Knows of no file.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/logger.h"
#include "data/resident_dataset.h"
#include "engine/training_loop.h"
#include "experiment/run/best_epoch.h"
#include "experiment/run/checkpoint.h"
#include "experiment/run/diagnosis.h"
#include "experiment/run/epoch_record.h"
#include "experiment/run/run_settings.h"

namespace qmse {

// Everything a training computes with, built once. Later members use earlier ones.
struct TrainingParts {
  // `context` must outlive it, `images` need not.
  TrainingParts(const TrainConfig& config, Context& context, const TrainingImages& images);
  TrainingParts(const TrainingParts&) = delete;
  TrainingParts& operator=(const TrainingParts&) = delete;

  ModelCard card;
  ResidentDataset<float> train_data, test_data;
  Sequential model;
  ParameterStore store;
  Network network;
  std::unique_ptr<Loss> loss;
  std::unique_ptr<Optimizer> optimizer;
  TrainingLoop<float> loop;
  Evaluator<float> test_evaluator;
  std::optional<Evaluator<float>> train_evaluator;        // --evaluate-train
  std::optional<ResidentDataset<float>> validation_data;  // --validation
  std::optional<Evaluator<float>> validation_evaluator;
  // Of a table: the mean of ||y - mean y||^2 over the set's rows, y being standardised as in training.
  double train_variance = 0, test_variance = 0, validation_variance = 0;
  std::optional<Diagnoser> diagnoser;  // --diagnose
};

class Training;

// What goes on beside the training. Each call goes to all observers in their
// order; what one throws ends the training.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  // It has to be called after each step whose number is a multiple of this; 0: wherever the host looks up, on
  // a GPU after a launch of several steps.
  virtual std::int64_t every() const { return 0; }
  virtual void after_steps(Training&) {}
  virtual void stopped(Training&) {}                          // by the user, inside an epoch
  virtual void measured(Training&, const EpochRecord&) {}     // before it is known whether all is finite
  virtual void after_epoch(Training&, const EpochRecord&) {}  // the position is that of the next
};

class Training {
 public:
  // What is passed by reference must outlive it, but for `start` and `best`, which are of the epochs done
  // before. `stop` is asked after each step (on a GPU after each launch of several), each batch of an
  // evaluation and each epoch; it may be empty, as may `notice`, which gets one line about something that is
  // not finite with --on-nan continue.
  Training(const TrainConfig& config, Context& context, TrainingParts& parts, const TrainingPosition& start,
           const BestEpoch& best, std::function<bool()> stop, Logger notice);

  // Trains to the end, or to where --stop-early ends it. False where `stop` ended it. Throws Diverged where the
  // loss or, after an epoch, the weights or the test loss are not finite and --on-nan is stop.
  bool run(std::span<const std::unique_ptr<TrainingObserver>> observers);

  const TrainConfig& config() const { return *config_; }
  TrainingParts& parts() { return *parts_; }
  // As of the last pause() or the last epoch's end.
  const TrainingPosition& position() const { return position_; }
  const BestEpoch& best() const { return best_; }
  // Whether there is nothing left to do.
  bool done() const;
  // Steps since training began, those that are queued included.
  std::int64_t step() const;
  // The learning rate of the last of them.
  double rate() const { return rates_[static_cast<std::size_t>(parts_->loop.steps_done()) - 1]; }
  double evaluation_seconds() const { return evaluation_seconds_; }  // of the last epoch; 0 in the first

  // Brings position() up to date, for which it waits for the device, and checks what was computed. What the
  // caller does until he returns is not counted as time of steps if he then calls resume().
  void pause();
  void resume() { steps_began_ = Clock::now(); }
  // Throws, or gives notice, where a loss or gradient so far is not finite.
  void check_finite(const EpochMetrics& metrics);

 private:
  using Clock = std::chrono::steady_clock;

  bool run_epoch(std::span<const std::unique_ptr<TrainingObserver>> observers);
  void begin_epoch();
  std::int64_t steps_at_once(std::span<const std::unique_ptr<TrainingObserver>> observers) const;
  void keep_time();
  std::optional<EpochRecord> measure();
  void check_finite_end(const EpochRecord& record);
  void not_finite(const std::string& message, std::int64_t epoch, std::int64_t step,
                  const std::string& layer);
  bool stop_requested() const { return stop_ && stop_(); }

  const TrainConfig* config_;
  Context* context_;
  TrainingParts* parts_;
  TrainingPosition position_;
  BestEpoch best_;
  std::function<bool()> stop_;
  Logger notice_;
  std::vector<double> rates_;  // of the epoch's steps
  double seconds_before_ = 0;  // spent on the epoch before this process took it up
  Clock::time_point epoch_began_;
  std::optional<Clock::time_point> steps_began_;  // none while no step runs
  double evaluation_seconds_ = 0;
  std::int64_t warned_epoch_ = 0;  // in which something was not finite
};

}  // namespace qmse
