#include "apps/progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace qmse::app {

ProgressDisplay::ProgressDisplay() : terminal_(::isatty(STDOUT_FILENO) == 1) {}

void ProgressDisplay::clear_bar() {
  if (bar_shown_) std::printf("\r\033[K");
  bar_shown_ = false;
}

void ProgressDisplay::notice(const std::string& text) {
  clear_bar();
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

void ProgressDisplay::progress(const TrainingProgress& progress) {
  if (!terminal_) return;
  constexpr std::int64_t kWidth = 24;
  const auto filled =
      static_cast<std::size_t>(kWidth * progress.step / std::max<std::int64_t>(progress.steps, 1));
  const std::string bar =
      std::string(filled, '=') + std::string(static_cast<std::size_t>(kWidth) - filled, ' ');
  std::printf("\r\033[Kepoch %lld/%lld [%s] %lld/%lld  loss %.5g  accuracy %.2f %%  %.0f images/s",
              static_cast<long long>(progress.epoch), static_cast<long long>(progress.epochs), bar.c_str(),
              static_cast<long long>(progress.step), static_cast<long long>(progress.steps), progress.loss,
              100 * progress.accuracy, progress.images_per_second);
  std::fflush(stdout);
  bar_shown_ = true;
}

void ProgressDisplay::epoch(const EpochRecord& record, std::int64_t epochs) {
  clear_bar();
  std::printf(
      "epoch %lld/%lld  train loss %.5g, accuracy %.2f %%  test loss %.5g, accuracy %.2f %%  %.1f s, %.0f "
      "images/s\n",
      static_cast<long long>(record.epoch), static_cast<long long>(epochs), record.train_loss,
      100 * record.train_accuracy, record.test_loss, 100 * record.test_accuracy, record.seconds,
      record.images_per_second);
  std::fflush(stdout);
}

}  // namespace qmse::app
