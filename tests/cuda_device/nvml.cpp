// The part of NVIDIA's management library that the project looks for at run time: what other processes leave
// of a device's memory. A shared library of its own, `libnvidia-ml.so.1`.
#include <cstdlib>
#include <string>

#include "tests/cuda_device/control.h"

extern "C" {

struct nvmlMemory {
  unsigned long long total, free, used;
};

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }

int nvmlDeviceGetHandleByPciBusId_v2(const char* bus, void** device) {
  const auto index =
      static_cast<std::size_t>(std::strtol(std::string(bus).substr(5, 2).c_str(), nullptr, 16));
  auto& devices = qmse::cuda_device::settings().devices;
  if (index >= devices.size()) return 6;  // NVML_ERROR_NOT_FOUND
  *device = &devices[index];
  return 0;
}

int nvmlDeviceGetMemoryInfo(void* device, nvmlMemory* memory) {
  const auto* const from = static_cast<const qmse::cuda_device::DeviceSettings*>(device);
  *memory = {from->total_bytes, from->free_bytes, from->total_bytes - from->free_bytes};
  return 0;
}

}  // extern "C"
