#include "engine/step_graph.h"

#if QMSE_CUDA
#include "kernels/core/cuda_graph.h"
#endif

namespace qmse {

StepGraph::StepGraph(Context& context, std::function<void()> work, bool capture)
    : context_(&context), work_(std::move(work)), capture_(capture && context.is_cuda()) {}

void StepGraph::run() {
#if QMSE_CUDA
  if (capture_ && ran_) {
    if (!graph_) graph_ = std::make_shared<CudaGraph>(*context_->cuda(), work_);
    graph_->launch();
    return;
  }
#endif
  work_();
  ran_ = true;
}

}  // namespace qmse
