// What a sweep says while it runs: a line for each member that is done and, on a terminal, a line that shows
// how far all of them are.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "experiment/sweep.h"

namespace qmse::app {

// --jobs, --shard, --device and --threads.
class SweepOptions {
 public:
  explicit SweepOptions(CLI::App& command);
  // ConfigError for wrong values, of the environment's ranks too.
  void apply(SweepRequest& request) const;

 private:
  CLI::Option *jobs_, *shard_, *device_, *threads_;
};

// The value of an option, checked. ConfigError.
std::int64_t whole_number(const CLI::Option& option, std::int64_t low, std::int64_t high);

class SweepDisplay {
 public:
  SweepDisplay();

  // Events that write to standard output and stop on Ctrl-C and SIGTERM. Valid while this object lives. The
  // line is for a process alone: those of several would mix.
  SweepEvents events(const Shard& shard);

  // Lists what failed. The exit code: 0, 1 where a member failed, 128 + signal where a signal stopped it.
  int finish(const SweepOutcome& outcome, const std::string& folder);

 private:
  void line(const std::string& text);
  void member(const MemberReport& report, const SweepProgress& progress);
  void progress(const SweepProgress& progress);

  bool terminal_;
  bool bar_shown_ = false;
};

}  // namespace qmse::app
