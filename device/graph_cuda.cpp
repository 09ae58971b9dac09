#include <cuda_runtime_api.h>

#include "device/cuda_graph.h"
#include "device/handle.h"

namespace qmse {
namespace {

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
using Graph = std::unique_ptr<CUgraph_st, DestroyGraph>;

Graph capture(CudaContext& context, const std::function<void()>& work) {
  const cudaStream_t stream = context.stream();
  // Plans take memory when they are made, so this also keeps heuristics out of the capture.
  const MemorySeal seal(context.memory(), "a step is being captured");
  cudaGraph_t graph = nullptr;
  QMSE_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  try {
    work();
  } catch (...) {
    // The stream must leave capture before anything else can be queued on it; the
    // first error is the one to report.
    cudaStreamEndCapture(stream, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  QMSE_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  return Graph(graph);
}

// cudaGraphInstantiate() is overloaded in C++.
cudaError_t instantiate(cudaGraphExec_t* executable, cudaGraph_t graph) {
  return cudaGraphInstantiate(executable, graph, 0);
}

}  // namespace

struct CudaGraph::Impl {
  Impl(cudaStream_t stream_of_context, const Graph& graph)
      : stream(stream_of_context), executable(graph.get()) {}

  cudaStream_t stream;
  Handle<cudaGraphExec_t, instantiate, cudaGraphExecDestroy> executable;
};

CudaGraph::CudaGraph(CudaContext& context, const std::function<void()>& work)
    : impl_(std::make_unique<Impl>(context.stream(), capture(context, work))) {}

CudaGraph::~CudaGraph() = default;
CudaGraph::CudaGraph(CudaGraph&&) noexcept = default;
CudaGraph& CudaGraph::operator=(CudaGraph&&) noexcept = default;

void CudaGraph::launch() { QMSE_CUDA_CHECK(cudaGraphLaunch(impl_->executable.get(), impl_->stream)); }

}  // namespace qmse
