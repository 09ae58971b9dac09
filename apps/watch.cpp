#include <chrono>
#include <cstdio>
#include <iostream>
#include <thread>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/run_folders.h"
#include "apps/stop_signal.h"
#include "apps/terminal_line.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "experiment/report/run_list.h"
#include "experiment/run/plain_text.h"

namespace qmse::app {
namespace {

using Seconds = std::chrono::duration<double>;

// Between two members of a sweep no run may be going on for a moment.
constexpr int kLooksAtNothing = 5;
constexpr auto kSlice = std::chrono::milliseconds(50);  // after which a signal is heard

// Sleeps; false where a signal came.
bool wait(Seconds left) {
  for (; left.count() > 0 && stop_signal() == 0; left -= kSlice)
    std::this_thread::sleep_for(std::min<Seconds>(left, kSlice));
  return stop_signal() == 0;
}

// Lines that are rewritten in place on a terminal; elsewhere those that have changed are printed.
class View {
 public:
  void show(std::vector<std::string> lines) {
    if (lines == shown_) return;
    std::string text;
    if (terminal_.rewrites() && !shown_.empty())
      text += "\033[" + std::to_string(shown_.size()) + "A\r\033[J";  // up, and all below is cleared
    for (const std::string& line : lines)
      text += (terminal_.rewrites() ? shorten(line, terminal_.room()) : line) + "\n";
    std::cout << text << std::flush;
    shown_ = std::move(lines);
  }

 private:
  TerminalLine terminal_;
  std::vector<std::string> shown_;
};

}  // namespace

Command watch_command() {
  Command command =
      make_command("qmse watch", "Show how far runs are that another process trains, until none goes on");
  CLI::Option* folder =
      add_folder(*command.parser, "a run directory, or a sweep's or other folder with runs (required)");
  CLI::Option* every =
      add_text_option(*command.parser, "--every", "SECONDS", "View", "how long between two looks [1]");
  command.parser->footer(
      "Example\n"
      "  qmse watch runs/sweep\n"
      "\n" +
      wrap_help(
          "Reads the files of the runs and changes nothing. It ends by itself when no process has worked "
          "on any of them for five looks; Ctrl-C ends it at once (exit code 130) and leaves the runs "
          "alone.",
          kFooterWidth));
  command.action = [=] {
    if (folder->count() == 0) throw ConfigError("FOLDER is missing: where the runs are");
    const std::filesystem::path where = folder->as<std::string>();
    const Seconds pause(every->count() > 0 ? positive_number(*every) : 1.0);
    catch_stop_signals();
    View view;
    for (int nothing = 0; nothing < kLooksAtNothing;) {
      const RunsView now = look_at_runs(where);
      view.show(now.lines);
      nothing = now.going_on ? 0 : nothing + 1;
      if (!wait(pause)) return 128 + stop_signal();
    }
    return 0;
  };
  return command;
}

}  // namespace qmse::app
