#include <array>
#include <iostream>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/run_folders.h"
#include "apps/tuning_text.h"
#include "base/words.h"

namespace qmse::app {
namespace {

enum class TableEpoch { last, best };
constexpr std::array<Choice<TableEpoch>, 2> choices(TableEpoch) {
  return {{{TableEpoch::last, "last"}, {TableEpoch::best, "best"}}};
}

}  // namespace

Command table_command() {
  Command command = make_command(
      "qmse table", "Compare losses, or other settings, each with its best learning rate, as a table");
  CLI::App& parser = *command.parser;
  CLI::Option* folders = add_run_folders(parser);
  CLI::Option* by = add_text_option(parser, "--by", "NAME,NAME,...", "Comparison",
                                    "settings that are compared, spelt with underscores [loss]");
  CLI::Option* best_over =
      add_text_option(parser, "--best-over", "NAME,NAME,...", "Comparison",
                      "settings that are tuned for each of what is compared; none: none [those of optimizer, "
                      "schedule and batch size in which the runs differ]");
  CLI::Option* metric = add_text_option(parser, "--metric", "KEY", "Comparison",
                                        "what is reported, a key of metrics.jsonl [test_accuracy]");
  CLI::Option* choose = add_text_option(
      parser, "--choose-by", "KEY", "Comparison",
      "what the best setting is chosen by [validation_... where all runs have it, else KEY of "
      "--metric, with a warning]");
  CLI::Option* against =
      add_text_option(parser, "--against", "VALUE", "Comparison",
                      "what differences are to, a value of the first NAME of --by [mse, or the first]");
  CLI::Option* at = add_choice_option<TableEpoch>(
      parser, "--at", "Comparison",
      "figures after the last epoch, or after each run's epoch with the best KEY of --choose-by [last]");
  CLI::Option* format =
      add_table_format(parser, "csv has every setting that was tried, and a number a cell ");
  parser.footer(
      "Examples\n"
      "  qmse table runs/sweep                                      the losses, each at its best rate\n"
      "  qmse table runs/sweep --by loss --best-over lr --metric test_accuracy --format latex\n"
      "  qmse table runs --by model,loss --metric test_loss --at best\n"
      "\n" +
      wrap_help(
          "Runs that differ only in their seeds are one setting: mean ± sample standard deviation, n, and "
          "the mean difference of pairs with the same seeds with its 95 % interval. Data sets, models "
          "and whatever else differs are compared within themselves. A setting of which all runs finished "
          "comes before one of which some diverged.",
          kFooterWidth));
  command.action = [=] {
    TuningRequest request;
    if (by->count() > 0) request.by = split(by->as<std::string>(), ',');
    if (best_over->count() > 0) {
      const auto text = best_over->as<std::string>();
      request.best_over = text == "none" ? std::vector<std::string>{} : split(text, ',');
    }
    if (metric->count() > 0) request.metric = metric->as<std::string>();
    if (choose->count() > 0) request.choose = choose->as<std::string>();
    if (against->count() > 0) request.against = against->as<std::string>();
    request.best_epoch = chosen(*at, TableEpoch::last) == TableEpoch::best;
    const TableFormat shape = table_format(*format);
    const Tuning tuning = tune(group_runs(runs_in(*folders)), request);
    std::cout << tuning_text(tuning, shape);
    if (shape == TableFormat::csv || shape == TableFormat::latex) {
      for (const std::string& warning : tuning_warnings(tuning)) std::cerr << "note: " << warning << '\n';
    }
    return 0;
  };
  return command;
}

}  // namespace qmse::app
