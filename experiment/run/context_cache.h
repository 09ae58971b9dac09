// A context that one run after another works in.
#pragma once

#include <memory>

#include "engine/context.h"
#include "experiment/run/config.h"

namespace qmse {

// For one thread, as a context of a GPU belongs to the thread that made it: where a GPU trains several runs
// at once, each of their threads has one. Contexts for the CPU are made for each run.
class ContextCache {
 public:
  // make_context(config), or what an earlier call gave for the same device, arithmetic and workspace.
  std::shared_ptr<Context> get(const TrainConfig& config);
  bool empty() const { return kept_ == nullptr; }

  // Once everything of a run is gone. Memory that it took goes back to the device; after a failure the
  // context goes too, whatever it was that failed in it.
  void run_ended(bool failed) noexcept;

 private:
  std::shared_ptr<Context> kept_;
  TrainConfig config_;  // it was made for
};

}  // namespace qmse
