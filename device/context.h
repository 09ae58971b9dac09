// Execution contexts: where an operation runs. Every operation in kernels/ is overloaded on the context, so
// no registry lists them: max_pool2d_forward(CpuContext&, ...) and max_pool2d_forward(CudaContext&, ...).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/thread_pool.h"
#include "device/instruction_set.h"
#include "device/memory.h"

namespace qmse {

// The CPU backend: a pool of threads and host memory. One context serves one training at a time.
class CpuContext {
 public:
  // `threads` as for ThreadPool; 0 takes every processor this process may run on. What is made for this context
  // has the instruction set's loops; throws Error where that is not available.
  explicit CpuContext(int threads = 0, InstructionSet set = best_instruction_set());
  ~CpuContext();
  CpuContext(const CpuContext&) = delete;
  CpuContext& operator=(const CpuContext&) = delete;

  ThreadPool& threads() { return threads_; }
  MemoryResource& memory() { return *memory_; }
  InstructionSet instruction_set() const { return instruction_set_; }
  std::string device_name() const { return "cpu"; }

 private:
  ThreadPool threads_;
  InstructionSet instruction_set_;
  std::unique_ptr<MemoryResource> memory_;
};

// The CUDA backend (device/cuda_context.h). In builds without QMSE_CUDA none can be made.
class CudaContext;

// Plain moves of bytes between the host and the context's device, and within it. host_to_device and
// device_to_host return when the host memory may be reused or read; the others are ordered with the context's
// other work.
void host_to_device(CpuContext&, void* device, const void* host, std::size_t bytes);
void device_to_host(CpuContext&, void* host, const void* device, std::size_t bytes);
void device_to_device(CpuContext&, void* to, const void* from, std::size_t bytes);
void fill_zero(CpuContext&, void* device, std::size_t bytes);
void synchronize(CpuContext&);

void host_to_device(CudaContext&, void* device, const void* host, std::size_t bytes);
void device_to_host(CudaContext&, void* host, const void* device, std::size_t bytes);
void device_to_device(CudaContext&, void* to, const void* from, std::size_t bytes);
void fill_zero(CudaContext&, void* device, std::size_t bytes);
void synchronize(CudaContext&);

}  // namespace qmse
