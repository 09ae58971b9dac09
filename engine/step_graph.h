// A fixed sequence of device work that is run many times: on CUDA
// captured once and replayed, elsewhere just run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "device/cuda_graph.h"
#include "engine/context.h"

namespace qmse {

class StepGraph {
 public:
  // So many repetitions are captured as one graph: the GPU goes from one to the next by itself, and the host
  // has nothing to do in the meantime.
  static constexpr std::int64_t kRepetitions = 16;

  // `work` queues the sequence; everything that changes between runs must be in device memory. Nothing runs
  // yet. With `capture` false the work is queued piece by piece every time (to debug).
  StepGraph(Context& context, std::function<void()> work, bool capture);

  // Queues the work `times` times; does not wait for the device. On CUDA the very first time eagerly, so that
  // libraries load and choose what they need; from then on as graphs of kRepetitions and of one, each
  // captured when it is first needed.
  void run(std::int64_t times);

 private:
  void launch(std::unique_ptr<CudaGraph>& graph, std::int64_t repetitions);

  Context* context_;
  std::function<void()> work_;
  bool capture_;
  bool ran_ = false;
  std::unique_ptr<CudaGraph> once_, several_;
};

}  // namespace qmse
