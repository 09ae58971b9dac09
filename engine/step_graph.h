// A fixed sequence of device work that is run many times: on CUDA captured once and replayed, elsewhere just
// run.
#pragma once

#include <functional>
#include <memory>

#include "engine/context.h"

namespace qmse {

class CudaGraph;

class StepGraph {
 public:
  // `work` queues the sequence; everything that changes between runs must be in device memory. Nothing runs
  // yet. With `capture` false the work is run as it is every time (to debug).
  StepGraph(Context& context, std::function<void()> work, bool capture);

  // On CUDA: the first time eagerly, so that libraries load and choose what they need; the second time
  // captured and launched; from then on launched. Does not wait for the device.
  void run();

 private:
  Context* context_;
  std::function<void()> work_;
  bool capture_;
  bool ran_ = false;
  std::shared_ptr<CudaGraph> graph_;  // shared_ptr: the type is incomplete in builds without CUDA
};

}  // namespace qmse
