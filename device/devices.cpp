#include "device/devices.h"

#include <algorithm>

namespace qmse {

std::vector<int> devices_to_try(const std::vector<CudaDevice>& devices, std::optional<int> rank) {
  std::vector<CudaDevice> sorted = devices;
  if (rank) {
    if (!sorted.empty()) {
      const auto first = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(*rank) % sorted.size());
      std::rotate(sorted.begin(), sorted.begin() + first, sorted.end());
    }
  } else {
    std::stable_sort(sorted.begin(), sorted.end(), [](const CudaDevice& a, const CudaDevice& b) {
      return a.free_bytes.value_or(0) > b.free_bytes.value_or(0);
    });
  }
  std::vector<int> indices;
  for (const CudaDevice& device : sorted) indices.push_back(device.index);
  return indices;
}

}  // namespace qmse
