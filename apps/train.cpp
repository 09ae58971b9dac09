#include <iostream>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/json_events.h"
#include "apps/options.h"
#include "apps/stop_signal.h"
#include "apps/training_display.h"
#include "base/name_text.h"
#include "base/stopped.h"
#include "experiment/run/tensor_digest.h"
#include "experiment/run/training_run.h"

namespace qmse::app {
namespace {

int print_config(const Json& given) {
  TrainConfig config;
  apply_layer(config, given);
  validate(config);
  check_used(given, config);
  resolve_defaults(config);
  std::cout << to_json(config).dump(2) << '\n';
  return 0;
}

int train(const Json& given, TrainingDisplay& display) {
  TrainingEvents events;
  events.notice = [&](const std::string& text) { display.notice(text); };
  if (display.live()) {
    events.progress = [&](const TrainingProgress& progress) { display.progress(progress); };
  }
  events.epoch = [&](const EpochRecord& record, std::int64_t epochs) { display.epoch(record, epochs); };
  events.stop = events.stop_loading = [] { return stop_signal() != 0; };
  catch_stop_signals();

  std::optional<TrainingRun> run;
  try {
    run.emplace(given, events);
  } catch (const Stopped&) {
    display.stopped_early(unescape_name(given.value("out", "")));
    return 128 + stop_signal();
  }
  const TrainingOutcome outcome = run->run();
  const std::filesystem::path out = run->config().out;
  display.end(outcome, out,
              outcome == TrainingOutcome::stopped ? "" : tensors_sha256(out / "model.safetensors"));
  return outcome == TrainingOutcome::stopped ? 128 + stop_signal() : 0;
}

}  // namespace

Command train_command() {
  Command command =
      make_command("qmse train", "Train a network; everything about the run goes to a directory");
  const auto options = std::make_shared<ConfigOptions>(*command.parser, kTrain);
  CLI::Option* print =
      command.parser->add_flag("--print-config")
          ->description(
              wrap_help("print all settings that have an effect as JSON, for --config, and do nothing else"))
          ->group("Settings from a file");
  CLI::Option* format = add_log_format(*command.parser, "notice, epoch and end");
  command.parser->footer(
      "Examples\n"
      "  qmse train --dataset mnist --data ~/data --loss qmse --epochs 5 --out runs/qmse\n"
      "  qmse train --dataset mnist --data ~/data --loss mse --epochs 5 --out runs/mse     the same start, "
      "order and steps\n"
      "  qmse train --model mlp --mlp-widths 256,128 --optimizer adam --out runs/mlp\n"
      "  qmse train --resume --out runs/qmse --epochs 10                                   go on\n"
      "  qmse train --print-config --lr 0.1 > slow.json; qmse train --config slow.json --out runs/slow\n"
      "\n"
      "Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 and a closed output (SIGPIPE) stop after the current step, with a\n"
      "checkpoint; a second Ctrl-C stops at once. Signals that are ignored (nohup) stay ignored.\n"
      "The directory gets config.json, environment.json, metrics.jsonl, checkpoint.safetensors,\n"
      "model.safetensors and outcome.json, which says how the run ended.\n"
      "The last line has the weights' SHA-256, for comparisons.\n"
      "Exit codes: 0 done, 1 failure, 2 wrong usage, 128 + N stopped by signal N (130 Ctrl-C, 143 SIGTERM).");
  command.action = [=] {
    const Json given = options->given();
    const bool json = wants_json(*format);
    if (print->count() > 0) return print_config(given);
    const auto display = json ? make_json_display() : make_text_display();
    return with_failure_event(json, [&] { return train(given, *display); });
  };
  return command;
}

}  // namespace qmse::app
