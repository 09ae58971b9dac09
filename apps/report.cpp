#include "experiment/report/report.h"

#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/run_folders.h"
#include "base/error.h"

namespace qmse::app {

Command report_command() {
  Command command =
      make_command("qmse report", "Write a web page about the runs in a folder: curves, tables, settings");
  CLI::Option* folder = add_folder(*command.parser, "a folder with runs at any depth, or one run (required)");
  CLI::Option* out = add_text_option(*command.parser, "--out", "FILE", "Page", "[report.html in FOLDER]");
  CLI::Option* title = add_text_option(*command.parser, "--title", "TEXT", "Page", "the page's heading");
  command.parser->footer(
      "Example\n"
      "  qmse report runs/sweep\n"
      "\n"
      "The page is one file that needs no network: it can be mailed, and reads on a phone.");
  command.action = [=] {
    if (folder->count() == 0) throw ConfigError("FOLDER is missing: where the runs are");
    ReportRequest request;
    request.folder = folder->as<std::string>();
    request.out =
        out->count() > 0 ? std::filesystem::path(out->as<std::string>()) : request.folder / "report.html";
    if (request.out.empty()) throw ConfigError("--out must be the name of a file, not ''");
    if (title->count() > 0) request.title = title->as<std::string>();
    write_report(request);
    std::cout << request.out.string() << '\n';
    return 0;
  };
  return command;
}

}  // namespace qmse::app
