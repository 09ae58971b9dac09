#include "experiment/sweep/sweep.h"

#include <array>
#include <filesystem>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/duration.h"
#include "apps/json_events.h"
#include "apps/options.h"
#include "apps/stop_signal.h"
#include "apps/sweep_display.h"
#include "apps/sweep_options.h"
#include "apps/tuning_text.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "base/stopped.h"
#include "base/text_file.h"
#include "experiment/run/plain_text.h"
#include "experiment/sweep/sweep_estimate.h"

namespace qmse::app {
namespace {

enum class KeptCheckpoints { all, none };
constexpr std::array<Choice<KeptCheckpoints>, 2> choices(KeptCheckpoints) {
  return {{{KeptCheckpoints::all, "all"}, {KeptCheckpoints::none, "none"}}};
}

// "134 MB"
std::string size_text(std::uint64_t bytes) {
  const auto size = static_cast<double>(bytes);
  return size < 1e6   ? significant_text(size / 1e3, 3) + " kB"
         : size < 1e9 ? significant_text(size / 1e6, 3) + " MB"
                      : significant_text(size / 1e9, 3) + " GB";
}

// What --dry-run says.
int show_estimate(const SweepRequest& request, bool json) {
  catch_stop_signals();
  SweepEstimate estimate;
  try {
    estimate = estimate_sweep(request, [] { return stop_signal() != 0; });
  } catch (const Stopped&) {
    return 128 + stop_signal();
  }
  if (json) {
    write_json_event("estimate", {{"members", estimate.members},
                                  {"finished", estimate.finished},
                                  {"epochs", estimate.epochs},
                                  {"jobs", estimate.jobs},
                                  {"seconds", estimate.seconds},
                                  {"bytes", estimate.bytes},
                                  {"checkpoint_bytes", estimate.checkpoints}});
    return 0;
  }
  std::cout << counted(estimate.members, "member")
            << (estimate.finished > 0 ? ", " + std::to_string(estimate.finished) + " of them finished" : "")
            << "; " << counted(estimate.epochs, "epoch") << " to train\n"
            << "about " << duration_text(estimate.seconds) << ", " << estimate.jobs
            << " at a time, by some steps of " << counted(estimate.kinds, "kind") << " of them\n"
            << "about " << size_text(estimate.bytes) << " in " << in_quotes(request.out) << " at the end";
  if (estimate.checkpoints > 0)
    std::cout << ", " << size_text(estimate.checkpoints)
              << " of it checkpoints, which --keep-checkpoints none drops";
  std::cout << '\n';
  return 0;
}

}  // namespace

Command sweep_command() {
  Command command =
      make_command("qmse sweep", "Train every combination of settings in a file, as one job in one folder");
  CLI::Option* file = command.parser->add_option("FILE")->description(
      wrap_help("the sweep, a JSON object; see below (required)"));
  CLI::Option* out = add_text_option(
      *command.parser, "--out", "DIR", "Sweep",
      "the sweep's folder; the same command again goes on with what is not finished (required)");
  CLI::Option* data =
      add_text_option(*command.parser, "--data", "DIR", "Sweep", "as for qmse train; part of the sweep");
  CLI::Option* fail_fast =
      command.parser->add_flag("--fail-fast")
          ->description(
              wrap_help("stop at the first member that fails, other than by a loss that is not finite; "
                        "the running ones write checkpoints"))
          ->group("Sweep");
  CLI::Option* checkpoints = add_choice_option<KeptCheckpoints>(
      *command.parser, "--keep-checkpoints", "Sweep",
      "none: at the end the checkpoints of finished members are removed, which hold weights and optimizer "
      "state once more (these members keep their weights, and can no longer be made longer), and those of "
      "members that halving has eliminated, which keep their figures alone [all]");
  CLI::Option* dry_run =
      command.parser->add_flag("--dry-run")
          ->description(
              wrap_help("train and write nothing: say how many members there are, and about how long "
                        "they will take and how much room, by some steps of each kind of them"))
          ->group("Sweep");
  const auto options = std::make_shared<SweepOptions>(*command.parser);
  command.parser->footer(
      "Example\n"
      "  {\"base\": {\"dataset\": \"fashion-mnist\", \"epochs\": 5},\n"
      "   \"grid\": {\"loss\": [\"mse\", \"qmse\"], \"lr\": [0.01, 0.1], \"seed\": [1, 2, 3]},\n"
      "   \"members\": [{\"loss\": \"cross_entropy\", \"optimizer\": \"adam\", \"lr\": 0.001}]}\n"
      "  qmse sweep sweep.json --out runs/sweep\n"
      "  {\"base\": {\"dataset\": \"mnist\", \"validation\": 0.1}, \"grid\": {\"loss\": [\"mse\", "
      "\"qmse\"]},\n"
      "   \"sample\": {\"lr\": {\"log_uniform\": [0.001, 1]}, \"count\": 20, \"seed\": 1}}\n"
      "  {\"base\": {\"dataset\": \"mnist\", \"validation\": 0.1, \"epochs\": 18}, \"grid\": {...},\n"
      "   \"halving\": {\"after\": [2, 6], \"factor\": 3}}\n"
      "  mpirun -n 4 qmse sweep sweep.json --out /shared/sweep     four processes share the members\n"
      "\n" +
      wrap_help("Keys are the options of qmse train, spelt with underscores. Every combination of the grid "
                "is a member, and so is each entry of \"members\"; all have the settings of \"base\". "
                "\"sample\" draws settings at random, the same ones for each combination of the grid. "
                "\"halving\" lets, after epochs 2 and 6, a third of each loss's settings go on, those that "
                "validate best. DIR gets results.json and members/, a run directory for each. Any number of "
                "processes may work "
                "on one folder. Exit codes: 0 all finished or eliminated by halving, 1 a member failed, 2 "
                "wrong usage, 128 + N "
                "stopped by signal N (130 Ctrl-C, 143 SIGTERM).",
                kFooterWidth));
  command.action = [=] {
    if (file->count() == 0) throw ConfigError("FILE is missing: the sweep's settings, a JSON object");
    if (out->count() == 0) throw ConfigError("--out DIR is missing: where the sweep's files go");
    const auto request_of = [&] {
      const std::string source = file->as<std::string>();
      SweepRequest request;
      request.spec = parse_sweep(read_text_file(source), in_quotes(source));
      if (data->count() > 0) request.spec.base["data"] = data->as<std::string>();
      request.out = out->as<std::string>();
      request.fail_fast = fail_fast->count() > 0;
      request.keep_checkpoints = chosen(*checkpoints, KeptCheckpoints::all) == KeptCheckpoints::all;
      options->apply(request);
      complete(request.spec, in_quotes(source));
      return request;
    };
    if (dry_run->count() > 0)
      return with_failure_event(options->json(),
                                [&] { return show_estimate(request_of(), options->json()); });
    const std::unique_ptr<SweepDisplay> display = options->make_display();
    int shard = 0;
    const SweepOutcome outcome = with_failure_event(options->json(), [&] {
      const SweepRequest request = request_of();
      shard = request.shard.index;
      return run_sweep(request, display_events(*display, request.shard));
    });
    // Once, and not by each of several processes.
    if (!options->json() && !outcome.stopped && shard == 0) {
      const std::string table = tuning_text(std::filesystem::path(out->as<std::string>()) / "members");
      if (!table.empty()) std::cout << table << '\n';
    }
    return finish_sweep(*display, outcome, out->as<std::string>());
  };
  return command;
}

}  // namespace qmse::app
