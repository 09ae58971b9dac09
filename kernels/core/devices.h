// The GPUs this process can use. Works in every build and on every machine: without CUDA support, driver or
// GPU the list is empty and the reason is given.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace qmse {

struct CudaDevice {
  int index = 0;  // as CUDA counts them, after CUDA_VISIBLE_DEVICES
  std::string name;
  int compute_major = 0, compute_minor = 0;
  std::size_t free_bytes = 0, total_bytes = 0;
};

// In index order. Finding out what is free makes CUDA set itself up on each device, which takes a moment.
std::vector<CudaDevice> cuda_devices();

// Why cuda_devices() is empty, in one line; empty where it is not.
std::string why_no_cuda_device();

// The index of the device to use: `index` if given, else the one with the most free memory (the first of
// equals). Throws ConfigError where there is no such device.
int choose_cuda_device(std::optional<int> index);

// A library of the CUDA backend: the version this build was compiled against and the one now loaded.
struct LibraryVersion {
  std::string name, compiled, loaded;  // nothing is compiled against the driver: empty there
};
std::vector<LibraryVersion> cuda_library_versions();  // empty in builds without CUDA

}  // namespace qmse
