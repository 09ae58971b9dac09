#include "engine/step_graph.h"

namespace qmse {

StepGraph::StepGraph(Context& context, std::function<void()> work, bool capture)
    : context_(&context), work_(std::move(work)), capture_(capture && context.is_cuda()) {}

void StepGraph::run(std::int64_t times) {
  for (; times > 0 && (!capture_ || !ran_); --times) {
    work_();
    ran_ = true;
  }
  for (; times >= kRepetitions; times -= kRepetitions) launch(several_, kRepetitions);
  for (; times > 0; --times) launch(once_, 1);
}

void StepGraph::launch(std::unique_ptr<CudaGraph>& graph, std::int64_t repetitions) {
  if (!graph) {
    graph = std::make_unique<CudaGraph>(*context_->cuda(), [&] {
      for (std::int64_t i = 0; i < repetitions; ++i) work_();
    });
  }
  graph->launch();
}

}  // namespace qmse
