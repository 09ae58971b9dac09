#include "apps/training_display.h"

#include <algorithm>
#include <optional>

#include "apps/duration.h"
#include "apps/json_events.h"
#include "apps/terminal_line.h"
#include "base/name_text.h"
#include "base/number_text.h"
#include "experiment/run/metric_text.h"

namespace qmse::app {
namespace {

// An accuracy in per cent, or R², behind `label`.
std::string share(const char* label, const std::optional<double>& accuracy, const std::optional<double>& r2) {
  if (accuracy) return label + accuracy_text(*accuracy);
  return label + (r2 ? "R² " + fixed_text(*r2, 4) : std::string("no accuracy"));
}

std::string of(std::int64_t part, std::int64_t whole) {
  return std::to_string(part) + "/" + std::to_string(whole);
}

std::string bar(const TrainingProgress& progress, std::size_t width) {
  const auto filled = static_cast<std::size_t>(static_cast<std::int64_t>(width) * progress.step /
                                               std::max<std::int64_t>(progress.steps, 1));
  return " [" + std::string(filled, '=') + std::string(width - filled, ' ') + "]";
}

// Where there is no room for all, what matters least goes first.
std::vector<std::string> progress_lines(const TrainingProgress& progress, std::size_t room) {
  constexpr std::size_t kMinBar = 6, kMaxBar = 24;
  const std::string head = "epoch " + of(progress.epoch, progress.epochs);
  const std::string steps = " " + of(progress.step, progress.steps);
  const std::string loss = "  loss " + significant_text(progress.loss, 5);
  const std::string accuracy = progress.accuracy ? "  accuracy " + accuracy_text(*progress.accuracy) : "";
  const std::string speed = "  " + fixed_text(progress.images_per_second, 0) + " images/s";
  const std::string left = "  " + duration_text(progress.seconds_left) + " left";

  const std::string all = loss + accuracy + speed + left;
  const std::size_t taken = head.size() + steps.size() + all.size() + 3;  // brackets and a space
  if (taken + kMinBar <= room) {
    return {head + bar(progress, std::min(room - taken, kMaxBar)) + steps + all};
  }
  const double done =
      static_cast<double>(progress.step) / static_cast<double>(std::max<std::int64_t>(progress.steps, 1));
  const std::string percent = " " + fixed_text(100 * done, 0) + " %";
  return {head + percent + all,   head + all,  head + loss + accuracy + left,
          head + accuracy + left, head + left, head};
}

class TextDisplay : public TrainingDisplay {
 public:
  void notice(const std::string& text) override { terminal_.print(text); }

  void epoch(const EpochRecord& record, std::int64_t epochs) override {
    // 80 columns: with validation the losses of what is measured after the epoch have no room.
    std::string text = "epoch " + of(record.epoch, epochs) + "  train loss " +
                       significant_text(record.train_loss, 5) +
                       share(", ", record.train_accuracy, record.train_r2);
    if (record.validation_loss) {
      text += share("  validation ", record.validation_accuracy, record.validation_r2) +
              share("  test ", record.test_accuracy, record.test_r2);
    } else {
      text += "  test loss " + significant_text(record.test_loss, 5) +
              share(", ", record.test_accuracy, record.test_r2);
    }
    terminal_.print(text + "  " + fixed_text(record.seconds, 1) + " s");
  }

  void end(TrainingOutcome outcome, const std::string& out, const std::string& weights) override {
    switch (outcome) {
      case TrainingOutcome::finished:
        return terminal_.print("finished; weights in " + out + "/model.safetensors, SHA-256 " + weights);
      case TrainingOutcome::already_finished:
        return terminal_.print(out + " is finished: nothing to do; weights SHA-256 " + weights);
      case TrainingOutcome::stopped:
        return terminal_.print("stopped; qmse train --resume --out " + out + " goes on from here");
    }
  }

  void stopped_early(const std::string& out) override {
    terminal_.print("stopped before training began, with nothing changed in " + out +
                    "; the same command begins again");
  }

  bool live() const override { return terminal_.rewrites(); }

  void progress(const TrainingProgress& progress) override {
    terminal_.show_first_fitting(progress_lines(progress, terminal_.room()));
  }

 private:
  TerminalLine terminal_;
};

class JsonDisplay : public TrainingDisplay {
 public:
  void notice(const std::string& text) override { write_json_event("notice", {{"text", text}}); }

  void epoch(const EpochRecord& record, std::int64_t epochs) override {
    Json object = {{"epochs", epochs}};
    object.update(to_json(record));
    write_json_event("epoch", object);
  }

  void end(TrainingOutcome outcome, const std::string& out, const std::string& weights) override {
    Json content = {{"out", escape_name(out)}};
    if (!weights.empty()) content["weights_sha256"] = weights;
    write_json_event(outcome == TrainingOutcome::finished           ? "finished"
                     : outcome == TrainingOutcome::already_finished ? "already_finished"
                                                                    : "stopped",
                     content);
  }

  void stopped_early(const std::string& out) override {
    write_json_event("stopped", {{"out", escape_name(out)}});
  }
};

}  // namespace

std::unique_ptr<TrainingDisplay> make_text_display() { return std::make_unique<TextDisplay>(); }

std::unique_ptr<TrainingDisplay> make_json_display() { return std::make_unique<JsonDisplay>(); }

}  // namespace qmse::app
