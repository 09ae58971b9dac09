// The subcommands. Each adds itself and its options to the program and says what to do when it is chosen; the
// action returns the exit code and throws what goes wrong.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace qmse::app {

struct Command {
  CLI::App* parser;
  std::function<int()> action;
};

Command add_train(CLI::App& program);
Command add_sweep(CLI::App& program);
Command add_reproduce(CLI::App& program);
Command add_evaluate(CLI::App& program);
Command add_trace(CLI::App& program);
Command add_plot(CLI::App& program);
Command add_report(CLI::App& program);
Command add_diff(CLI::App& program);
Command add_data(CLI::App& program);
Command add_data_fetch(CLI::App& data);
Command add_info(CLI::App& program);

}  // namespace qmse::app
