#include <array>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/run_folders.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/words.h"
#include "experiment/report/figure.h"
#include "experiment/report/run_curves.h"

namespace qmse::app {
namespace {

enum class LogAxes { x, y, xy };
constexpr std::array<Choice<LogAxes>, 3> choices(LogAxes) {
  return {{{LogAxes::x, "x"}, {LogAxes::y, "y"}, {LogAxes::xy, "xy"}}};
}

// The beginning of the pictures' names. "." and folders with a slash behind them would make hidden files.
std::filesystem::path stem_from(const std::string& text) {
  std::filesystem::path stem(text);
  if (!stem.has_filename() || stem.filename() == "." || stem.filename() == "..") {
    throw ConfigError(
        "--out must be the beginning of a file's name, such as figures/sweep for "
        "figures/sweep.svg and .png, not " +
        in_quotes(text));
  }
  return stem;
}

}  // namespace

Command plot_command() {
  Command command = make_command("qmse plot", "Draw the curves of runs, as SVG and PNG");
  CLI::Option* folders = add_run_folders(*command.parser);
  CLI::Option* out = add_text_option(*command.parser, "--out", "STEM", "Picture",
                                     "the files are STEM.svg and STEM.png [curves, in the first RUN]");
  CLI::Option* x = add_choice_option<CurveAxis>(*command.parser, "--x", "Picture",
                                                "what the curves are drawn over [epoch]");
  CLI::Option* y =
      add_text_option(*command.parser, "--y", "NAME,NAME,...", "Picture",
                      "keys of metrics.jsonl, a column of panels each [training and test accuracy]");
  CLI::Option* steps =
      command.parser->add_flag("--steps")
          ->description(wrap_help("draw the lines of steps.jsonl (--log-steps) in place of epochs, over the "
                                  "steps; keys are loss, grad_norm and lr [loss]"))
          ->group("Picture");
  CLI::Option* log =
      add_choice_option<LogAxes>(*command.parser, "--log", "Picture", "logarithmic axes [none]");
  command.parser->footer(
      "Examples\n"
      "  qmse plot runs/qmse runs/mse\n"
      "  qmse plot runs/sweep --out figures/sweep --x seconds --y test_accuracy,test_residual_sq\n"
      "\n"
      "Runs whose settings differ only in their seeds are one curve: the mean, and a band of one "
      "standard deviation.\n"
      "Curves are named by the settings in which the runs differ; data sets, models and momenta have panels "
      "of "
      "their own.\n"
      "A run that began with the weights of another one's epoch (--init-from) goes on behind that epoch.");
  command.action = [=] {
    CurveRequest request;
    if (steps->count() > 0) {
      request.x = CurveAxis::step;
      request.measures = {"loss"};
    }
    request.x = chosen(*x, request.x);
    if (y->count() > 0) request.measures = split(y->as<std::string>(), ',');
    if (log->count() > 0) {
      const LogAxes axes = chosen(*log, LogAxes::xy);
      request.log_x = axes != LogAxes::y;
      request.log_y = axes != LogAxes::x;
    }
    std::vector<RunRecord> runs = runs_in(*folders);
    if (steps->count() > 0) {
      for (RunRecord& run : runs) take_steps(run);
    }
    const std::filesystem::path stem = out->count() > 0
                                           ? stem_from(out->as<std::string>())
                                           : std::filesystem::path(folders->results().front()) / "curves";
    write_figure(run_figure(group_runs(runs), request), stem);
    std::cout << stem.string() << ".svg\n" << stem.string() << ".png\n";
    return 0;
  };
  return command;
}

}  // namespace qmse::app
