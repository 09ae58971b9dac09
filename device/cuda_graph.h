// A captured sequence of stream work, launched as one CUDA graph.
#pragma once

#include <functional>
#include <memory>

#include "device/cuda_context.h"

namespace qmse {

class CudaGraph {
 public:
  // Captures what `work` queues on the context's stream; nothing of it runs. `work` must have run eagerly
  // before (plans chosen, kernels loaded), must not wait for the device, and may use no memory that is freed
  // while the graph lives. Throws CudaError.
  CudaGraph(CudaContext& context, const std::function<void()>& work);
  ~CudaGraph();
  CudaGraph(CudaGraph&&) noexcept;
  CudaGraph& operator=(CudaGraph&&) noexcept;

  // Queues the sequence on the stream once more; does not wait.
  void launch();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qmse
