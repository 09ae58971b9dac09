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
  std::size_t total_bytes = 0;
  std::optional<std::size_t> free_bytes;  // where NVIDIA's management library is there to tell
};

// In index order, without those that CUDA cannot describe or that are closed to computing. Makes no CUDA
// context, which would take memory of every GPU for the process's life.
std::vector<CudaDevice> cuda_devices();

// The indices of `devices` in the order in which to try them. With a `rank` (this process's number on its
// machine) round the list from the device of that number, so that processes started together take different
// ones; without, most free memory first, and in index order where that is equal or unknown.
std::vector<int> devices_to_try(const std::vector<CudaDevice>& devices, std::optional<int> rank);

// Why cuda_devices() is empty, in one line; empty where it is not.
std::string why_no_cuda_device();

// The index of the device to use: `index` if given, else the first of devices_to_try() that can be made
// current (one in exclusive mode may be in use). Throws ConfigError where there is none.
int choose_cuda_device(std::optional<int> index, std::optional<int> rank = std::nullopt);

// A library of the CUDA backend: the version this build was compiled against and the one now loaded.
struct LibraryVersion {
  std::string name, compiled, loaded;  // nothing is compiled against the driver: empty there
};
std::vector<LibraryVersion> cuda_library_versions();  // empty in builds without CUDA

}  // namespace qmse
