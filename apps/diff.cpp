#include <iostream>

#include "apps/commands.h"
#include "apps/options.h"
#include "base/error.h"
#include "experiment/run/run_diff.h"

namespace qmse::app {
namespace {

std::string place(const ResultDifference& difference) {
  std::string text = difference.file;
  if (difference.step > 0) text += ", step " + std::to_string(difference.step);
  if (difference.epoch > 0) text += ", epoch " + std::to_string(difference.epoch);
  if (!difference.tensor.empty()) text += ", tensor " + difference.tensor;
  return text;
}

void print_values(const char* title, const std::vector<ValueDifference>& values) {
  for (const ValueDifference& value : values)
    std::cout << title << value.name << ": " << value.first.dump() << " and " << value.second.dump() << '\n';
}

void print(const RunDiff& diff) {
  if (diff.equal()) std::cout << "equal, bit for bit, in all that both recorded\n";
  print_values("setting ", diff.settings);
  for (const ResultDifference& difference : diff.results) {
    std::cout << (&difference == &diff.results.front() ? "first difference: " : "then: ") << place(difference)
              << ": " << difference.text << '\n';
  }
  print_values("also different: ", diff.surroundings);
  for (const std::string& text : diff.not_compared) std::cout << "not compared: " << text << '\n';
}

int compare(const std::vector<std::string>& runs, bool json) {
  if (runs.size() != 2)
    throw ConfigError("diff compares two runs: qmse diff RUN RUN, not " + std::to_string(runs.size()));
  const RunDiff diff = [&] {
    try {
      return diff_runs(runs[0], runs[1]);
    } catch (const Error& error) {  // as diff(1): 1 says that they differ, 2 that nobody knows
      throw ConfigError(error.what());
    }
  }();
  if (json) {
    std::cout << json_text(to_json(diff));
  } else {
    print(diff);
  }
  return diff.equal() ? 0 : 1;
}

}  // namespace

Command diff_command() {
  Command command = make_command("qmse diff", "Say where two runs first differ");
  const CLI::Option* runs = command.parser->add_option("RUN")
                                ->description(wrap_help("two run directories (required)"))
                                ->type_name(" ")
                                ->expected(1, -1)
                                ->allow_extra_args();
  const CLI::Option* json =
      command.parser->add_flag("--json")->description(wrap_help("one JSON object"))->group("Output");
  command.parser->footer(
      "Example\n"
      "  qmse diff runs/here runs/there\n"
      "\n" +
      wrap_help("Compared bit for bit: settings, the steps that both logged (--log-steps), every epoch's "
                "figures but its "
                "times, snapshots of the same epoch (--snapshot-every) and the final weights. What only one "
                "run has "
                "is named. Exit codes: 0 equal, 1 different, 2 wrong usage or a run that cannot be read.",
                kFooterWidth));
  command.action = [=] {
    return compare(runs->count() > 0 ? runs->as<std::vector<std::string>>() : std::vector<std::string>{},
                   json->count() > 0);
  };
  return command;
}

}  // namespace qmse::app
