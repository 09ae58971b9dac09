// Launches kernels on a CUDA stream (device/launch.h): what CudaContext does, for code that has a stream
// alone. C++17; needs the CUDA toolkit's headers.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "base/error.h"
#include "device/launch.h"

namespace qmse {

// A block's shared memory without asking, and what every GPU that this project is written for gives where it
// is asked for (compute capability 7.5 has no more). Kernels ask for all of it, so that no launch lowers what
// another thread's has just asked for.
inline constexpr std::size_t kSharedBytesUnasked = 48 * 1024, kSharedBytesAsked = 64 * 1024;

// Queues the kernel. Throws CudaError with its name, shape and place in the source when the launch is
// refused; what goes wrong while it runs is reported by whichever call waits for the stream.
inline void launch_on_stream(cudaStream_t stream, const void* function, void** arguments,
                             const LaunchShape& shape, const char* name, const char* file, int line) {
  const auto dimensions = [](const Extent& extent) { return dim3(extent.x, extent.y, extent.z); };
  cudaError_t status = cudaSuccess;
  if (shape.shared_bytes > kSharedBytesUnasked) {
    status = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(std::max(shape.shared_bytes, kSharedBytesAsked)));
  }
  if (status == cudaSuccess) {
    status = cudaLaunchKernel(function, dimensions(shape.grid), dimensions(shape.block), arguments,
                              shape.shared_bytes, stream);
  }
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the error is reported here; later calls must not find it again
  const auto text = [](const Extent& extent) {
    return "(" + std::to_string(extent.x) + ", " + std::to_string(extent.y) + ", " +
           std::to_string(extent.z) + ")";
  };
  throw CudaError(
      std::string("launch of ") + name + " at " + file + ":" + std::to_string(line) + ", grid " +
      text(shape.grid) + ", block " + text(shape.block) + ", " + std::to_string(shape.shared_bytes) +
      " bytes of dynamic shared memory: " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

// Never waits and allocates nothing, so launches may be captured into a CUDA graph.
class CudaLauncher {
 public:
  explicit CudaLauncher(cudaStream_t stream) : stream_(stream) {}

  // Of the current device, which is the stream's.
  static int multiprocessors() {
    int device = 0;
    int count = 0;
    cudaError_t status = cudaGetDevice(&device);
    if (status == cudaSuccess) {
      status = cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
    }
    if (status == cudaSuccess) return count;
    cudaGetLastError();  // the error is reported here; later calls must not find it again
    throw CudaError(std::string("asking for the multiprocessors: ") + cudaGetErrorName(status) + ": " +
                    cudaGetErrorString(status));
  }

  template <class... Parameters>
  void launch(const Kernel<Parameters...>& kernel, const LaunchShape& shape,
              KernelArgumentT<Parameters>... arguments) {
    void* pointers[] = {static_cast<void*>(&arguments)..., nullptr};
    launch_on_stream(stream_, reinterpret_cast<const void*>(kernel.function), pointers, shape, kernel.name,
                     kernel.file, kernel.line);
  }

 private:
  cudaStream_t stream_;
};

}  // namespace qmse
