#include <iostream>
#include <memory>
#include <sstream>

#include "apps/commands.h"
#include "apps/options.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "experiment/report/figure.h"
#include "experiment/report/run_curves.h"

namespace qmse::app {
namespace {

CurveAxis axis_from(const std::string& text) {
  if (text == "epoch") return CurveAxis::epoch;
  if (text == "step") return CurveAxis::step;
  if (text == "seconds") return CurveAxis::seconds;
  throw ConfigError("--x must be epoch, step or seconds, not " + in_quotes(text));
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

// What cannot be read is named and left out, but for the only run of a folder.
std::vector<RunRecord> runs_in(const std::vector<std::string>& folders) {
  std::vector<RunRecord> runs;
  for (const std::string& folder : folders) {
    RunsFound found = find_runs(folder);
    if (found.runs.empty()) {
      throw DataError(found.unreadable.empty()
                          ? in_quotes(folder) + ": neither a run directory nor a folder that holds any"
                          : found.unreadable.front().reason);
    }
    for (const UnreadableRun& run : found.unreadable) std::cerr << "left out: " << run.reason << '\n';
    std::move(found.runs.begin(), found.runs.end(), std::back_inserter(runs));
  }
  return runs;
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
  CLI::Option* folders = command.parser->add_option("RUN")
                             ->description(wrap_help("run directories, or folders with runs at any depth"))
                             ->type_name(" ")
                             ->expected(1, -1)
                             ->allow_extra_args();
  CLI::Option* out = add_text_option(*command.parser, "--out", "STEM", "Picture",
                                     "the files are STEM.svg and STEM.png [curves, in the first RUN]");
  CLI::Option* x = add_text_option(*command.parser, "--x", "epoch|step|seconds", "Picture",
                                   "what the curves are drawn over [epoch]");
  CLI::Option* y =
      add_text_option(*command.parser, "--y", "NAME,NAME,...", "Picture",
                      "keys of metrics.jsonl, a column of panels each [training and test accuracy]");
  command.parser->footer(
      "Examples\n"
      "  qmse plot runs/qmse runs/mse\n"
      "  qmse plot runs/sweep --out figures/sweep --x seconds --y test_accuracy,test_residual_sq\n"
      "\n"
      "Runs whose settings differ only in their seeds are one curve: the mean, and a band from the lowest to "
      "the highest.\n"
      "Curves are named by the settings in which the runs differ; data sets and momenta have panels of their "
      "own.");
  command.action = [=] {
    if (folders->count() == 0) throw ConfigError("RUN is missing: which runs to draw");
    const auto given = folders->as<std::vector<std::string>>();
    CurveRequest request;
    if (x->count() > 0) request.x = axis_from(x->as<std::string>());
    if (y->count() > 0) request.measures = split_at_commas(y->as<std::string>());
    const std::filesystem::path stem = out->count() > 0 ? stem_from(out->as<std::string>())
                                                        : std::filesystem::path(given.front()) / "curves";
    write_figure(run_figure(group_runs(runs_in(given)), request), stem);
    std::cout << stem.string() << ".svg\n" << stem.string() << ".png\n";
    return 0;
  };
  return command;
}

}  // namespace qmse::app
