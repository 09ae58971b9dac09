#include "base/error.h"
#include "device/devices.h"

namespace qmse {

std::vector<CudaDevice> cuda_devices() { return {}; }

std::string why_no_cuda_device() {
  return "this build of qmse has no CUDA support; configure it with the preset `cuda` (-DQMSE_CUDA=ON)";
}

int choose_cuda_device(std::optional<int>, std::optional<int>) {
  throw ConfigError("no GPU to run on: " + why_no_cuda_device());
}

std::vector<LibraryVersion> cuda_library_versions() { return {}; }

}  // namespace qmse
