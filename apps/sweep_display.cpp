#include "apps/sweep_display.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "apps/duration.h"
#include "apps/stop_signal.h"
#include "kernels/core/error.h"

namespace qmse::app {

namespace {

std::string left_text(const SweepProgress& progress) {
  if (!progress.seconds_left || progress.finished + progress.failed == progress.members) return "";
  return "; " + duration_text(*progress.seconds_left) + " left";
}

std::string percent(const ConfigJson& line, const char* key) {
  if (!line.contains(key) || !line[key].is_number()) return "";
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f %%", 100 * line[key].get<double>());
  return text;
}

}  // namespace

SweepDisplay::SweepDisplay() : terminal_(::isatty(STDOUT_FILENO) == 1) {}

SweepEvents SweepDisplay::events(const Shard& shard) {
  catch_stop_signals();
  SweepEvents events;
  events.notice = [this](const std::string& text) { line(text); };
  events.member = [this](const MemberReport& report, const SweepProgress& now) { member(report, now); };
  if (terminal_ && shard.count == 1) events.progress = [this](const SweepProgress& now) { progress(now); };
  events.stop = [] { return stop_signal() != 0; };
  return events;
}

void SweepDisplay::line(const std::string& text) {
  if (bar_shown_) std::printf("\r\033[K");
  bar_shown_ = false;
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

void SweepDisplay::member(const MemberReport& report, const SweepProgress& progress) {
  std::string text = "[" + std::to_string(progress.finished + progress.failed) + "/" +
                     std::to_string(progress.members) + "] " + report.name + " ";
  if (report.status == MemberStatus::failed) {
    text += "FAILED: " + report.error;
  } else {
    text += "finished in " + duration_text(report.seconds);
    if (report.last) {
      const bool full = report.last->contains("train_accuracy_full");
      text += ": train accuracy " + percent(*report.last, full ? "train_accuracy_full" : "train_accuracy") +
              ", test accuracy " + percent(*report.last, "test_accuracy");
    }
  }
  line(text + left_text(progress));
}

void SweepDisplay::progress(const SweepProgress& progress) {
  std::printf("\r\033[K%lld/%lld members done", static_cast<long long>(progress.finished + progress.failed),
              static_cast<long long>(progress.members));
  if (progress.failed > 0) std::printf(", %lld failed", static_cast<long long>(progress.failed));
  std::printf(", %lld running at epoch %.1f", static_cast<long long>(progress.running),
              progress.epochs_done / static_cast<double>(std::max<std::int64_t>(progress.running, 1)));
  if (progress.elsewhere > 0) std::printf(", %lld elsewhere", static_cast<long long>(progress.elsewhere));
  std::printf("%s", left_text(progress).c_str());
  std::fflush(stdout);
  bar_shown_ = true;
}

int SweepDisplay::finish(const SweepOutcome& outcome, const std::string& folder) {
  for (const SweepOutcome::Failed& failed : outcome.failed)
    line("failed: " + failed.name + ": " + failed.error);
  const std::string counts =
      std::to_string(outcome.finished) + " of " + std::to_string(outcome.members) + " members finished" +
      (outcome.failed.empty() ? "" : ", " + std::to_string(outcome.failed.size()) + " failed");
  if (outcome.stopped) {
    line("stopped: " + counts + "; the same command goes on from here");
    return 128 + stop_signal();
  }
  line(counts + "; results in " + folder + "/results.json");
  if (!outcome.results_error.empty()) throw IoError(outcome.results_error);
  if (outcome.failed.empty()) return 0;
  throw Error(std::to_string(outcome.failed.size()) + " of " + std::to_string(outcome.members) +
              " members failed; " + folder + "/results.json says why");
}

}  // namespace qmse::app
