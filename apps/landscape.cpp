#include "analysis/landscape/run.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>

#include "apps/commands.h"
#include "apps/json_events.h"
#include "apps/options.h"
#include "apps/stop_signal.h"
#include "apps/terminal_line.h"
#include "base/error.h"
#include "base/words.h"

namespace qmse::app {
namespace {

// What every landscape command takes.
struct CommonOptions {
  CLI::Option *out, *quick, *data, *threads, *log_format;

  explicit CommonOptions(CLI::App& command)
      : out(add_text_option(command, "--out", "DIR", "Experiment",
                            "where everything goes; the same command again goes on with it (required)")),
        quick(command.add_flag("--quick")->description(wrap_help("smaller sizes"))->group("Experiment")),
        data(add_text_option(command, "--data", "DIR", "Experiment", "data sets' folder, as for qmse train")),
        threads(add_text_option(command, "--threads", "N", "Machine",
                                "CPU threads; 0: all. Results do not depend on it [0]")),
        log_format(add_log_format(command, "notice, progress and finished or stopped")) {}

  LandscapeRequest request() const {
    LandscapeRequest request;
    if (out->count() == 0) throw ConfigError("--out DIR is missing: where the experiment's files go");
    request.out = out->as<std::string>();
    request.quick = quick->count() > 0;
    if (data->count() > 0) request.data = data->as<std::string>();
    if (threads->count() > 0) request.threads = static_cast<int>(whole_number(*threads, 0, 1024));
    return request;
  }
};

using Run = LandscapeOutcome (*)(const LandscapeRequest&, const LandscapeEvents&);

int run_and_show(Run run, const LandscapeRequest& request, bool json) {
  catch_stop_signals();
  TerminalLine line;
  LandscapeEvents events;
  events.stop = [] { return stop_signal() != 0; };
  events.notice = [&](const std::string& text) {
    if (json) {
      write_json_event("notice", {{"text", text}});
    } else {
      line.print(text);
    }
  };
  events.progress = [&](std::int64_t done, std::int64_t members) {
    if (json) {
      write_json_event("progress", {{"done", done}, {"members", members}});
    } else {
      line.show(std::to_string(done) + " of " + std::to_string(members) + " members");
    }
  };
  const LandscapeOutcome outcome = with_failure_event(json, [&] { return run(request, events); });
  line.clear();
  const std::string out = request.out.string();
  if (!outcome.finished) {
    if (json) {
      write_json_event("stopped", {{"out", out}});
    } else {
      std::cout << "stopped; the same command goes on with " << out << '\n';
    }
    return 128 + stop_signal();
  }
  if (json) {
    write_json_event("finished", {{"out", out}, {"result", outcome.result}});
    return 0;
  }
  if (outcome.result.contains("verdicts")) {
    for (const std::string& verdict : verdict_lines(outcome.result)) std::cout << verdict << '\n';
  }
  std::cout << "page, pictures and numbers are in " << out << '\n';
  return 0;
}

std::string shown(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_array() ? join(value, ",", json_line) : json_line(value);
}

Command experiment_command(const LandscapeExperiment& experiment) {
  Command command = make_command("qmse landscape " + experiment.name, experiment.summary);
  const CommonOptions common(*command.parser);
  CLI::Option* device = nullptr;
  if (experiment.gpu) {
    device = add_text_option(*command.parser, "--device", "cpu|cuda[:N]|auto", "Machine",
                             "a GPU runs hundreds of networks at once, with the same results [cpu]");
  }
  CLI::Option* preset = nullptr;
  if (!experiment.presets.empty()) {
    preset = add_text_option(*command.parser, "--preset", "NAME", "Experiment",
                             join(experiment.presets, "; ",
                                  [](const LandscapePreset& each) { return each.name + ": " + each.help; }));
  }
  std::vector<CLI::Option*> given;
  for (const LandscapeOption& option : experiment.options) {
    std::string help = option.help + " [" + shown(option.usual);
    if (!option.quick.is_null()) help += "; with --quick " + shown(option.quick);
    std::string kind = "VALUE";
    if (!option.choices.empty()) {
      kind = join(option.choices, "|");
    } else if (option.usual.is_array()) {
      kind = "N,...";
    } else if (option.usual.is_number()) {
      kind = "N";
    }
    given.push_back(add_text_option(*command.parser, option_name(option.name), kind, "Settings", help + "]"));
  }
  command.parser->footer(
      wrap_help(experiment.statement + " Source: " + experiment.source + ".", kFooterWidth));
  command.action = [&experiment, common, device, preset, given] {
    LandscapeRequest request = common.request();
    request.experiment = experiment.name;
    if (device != nullptr && device->count() > 0) request.device = device->as<std::string>();
    if (preset != nullptr && preset->count() > 0) request.preset = preset->as<std::string>();
    for (std::size_t i = 0; i < given.size(); ++i) {
      if (given[i]->count() == 0) continue;
      const LandscapeOption& option = experiment.options[i];
      request.given[option.name] = setting_from_text(option, given[i]->as<std::string>());
    }
    return run_and_show(run_landscape, request, wants_json(*common.log_format));
  };
  return command;
}

Command all_command() {
  Command command = make_command("qmse landscape all", "Every experiment, and one page about all of them");
  const CommonOptions common(*command.parser);
  command.action = [common] {
    return run_and_show(run_all_landscapes, common.request(), wants_json(*common.log_format));
  };
  return command;
}

}  // namespace

Command landscape_command() {
  Command command{
      .name = "landscape",
      .summary = "Where does training stop, and why: experiments on loss landscapes, each with a verdict",
      .footer = "Each writes a folder with report.html, result.json, pictures and the points it found.",
      .commands = {}};
  for (const LandscapeExperiment& experiment : landscape_experiments())
    command.commands.push_back(experiment_command(experiment));
  command.commands.push_back(all_command());
  return command;
}

}  // namespace qmse::app
