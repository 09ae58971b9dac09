#include <cuda_runtime_api.h>

#include "device/cuda_check.h"
#include "device/cuda_graph.h"

namespace qmse {

struct CudaGraph::Impl {
  explicit Impl(cudaStream_t s) : stream(s) {}
  ~Impl() {
    if (executable != nullptr) cudaGraphExecDestroy(executable);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  cudaStream_t stream;
  cudaGraphExec_t executable = nullptr;
};

CudaGraph::CudaGraph(CudaContext& context, const std::function<void()>& work)
    : impl_(std::make_unique<Impl>(context.stream())) {
  const cudaStream_t stream = impl_->stream;
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
  const cudaError_t status = cudaGraphInstantiate(&impl_->executable, graph, 0);
  cudaGraphDestroy(graph);
  if (status != cudaSuccess) throw_cuda_error(status, "cudaGraphInstantiate", __FILE__, __LINE__);
}

CudaGraph::~CudaGraph() = default;
CudaGraph::CudaGraph(CudaGraph&&) noexcept = default;
CudaGraph& CudaGraph::operator=(CudaGraph&&) noexcept = default;

void CudaGraph::launch() { QMSE_CUDA_CHECK(cudaGraphLaunch(impl_->executable, impl_->stream)); }

}  // namespace qmse
