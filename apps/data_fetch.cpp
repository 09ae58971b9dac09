#include <iostream>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/stop_signal.h"
#include "apps/terminal_line.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "data/fetch.h"
#include "data/registry.h"

namespace qmse::app {
namespace {

// On a terminal how much has arrived; the files' addresses everywhere.
class FetchDisplay {
 public:
  void start(const std::string& url) { terminal_.print(url); }
  void progress(std::uint64_t done, std::uint64_t total) {
    constexpr double kMega = 1e6;
    const auto megabytes = [](std::uint64_t bytes) {
      return fixed_text(static_cast<double>(bytes) / kMega, 1);
    };
    terminal_.show("  " + megabytes(done) + (total > 0 ? " of " + megabytes(total) : "") + " MB");
  }
  void clear() { terminal_.clear(); }

 private:
  TerminalLine terminal_;
};

int fetch(const std::string& name, const std::string& mirror, const std::string& out) {
  FetchPlan plan = fetch_plan(name);
  if (!mirror.empty()) {
    if (!mirror.starts_with("http://") && !mirror.starts_with("https://"))
      throw ConfigError("--mirror must begin with http:// or https://, not be " + in_quotes(mirror));
    plan.mirror = mirror;
  }
  const DataPlaces places = data_places_from_environment();
  const std::string folder = !out.empty() ? out : !places.variable.empty() ? places.variable : places.cache;
  if (folder.empty()) throw ConfigError("there is no home folder to fetch into: name a folder with --out");
  FetchDisplay display;
  DownloadOptions options;
  options.progress = [&](std::uint64_t done, std::uint64_t total) { display.progress(done, total); };
  options.stop = [] { return stop_signal() != 0; };
  catch_stop_signals();
  try {
    const std::filesystem::path directory =
        fetch_dataset(plan, folder, options, {[&](const std::string& url) { display.start(url); }});
    display.clear();
    std::cout << name << " is in " << directory.string() << ", official by SHA-256\n";
    return 0;
  } catch (const Error&) {
    display.clear();
    if (stop_signal() == 0) throw;
  }
  std::cout << "stopped; the same command goes on from here\n";
  return 128 + stop_signal();
}

}  // namespace

Command data_fetch_command() {
  Command command =
      make_command("qmse data fetch", "Download a data set, check it, and put it where qmse looks");
  const CLI::Option* name = add_dataset_name(*command.parser);
  const CLI::Option* mirror =
      add_text_option(*command.parser, "--mirror", "URL", "Options",
                      "where the files lie instead of the usual place; their names are added to it");
  const CLI::Option* out = add_text_option(*command.parser, "--out", "DIR", "Options",
                                           "folder that gets the data set's folder [QMSE_DATA where it is "
                                           "set, else ~/.cache/qmse, or in XDG_CACHE_HOME]");
  command.parser->footer(
      "Nothing appears under its name before its SHA-256 is that of the official data set. An interrupted "
      "download\n"
      "goes on where it was. Proxies are taken from http_proxy, https_proxy and no_proxy.");
  command.action = [=] {
    return fetch(dataset_name(*name), mirror->count() > 0 ? mirror->as<std::string>() : "",
                 out->count() > 0 ? out->as<std::string>() : "");
  };
  return command;
}

}  // namespace qmse::app
