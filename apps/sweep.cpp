#include "experiment/sweep.h"

#include <charconv>
#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/sweep_display.h"
#include "engine/in_quotes.h"
#include "experiment/config_fields.h"
#include "kernels/core/error.h"

namespace qmse::app {

std::int64_t whole_number(const CLI::Option& option, std::int64_t low, std::int64_t high) {
  const std::string text = option.results().front();
  std::int64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || rest != text.data() + text.size() || number < low || number > high) {
    throw ConfigError(option.get_name() + " must be a whole number in [" + std::to_string(low) + ", " +
                      std::to_string(high) + "], not " + in_quotes(text));
  }
  return number;
}

SweepOptions::SweepOptions(CLI::App& command) {
  jobs_ = add_text_option(
      command, "--jobs", "N", "Machine",
      "members trained at a time; without it as many as CPU threads, or 4 on a GPU. Results do "
      "not depend on it");
  shard_ = add_text_option(
      command, "--shard", "I/N", "Machine",
      "begin with share I (from 0) of N; without it the rank that an MPI launcher or Slurm gave "
      "this process. What others leave unfinished is taken over");
  device_ = add_text_option(command, "--device", "auto|cpu|cuda[:N]", "Machine", "as for qmse train [auto]");
  threads_ = add_text_option(command, "--threads", "N", "Machine",
                             "CPU threads of all members together; 0: all [0]");
}

void SweepOptions::apply(SweepRequest& request) const {
  for (const auto& [option, key] : {std::pair{device_, "device"}, {threads_, "threads"}}) {
    if (option->count() > 0)
      request.spec.base[key] = value_from_text(*find_field(key), option->results().front());
  }
  if (jobs_->count() > 0) request.jobs = whole_number(*jobs_, 1, 1024);
  if (shard_->count() > 0) {
    request.shard = parse_shard(shard_->results().front());
  } else if (const std::optional<Shard> shard = shard_from_environment()) {
    request.shard = *shard;
  }
}

Command add_sweep(CLI::App& program) {
  CLI::App* parser = program.add_subcommand(
      "sweep", "Train every combination of settings in a file, as one job in one folder");
  CLI::Option* file =
      parser->add_option("FILE")->description(wrap_help("the sweep, a JSON object; see below"));
  CLI::Option* out =
      add_text_option(*parser, "--out", "DIR", "Sweep",
                      "the sweep's folder; the same command again goes on with what is not finished");
  CLI::Option* data =
      add_text_option(*parser, "--data", "DIR", "Sweep", "as for qmse train; part of the sweep");
  const auto options = std::make_shared<SweepOptions>(*parser);
  parser->footer(
      "Example\n"
      "  {\"base\": {\"dataset\": \"fashion-mnist\", \"epochs\": 5},\n"
      "   \"grid\": {\"loss\": [\"mse\", \"qmse\"], \"lr\": [0.01, 0.1], \"seed\": [1, 2, 3]},\n"
      "   \"members\": [{\"loss\": \"cross_entropy\", \"optimizer\": \"adam\", \"lr\": 0.001}]}\n"
      "  qmse sweep sweep.json --out runs/sweep\n"
      "  mpirun -n 4 qmse sweep sweep.json --out /shared/sweep     four processes share the members\n"
      "\n"
      "Keys are the options of qmse train, spelt with underscores. Every combination of the grid is a "
      "member, and so "
      "is each entry of\n"
      "\"members\"; all have the settings of \"base\". DIR gets results.json and members/, a run directory "
      "for each. Any "
      "number of processes\n"
      "may work on one folder. Exit codes: 0 all finished, 1 a member failed, 2 wrong usage, 130 and 143 "
      "stopped by "
      "Ctrl-C and SIGTERM.");
  return {parser, [=] {
            if (file->count() == 0) throw ConfigError("qmse sweep FILE.json --out DIR: the file is missing");
            if (out->count() == 0) throw ConfigError("--out DIR is missing: where the sweep's files go");
            const std::string source = file->as<std::string>();
            SweepRequest request;
            request.spec = parse_sweep(read_text_file(source), in_quotes(source));
            if (data->count() > 0) request.spec.base["data"] = data->as<std::string>();
            request.out = out->as<std::string>();
            options->apply(request);
            complete(request.spec, in_quotes(source));
            SweepDisplay display;
            return display.finish(run_sweep(request, display.events(request.shard)), request.out.string());
          }};
}

}  // namespace qmse::app
