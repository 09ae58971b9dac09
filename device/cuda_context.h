// The CUDA execution context: one GPU, one stream on which its work is ordered, a second one for what may run
// beside it (device/branches.h), and the library handles bound to the first. Includes no CUDA header, so that
// code above kernels/ needs none. C++17: included by device code.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <typeindex>

#include "device/context.h"
#include "device/kernel_choice.h"
#include "device/launch.h"
#include "device/math_mode.h"
#include "device/memory.h"

// CUDA's, cuDNN's and cuBLASLt's own names of the types behind cudaStream_t, cudnnHandle_t
// and cublasLtHandle_t.
struct CUstream_st;
struct cudnnContext;
struct cublasLtContext;

namespace qmse {

struct CudaOptions {
  int device = 0;  // index, as choose_cuda_device() gives it
  MathMode math = MathMode::fp32;
  KernelChoice kernels = KernelChoice::automatic;
  bool branches = true;  // false: one sequence, so that each kernel can be timed by itself
  std::size_t workspace_limit = std::size_t{1} << 30;  // bytes one planned operation may take for scratch
};

// Our own calculate in fp32, so with TF32 the libraries' are taken.
inline bool takes_own_kernels(const CudaOptions& options) {
  return options.kernels == KernelChoice::automatic && options.math == MathMode::fp32;
}

// Belongs to the thread that made it: CUDA's current device is set per thread, and each call on the context
// relies on it. Everything made with a context must be destroyed before it.
class CudaContext {
 public:
  // Throws ConfigError where there is no such device (never one in a build without CUDA), CudaError where
  // setting it up fails.
  explicit CudaContext(const CudaOptions& options);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  MemoryResource& memory();      // blocks of cudaMalloc (device/arena.h)
  CUstream_st* stream();         // the one to queue on now
  cudnnContext* cudnn();         // bound to the first stream
  cublasLtContext* cublas_lt();  // one for all contexts with these options: it is bound to no stream

  // Queues the kernel on the stream. Throws CudaError with the kernel's name, shape and place in the source
  // when the launch is refused; what goes wrong while it runs is reported by whichever call waits for the
  // stream. Never waits and allocates nothing, so launches may be captured into a CUDA graph.
  template <class... Parameters>
  void launch(const Kernel<Parameters...>& kernel, const LaunchShape& shape,
              KernelArgumentT<Parameters>... arguments) {
    void* pointers[] = {static_cast<void*>(&arguments)..., nullptr};
    launch(reinterpret_cast<const void*>(kernel.function), pointers, shape, kernel.name, kernel.file,
           kernel.line);
  }

  // Scratch of at least `bytes` bytes for one operation at a time: operations on one stream share it. Never
  // moves: a larger request makes a new one, and the old one lives as long as its users.
  enum class Queue { main, aside };
  std::shared_ptr<Buffer> shared_workspace(std::size_t bytes, Queue queue = Queue::main);

  // What one planned operation may take for scratch at this moment: the option's limit, or what is free.
  std::size_t workspace_limit() const;

  // What operations have in common in all contexts of this process with these options, as long as one of them
  // is there: for example the algorithms chosen so far (device/shared_choices.h). Made when it is first
  // asked for. Contexts of other threads ask too, so a T guards itself.
  template <class T>
  T& shared() {
    return *static_cast<T*>(
        shared_slot(typeid(T), []() -> std::shared_ptr<void> { return std::make_shared<T>(); }));
  }

  // Gives back to the device what no buffer and no plan holds, for other contexts on it.
  void release_unused() noexcept;

  const CudaOptions& options() const;
  const std::string& device_name() const;  // "cuda:0 (NVIDIA H100 80GB HBM3, sm_90)"
  int multiprocessors() const;

 private:
  friend class Branches;
  friend class Aside;
  void launch(const void* function, void** arguments, const LaunchShape& shape, const char* name,
              const char* file, int line);
  void* shared_slot(std::type_index type, std::shared_ptr<void> (*make)());

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qmse
