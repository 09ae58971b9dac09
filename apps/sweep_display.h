// What `qmse sweep` and `qmse reproduce` write to standard output while they run: lines for people, or JSON
// objects for programs.
#pragma once

#include <memory>
#include <string>

#include "experiment/sweep/sweep.h"

namespace qmse::app {

class SweepDisplay {
 public:
  virtual ~SweepDisplay() = default;

  virtual void notice(const std::string& text) = 0;
  virtual void member(const MemberReport& report, const SweepProgress& progress) = 0;
  // The last word: "finished", or "stopped" by a signal; `out` holds the results.
  virtual void end(const SweepOutcome& outcome, const std::string& out) = 0;

  // Whether progress within members is shown too.
  virtual bool live() const { return false; }
  virtual void progress(const SweepProgress&) {}
};

// A line for each member that is done and, on a terminal, one that shows how far all of them are.
std::unique_ptr<SweepDisplay> make_text_sweep_display();

// {"event": "notice", "text": ...}, {"event": "member", "name": ..., "status": ..., ...}, and last
// {"event": "finished" or "stopped", "members": ..., "finished": ..., "failed": ...,
// "failures": [{"name": ..., "error": ...}], "out": ...}, "eliminated" with halving, and "results_error" where
// results.json could not be written.
std::unique_ptr<SweepDisplay> make_json_sweep_display();

// Events that `display` shows, and that stop on Ctrl-C and SIGTERM. They keep a reference to it.
SweepEvents display_events(SweepDisplay& display, const Shard& shard);

// Says how the sweep in `out` ended. The exit code, 0 or 128 + signal; Error where members failed.
int finish_sweep(SweepDisplay& display, const SweepOutcome& outcome, const std::string& out);

}  // namespace qmse::app
