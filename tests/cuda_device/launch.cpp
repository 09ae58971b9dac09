// Launches of kernels: arguments are copied, looked at, and handed to the SIMT executor when the stream
// gets there.
#include "tests/cuda_device/launch.h"

#include <cstring>
#include <map>
#include <unordered_map>
#include <utility>

#include "tests/cuda_device/stand_in.h"

namespace qmse::cuda_device {
namespace {

using Kernels = std::unordered_map<const void*, KnownKernel>;
Kernels& kernels() {
  static Kernels* const only = new Kernels;
  return *only;
}

// The dynamic shared memory that a kernel asked for on a device.
std::size_t& asked_shared_bytes(const void* function, int device) {
  static auto* const all = new std::map<std::pair<const void*, int>, std::size_t>;
  return (*all)[{function, device}];
}

struct Arguments {
  std::vector<std::vector<std::uint64_t>> words;  // of each
  std::vector<void*> pointers() {
    std::vector<void*> all;
    for (auto& argument : words) all.push_back(argument.data());
    return all;
  }
};

}  // namespace

void register_kernel(const void* function, KnownKernel kernel) {
  const auto lock = locked();
  kernels().emplace(function, std::move(kernel));
}

}  // namespace qmse::cuda_device

using namespace qmse::cuda_device;

extern "C" {

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             std::size_t shared_bytes, cudaStream_t stream) {
  const auto lock = locked();
  const auto found = kernels().find(function);
  if (found == kernels().end()) {
    report("a kernel is launched that is no QMSE_KERNEL");
    return remember(cudaErrorInvalidDeviceFunction);
  }
  const KnownKernel& kernel = found->second;
  if (!valid(stream, "cudaLaunchKernel")) return remember(cudaErrorInvalidResourceHandle);
  const int device = device_of(stream);
  if (device != current_device()) {
    report("a launch of " + kernel.name + " on a stream of a device that is not the thread's current one");
    return remember(cudaErrorInvalidResourceHandle);
  }
  if (const cudaError_t status = sticky_error(device)) return remember(status);
  const DeviceSettings& properties = settings().devices[static_cast<std::size_t>(device)];
  if (properties.major * 10 + properties.minor < 75) return remember(cudaErrorNoKernelImageForDevice);
  if (std::uint64_t{grid.x} * grid.y * grid.z == 0 || grid.y > 65535 || grid.z > 65535 ||
      grid.x > 0x7FFFFFFF || std::uint64_t{block.x} * block.y * block.z == 0 ||
      std::uint64_t{block.x} * block.y * block.z > 1024) {
    return remember(cudaErrorInvalidConfiguration);
  }
  if (shared_bytes > qmse::simt::max_static_shared_bytes &&
      shared_bytes > asked_shared_bytes(function, device)) {
    return remember(cudaErrorInvalidValue);
  }
  if (fails(Fault::launch)) return remember(cudaErrorLaunchOutOfResources);
  if (first_use(device, "kernel " + std::to_string(reinterpret_cast<std::uintptr_t>(function))) &&
      capturing(stream)) {
    breaks_capture(("the first launch of " + kernel.name + " on this device, which loads it,").c_str());
    return remember(cudaErrorStreamCaptureUnsupported);
  }

  Arguments copy;
  Operation operation{
      "kernel " + kernel.name, here(), {}, {}, Operation::Launch{function, grid, block, shared_bytes}};
  for (std::size_t i = 0; i < kernel.parameter_bytes.size(); ++i) {
    const std::size_t bytes = kernel.parameter_bytes[i];
    auto& words = copy.words.emplace_back((bytes + 7) / 8);
    std::memcpy(words.data(), arguments[i], bytes);
    kernel.clear_padding[i](words.data());
    // Every word that is an address is one: of device memory, or of the host's, which no kernel may get.
    for (std::size_t word = 0; word < bytes / 8; ++word) {
      const auto* const pointer = reinterpret_cast<const void*>(words[word]);
      std::string fault;
      if (is_device_memory(pointer)) {
        operation.uses.push_back({pointer, 0, "a kernel's argument"});
        fault = fault_of(operation.uses.back(), device);
      } else if (is_host_memory(pointer)) {
        fault = "it points to host memory";
      }
      if (fault.empty()) continue;
      report("argument " + std::to_string(i) + " of kernel " + kernel.name + ": " + fault);
      return remember(cudaErrorInvalidValue);
    }
  }
  const qmse::LaunchShape shape{{grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared_bytes};
  // Each run has arguments of its own: a kernel may change its parameters.
  operation.run = [run = kernel.run, shape, copy] {
    Arguments own = copy;
    const std::vector<void*> pointers = own.pointers();
    qmse::simt::Context gpu(settings().seed < 2 ? settings().seed : random_below(1u << 30) + 2);
    run(gpu, shape, pointers.data());
  };
  return remember(enqueue(stream, std::move(operation)));
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  const auto lock = locked();
  if (kernels().count(function) == 0) return remember(cudaErrorInvalidDeviceFunction);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<std::size_t>(value) > qmse::simt::max_shared_bytes) {
    return remember(cudaErrorInvalidValue);
  }
  asked_shared_bytes(function, current_device()) = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaFuncGetName(const char** name, const void* function) {
  const auto lock = locked();
  const auto found = kernels().find(function);
  if (found == kernels().end()) return remember(cudaErrorInvalidDeviceFunction);
  *name = found->second.name.c_str();
  return cudaSuccess;
}

}  // extern "C"
