// Launches kernels on a CUDA stream (kernels/gpu/launch.h). C++17; needs the CUDA toolkit's headers.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "base/error.h"
#include "kernels/gpu/launch.h"

namespace qmse {

// Never synchronises and allocates nothing, so launches may be captured into a CUDA graph.
class CudaLauncher {
 public:
  explicit CudaLauncher(cudaStream_t stream) : stream_(stream) {}

  // Queues the kernel. Throws CudaError with the kernel's name, shape and place in the source when the launch
  // is refused; what goes wrong while it runs is reported by whichever call waits for the stream.
  template <class... Parameters>
  void launch(const Kernel<Parameters...>& kernel, const LaunchShape& shape,
              KernelArgumentT<Parameters>... arguments) {
    const void* function = reinterpret_cast<const void*>(kernel.function);
    void* pointers[] = {static_cast<void*>(&arguments)..., nullptr};
    check(cudaLaunchKernel(function, dim3(shape.grid.x, shape.grid.y, shape.grid.z),
                           dim3(shape.block.x, shape.block.y, shape.block.z), pointers, shape.shared_bytes,
                           stream_),
          kernel.name, kernel.file, kernel.line, shape);
  }

 private:
  static std::string text(const Extent& extent) {
    return "(" + std::to_string(extent.x) + ", " + std::to_string(extent.y) + ", " +
           std::to_string(extent.z) + ")";
  }

  static void check(cudaError_t status, const char* name, const char* file, int line,
                    const LaunchShape& shape) {
    if (status == cudaSuccess) return;
    cudaGetLastError();  // the error is reported here; later calls must not find it again
    throw CudaError(
        std::string("launch of ") + name + " at " + file + ":" + std::to_string(line) + ", grid " +
        text(shape.grid) + ", block " + text(shape.block) + ", " + std::to_string(shape.shared_bytes) +
        " bytes of dynamic shared memory: " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
  }

  cudaStream_t stream_;
};

}  // namespace qmse
