// The backend a model lives on, chosen at run time; engine/with_context.h is the bridge to the kernels, which
// are chosen by overload.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "device/context.h"
#include "device/cuda_context.h"

namespace qmse {

// Owns one execution context of either kind. Stays where it is: what is made with it keeps its address.
class Context {
 public:
  explicit Context(std::unique_ptr<CpuContext> cpu) : cpu_(std::move(cpu)) {}
  explicit Context(std::unique_ptr<CudaContext> cuda) : cuda_(std::move(cuda)) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  bool is_cuda() const { return cpu_ == nullptr; }
  MemoryResource& memory();
  std::string device_name() const;

  CpuContext* cpu() { return cpu_.get(); }
  CudaContext* cuda() { return cuda_.get(); }

 private:
  std::unique_ptr<CpuContext> cpu_;
  std::unique_ptr<CudaContext> cuda_;
};

// Device-independent moves of bytes; see device/context.h.
void host_to_device(Context& context, void* device, const void* host, std::size_t bytes);
void device_to_host(Context& context, void* host, const void* device, std::size_t bytes);
void device_to_device(Context& context, void* to, const void* from, std::size_t bytes);
void fill_zero(Context& context, void* device, std::size_t bytes);
void synchronize(Context& context);

}  // namespace qmse
