#include "apps/sweep_display.h"

#include <algorithm>

#include "apps/duration.h"
#include "apps/json_events.h"
#include "apps/stop_signal.h"
#include "apps/terminal_line.h"
#include "base/error.h"
#include "base/name_text.h"
#include "base/number_text.h"
#include "experiment/run/metric_text.h"
#include "experiment/run/plain_text.h"

namespace qmse::app {
namespace {

std::int64_t done(const SweepProgress& progress) {
  return progress.finished + progress.failed + progress.eliminated;
}

std::string left_text(const SweepProgress& progress) {
  if (!progress.seconds_left || done(progress) == progress.members) return "";
  return "; " + duration_text(*progress.seconds_left) + " left";
}

std::string percent(const Json& line, const char* key) {
  return line.contains(key) && line[key].is_number() ? accuracy_text(line[key].get<double>()) : "";
}

std::string number(const Json& line, const char* key) {
  return line[key].is_number() ? fixed_text(line[key].get<double>(), 4) : "nan";
}

class TextDisplay : public SweepDisplay {
 public:
  void notice(const std::string& text) override { terminal_.print(text); }

  void member(const MemberReport& report, const SweepProgress& progress) override {
    std::string text = "[" + std::to_string(done(progress)) + "/" + std::to_string(progress.members) + "] " +
                       report.name + " ";
    if (report.status == MemberStatus::failed) {
      text += (report.diverged ? "DIVERGED: " : "FAILED: ") + report.error;
    } else if (report.status == MemberStatus::eliminated) {
      text += "eliminated: " + report.why;
    } else {
      text += "finished in " + duration_text(report.seconds);
      if (report.last) {
        const bool full = report.last->contains("train_accuracy_full");
        if (report.last->contains("test_r2")) {
          text += ": train R² " + number(*report.last, "train_r2") + ", test R² " +
                  number(*report.last, "test_r2");
        } else {
          text += ": train accuracy " +
                  percent(*report.last, full ? "train_accuracy_full" : "train_accuracy") +
                  ", test accuracy " + percent(*report.last, "test_accuracy");
        }
      }
    }
    terminal_.print(text + left_text(progress));
  }

  void end(const SweepOutcome& outcome, const std::string& out) override {
    for (const SweepOutcome::Failed& failed : outcome.failed)
      terminal_.print((failed.diverged ? "diverged: " : "failed: ") + failed.name + ": " + failed.error);
    const auto diverged = std::count_if(outcome.failed.begin(), outcome.failed.end(),
                                        [](const SweepOutcome::Failed& failed) { return failed.diverged; });
    const auto failed = static_cast<std::ptrdiff_t>(outcome.failed.size()) - diverged;
    const std::string counts =
        std::to_string(outcome.finished) + " of " + counted(outcome.members, "member") + " finished" +
        (outcome.eliminated > 0 ? ", " + std::to_string(outcome.eliminated) + " eliminated by halving" : "") +
        (diverged > 0 ? ", " + std::to_string(diverged) + " diverged" : "") +
        (failed > 0 ? ", " + std::to_string(failed) + " failed" : "");
    terminal_.print(outcome.stopped ? "stopped: " + counts + "; the same command goes on from here"
                                    : counts + "; results in " + out + "/results.json");
  }

  bool live() const override { return terminal_.rewrites(); }

  void progress(const SweepProgress& progress) override {
    const std::string epoch =
        " at epoch " +
        fixed_text(progress.epochs_done / static_cast<double>(std::max<std::int64_t>(progress.running, 1)),
                   1);
    const std::string ended = std::to_string(done(progress)) + "/" + std::to_string(progress.members),
                      failed = progress.failed > 0 ? ", " + std::to_string(progress.failed) + " failed" : "",
                      running = ", " + std::to_string(progress.running) + " running",
                      elsewhere = progress.elsewhere > 0
                                      ? ", " + std::to_string(progress.elsewhere) + " elsewhere"
                                      : "",
                      left = left_text(progress), head = ended + " members done" + failed;
    terminal_.show_first_fitting({head + running + epoch + elsewhere + left, head + running + epoch + left,
                                  head + running + left, head + left, ended + failed + left, ended + left,
                                  ended});
  }

 private:
  TerminalLine terminal_;
};

class JsonDisplay : public SweepDisplay {
 public:
  void notice(const std::string& text) override { write_json_event("notice", {{"text", text}}); }

  void member(const MemberReport& report, const SweepProgress& progress) override {
    Json object = {{"name", report.name},           {"status", name(report.status)},
                   {"seconds", report.seconds},     {"members", progress.members},
                   {"finished", progress.finished}, {"failed", progress.failed}};
    if (progress.eliminated > 0) object["eliminated"] = progress.eliminated;
    if (report.status == MemberStatus::eliminated) object["why"] = report.why;
    if (progress.seconds_left) object["seconds_left"] = *progress.seconds_left;
    if (report.status == MemberStatus::failed) {
      object["error"] = report.error;
      object["diverged"] = report.diverged;
    }
    if (report.last) object["last"] = *report.last;
    write_json_event("member", object);
  }

  void end(const SweepOutcome& outcome, const std::string& out) override {
    Json object = {{"members", outcome.members},
                   {"finished", outcome.finished},
                   {"failed", outcome.failed.size()},
                   {"out", escape_name(out)},
                   {"failures", Json::array()}};
    for (const SweepOutcome::Failed& each : outcome.failed)
      object["failures"].push_back({{"name", each.name}, {"error", each.error}, {"diverged", each.diverged}});
    if (outcome.eliminated > 0) object["eliminated"] = outcome.eliminated;
    if (!outcome.results_error.empty()) object["results_error"] = outcome.results_error;
    write_json_event(outcome.stopped ? "stopped" : "finished", object);
  }
};

}  // namespace

std::unique_ptr<SweepDisplay> make_text_sweep_display() { return std::make_unique<TextDisplay>(); }

std::unique_ptr<SweepDisplay> make_json_sweep_display() { return std::make_unique<JsonDisplay>(); }

SweepEvents display_events(SweepDisplay& display, const Shard& shard) {
  catch_stop_signals();
  SweepEvents events;
  events.notice = [&display](const std::string& text) { display.notice(text); };
  events.member = [&display](const MemberReport& report, const SweepProgress& now) {
    display.member(report, now);
  };
  // The rewritten lines of several processes would mix.
  if (display.live() && shard.count == 1)
    events.progress = [&display](const SweepProgress& now) { display.progress(now); };
  events.stop = [] { return stop_signal() != 0; };
  return events;
}

int finish_sweep(SweepDisplay& display, const SweepOutcome& outcome, const std::string& out) {
  display.end(outcome, out);
  if (outcome.stopped && stop_signal() != 0) return 128 + stop_signal();
  if (!outcome.results_error.empty()) throw IoError(outcome.results_error);
  if (outcome.failed.empty()) return 0;
  throw Error(std::to_string(outcome.failed.size()) + " of " + counted(outcome.members, "member") +
              " failed; " + out + "/results.json says why");
}

}  // namespace qmse::app
