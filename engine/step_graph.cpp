#include "engine/step_graph.h"

#if QMSE_CUDA
#include "kernels/core/cuda_graph.h"
#endif

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

#if QMSE_CUDA
void StepGraph::launch(std::shared_ptr<CudaGraph>& graph, std::int64_t repetitions) {
  if (!graph) {
    graph = std::make_shared<CudaGraph>(*context_->cuda(), [&] {
      for (std::int64_t i = 0; i < repetitions; ++i) work_();
    });
  }
  graph->launch();
}
#else
void StepGraph::launch(std::shared_ptr<CudaGraph>&, std::int64_t) {}  // nothing is captured
#endif

}  // namespace qmse
