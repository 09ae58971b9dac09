// What `qmse train` shows of its progress: a bar on a terminal, a line an epoch everywhere.
#pragma once

#include "experiment/training_run.h"

namespace qmse::app {

class ProgressDisplay {
 public:
  ProgressDisplay();

  void notice(const std::string& text);
  void progress(const TrainingProgress& progress);  // on a terminal only
  void epoch(const EpochRecord& record, std::int64_t epochs);
  bool on_terminal() const { return terminal_; }

 private:
  void clear_bar();

  bool terminal_;
  bool bar_shown_ = false;
};

}  // namespace qmse::app
