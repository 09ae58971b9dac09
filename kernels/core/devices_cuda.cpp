#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "kernels/core/cuda_check.h"
#include "kernels/core/devices.h"
#include "kernels/core/error.h"

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

// Makes another device current for a while.
class CurrentDevice {
 public:
  CurrentDevice() { QMSE_CUDA_CHECK(cudaGetDevice(&device_)); }
  ~CurrentDevice() { cudaSetDevice(device_); }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int device_ = 0;
};

}  // namespace

std::vector<CudaDevice> cuda_devices() {
  std::string reason;
  const int count = count_devices(reason);
  std::vector<CudaDevice> devices;
  if (count == 0) return devices;
  const CurrentDevice restore;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    CudaDevice device;
    QMSE_CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
    QMSE_CUDA_CHECK(cudaSetDevice(index));
    QMSE_CUDA_CHECK(cudaMemGetInfo(&device.free_bytes, &device.total_bytes));
    device.index = index;
    device.name = properties.name;
    device.compute_major = properties.major;
    device.compute_minor = properties.minor;
    devices.push_back(device);
  }
  return devices;
}

std::string why_no_cuda_device() {
  std::string reason;
  count_devices(reason);
  return reason;
}

int choose_cuda_device(std::optional<int> index) {
  std::string reason;
  const int count = count_devices(reason);
  if (count == 0) throw ConfigError("no GPU to run on: " + reason);
  if (index) {
    if (*index >= 0 && *index < count) return *index;
    throw ConfigError("no GPU number " + std::to_string(*index) + ": this machine has " +
                      std::to_string(count) + ", counted from 0");
  }
  if (count == 1) return 0;
  CudaDevice best;
  for (const CudaDevice& device : cuda_devices()) {
    if (device.index == 0 || device.free_bytes > best.free_bytes) best = device;
  }
  return best.index;
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
