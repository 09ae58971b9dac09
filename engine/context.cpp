#include "engine/context.h"
#include "engine/with_context.h"

namespace qmse {

MemoryResource& Context::memory() {
  return with_context<float>(*this, [](auto& backend) -> MemoryResource& { return backend.memory(); });
}

std::string Context::device_name() const { return is_cuda() ? cuda_->device_name() : cpu_->device_name(); }

void host_to_device(Context& context, void* device, const void* host, std::size_t bytes) {
  with_context<float>(context, [&](auto& backend) { host_to_device(backend, device, host, bytes); });
}

void device_to_host(Context& context, void* host, const void* device, std::size_t bytes) {
  with_context<float>(context, [&](auto& backend) { device_to_host(backend, host, device, bytes); });
}

void device_to_device(Context& context, void* to, const void* from, std::size_t bytes) {
  with_context<float>(context, [&](auto& backend) { device_to_device(backend, to, from, bytes); });
}

void fill_zero(Context& context, void* device, std::size_t bytes) {
  with_context<float>(context, [&](auto& backend) { fill_zero(backend, device, bytes); });
}

void synchronize(Context& context) {
  with_context<float>(context, [&](auto& backend) { synchronize(backend); });
}

}  // namespace qmse
