#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <dlfcn.h>

#include "base/error.h"
#include "device/cuda_check.h"
#include "device/devices.h"

namespace qmse {
namespace {

// 13000 -> "13.0"; how the CUDA runtime and driver number themselves.
std::string cuda_version(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int driver_version() {
  int version = 0;  // stays 0 where no driver is installed
  QMSE_CUDA_CHECK(cudaDriverGetVersion(&version));
  return version;
}

// The number of devices, or the reason why there is none.
int count_devices(std::string& reason) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return count;
  cudaGetLastError();  // not found again by later calls
  if (status == cudaErrorInsufficientDriver && driver_version() == 0) {
    reason = "no NVIDIA driver is installed";
  } else if (status == cudaErrorInsufficientDriver) {
    reason = "the NVIDIA driver is for CUDA " + cuda_version(driver_version()) +
             ", this build needs one for CUDA " + cuda_version(CUDART_VERSION);
  } else if (status == cudaSuccess || status == cudaErrorNoDevice) {
    reason = "CUDA sees no NVIDIA GPU (CUDA_VISIBLE_DEVICES may hide it)";
  } else {
    reason =
        std::string("CUDA cannot start: ") + cudaGetErrorName(status) + ": " + cudaGetErrorString(status);
  }
  return 0;
}

std::string dotted(std::size_t major, std::size_t minor, std::size_t patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

// What NVIDIA's management library, which comes with the driver, says of memory; unlike CUDA it needs no
// context on the device. It is looked for at run time: not every system that builds this has it.
class Management {
 public:
  Management() : library_(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) return;
    started_ = find(init_, "nvmlInit_v2") && find(shutdown_, "nvmlShutdown") &&
               find(by_pci_, "nvmlDeviceGetHandleByPciBusId_v2") &&
               find(memory_, "nvmlDeviceGetMemoryInfo") && init_() == 0;
  }
  ~Management() {
    if (started_) shutdown_();
    if (library_ != nullptr) dlclose(library_);
  }
  Management(const Management&) = delete;
  Management& operator=(const Management&) = delete;

  std::optional<std::size_t> free_bytes(int index) const {
    char bus[32] = "";
    if (!started_ || cudaDeviceGetPCIBusId(bus, sizeof(bus), index) != cudaSuccess) {
      cudaGetLastError();
      return std::nullopt;
    }
    void* device = nullptr;
    Memory memory{};
    if (by_pci_(bus, &device) != 0 || memory_(device, &memory) != 0) return std::nullopt;
    return static_cast<std::size_t>(memory.free);
  }

 private:
  struct Memory {  // nvmlMemory_t
    unsigned long long total, free, used;
  };

  template <class Function>
  bool find(Function*& function, const char* name) {
    function = reinterpret_cast<Function*>(dlsym(library_, name));
    return function != nullptr;
  }

  void* library_;
  bool started_ = false;
  int (*init_)() = nullptr;
  int (*shutdown_)() = nullptr;
  int (*by_pci_)(const char*, void**) = nullptr;
  int (*memory_)(void*, Memory*) = nullptr;
};

}  // namespace

std::vector<CudaDevice> cuda_devices() {
  std::string reason;
  const int count = count_devices(reason);
  std::vector<CudaDevice> devices;
  if (count == 0) return devices;
  const Management management;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    int mode = cudaComputeModeDefault;
    if (cudaGetDeviceProperties(&properties, index) != cudaSuccess ||
        cudaDeviceGetAttribute(&mode, cudaDevAttrComputeMode, index) != cudaSuccess) {
      cudaGetLastError();  // this one is out of order; the others may do
      continue;
    }
    if (mode == cudaComputeModeProhibited) continue;
    CudaDevice device;
    device.index = index;
    device.name = properties.name;
    device.compute_major = properties.major;
    device.compute_minor = properties.minor;
    device.total_bytes = properties.totalGlobalMem;
    device.free_bytes = management.free_bytes(index);
    devices.push_back(device);
  }
  return devices;
}

std::string why_no_cuda_device() {
  std::string reason;
  if (count_devices(reason) > 0 && cuda_devices().empty()) {
    reason = "CUDA sees GPUs, but none that it can use (nvidia-smi may say why)";
  }
  return reason;
}

int choose_cuda_device(std::optional<int> index, std::optional<int> rank) {
  std::string reason;
  const int count = count_devices(reason);
  if (count == 0) throw ConfigError("no GPU to run on: " + reason);
  if (index) {
    if (*index >= 0 && *index < count) return *index;
    throw ConfigError("no GPU number " + std::to_string(*index) + ": this machine has " +
                      std::to_string(count) + ", counted from 0");
  }
  if (count == 1) return 0;
  std::string refusal = why_no_cuda_device();
  for (const int candidate : devices_to_try(cuda_devices(), rank)) {
    const cudaError_t status = cudaSetDevice(candidate);
    if (status == cudaSuccess) return candidate;
    cudaGetLastError();
    refusal = "cuda:" + std::to_string(candidate) + " answers " + cudaGetErrorName(status) + ": " +
              cudaGetErrorString(status);
  }
  throw ConfigError("no GPU to run on: " + refusal);
}

std::vector<LibraryVersion> cuda_library_versions() {
  int runtime = 0;
  const int driver = driver_version();
  QMSE_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  const std::size_t cublas = cublasLtGetVersion();  // 130002 is 13.0.2
  const std::size_t cudnn = cudnnGetVersion();      // 91900 is 9.19.0
  return {
      {"CUDA runtime", cuda_version(CUDART_VERSION), cuda_version(runtime)},
      {"CUDA driver", "", driver == 0 ? "none" : cuda_version(driver)},
      {"cuBLASLt", dotted(CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, CUBLAS_VER_PATCH),
       dotted(cublas / 10000, cublas / 100 % 100, cublas % 100)},
      {"cuDNN", dotted(CUDNN_MAJOR, CUDNN_MINOR, CUDNN_PATCHLEVEL),
       dotted(cudnn / 10000, cudnn / 100 % 100, cudnn % 100)},
  };
}

}  // namespace qmse
