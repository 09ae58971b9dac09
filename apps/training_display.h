// What `qmse train` writes to standard output: lines for people, or JSON objects for programs.
#pragma once

#include <memory>
#include <string>

#include "experiment/run/training_run.h"

namespace qmse::app {

class TrainingDisplay {
 public:
  virtual ~TrainingDisplay() = default;

  virtual void notice(const std::string& text) = 0;
  virtual void epoch(const EpochRecord& record, std::int64_t epochs) = 0;
  // `weights`: their SHA-256 (tensor_digest.h) where the run is finished.
  virtual void end(TrainingOutcome outcome, const std::string& out, const std::string& weights) = 0;
  // In place of end() where there is nothing to go on with.
  virtual void stopped_early(const std::string& out) = 0;

  // Whether progress within an epoch is shown too.
  virtual bool live() const { return false; }
  virtual void progress(const TrainingProgress&) {}
};

// Lines, and on a terminal one that is rewritten as training goes on.
std::unique_ptr<TrainingDisplay> make_text_display();

// An object a line: {"event": "notice", "text": ...}, {"event": "epoch", "epochs": ..., and what
// metrics.jsonl has}, and last {"event": "finished" or "already_finished",
// "out": ..., "weights_sha256": ...},
// {"event": "stopped", "out": ...}, or what with_failure_event() writes.
std::unique_ptr<TrainingDisplay> make_json_display();

}  // namespace qmse::app
