// Where the tests of this folder run: on the GPU in builds with CUDA. Builds without run them on the CPU's
// f32 operations, so that the tests themselves are tested everywhere.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <memory>
#include <tuple>
#include <type_traits>
#include <vector>

#include "base/build_config.h"
#include "device/devices.h"
#include "engine/context.h"
#include "tests/support/catch.h"

namespace qmse::test {

inline constexpr bool kOnGpu = QMSE_CUDA != 0;
using Backend = std::conditional_t<kOnGpu, CudaContext, CpuContext>;
inline Backend& backend(Context& context) {
  return *std::get<Backend*>(std::tuple(context.cpu(), context.cuda()));
}

// Null, after a line that says that the test is skipped, where this build is for a GPU and there is none.
inline std::unique_ptr<Context> device_context(bool tf32 = false, bool library = false) {
  if (!kOnGpu) return std::make_unique<Context>(std::make_unique<CpuContext>(2));
  if (cuda_devices().empty()) {
    std::cout << "[skipped: " << why_no_cuda_device() << "]\n";
    return nullptr;
  }
  CudaOptions options;
  options.math = tf32 ? MathMode::tf32 : MathMode::fp32;
  options.kernels = library ? KernelChoice::library : KernelChoice::automatic;
  return std::make_unique<Context>(std::make_unique<CudaContext>(options));
}

// Host values in device memory, `offset` elements after an aligned address. Null where there are none.
template <class T>
class OnDevice {
 public:
  OnDevice(Backend& where, const std::vector<T>& values, std::size_t offset = 0)
      : where_(where),
        count_(values.size()),
        offset_(offset),
        buffer_(where.memory(), values.empty() ? 0 : (values.size() + offset) * sizeof(T), "test values") {
    if (count_ > 0) host_to_device(where_, data(), values.data(), count_ * sizeof(T));
  }
  T* data() const { return count_ == 0 ? nullptr : buffer_.template as<T>() + offset_; }
  std::vector<T> values() const {
    std::vector<T> host(count_);
    if (count_ > 0) device_to_host(where_, host.data(), data(), count_ * sizeof(T));
    return host;
  }

 private:
  Backend& where_;
  std::size_t count_, offset_;
  Buffer buffer_;
};

template <class T>
OnDevice<T> unwritten(Backend& where, std::int64_t count, T value = static_cast<T>(-77)) {
  return OnDevice<T>(where, std::vector<T>(static_cast<std::size_t>(count), value));
}

// |actual - expected| <= factor * magnitude of the terms that were summed, for every element. An element of
// small magnitude counts as a quarter of the largest: algorithms that transform tiles (Winograd, FFT) round
// at the size of the tile's other elements.
inline void check_sums(const std::vector<float>& actual, const std::vector<double>& expected,
                       const std::vector<double>& magnitude, double factor) {
  REQUIRE(actual.size() == expected.size());
  const double floor = magnitude.empty() ? 0 : *std::max_element(magnitude.begin(), magnitude.end()) / 4;
  double worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
    const double error = difference == 0 ? 0 : difference / std::max(magnitude[i], floor);
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  CAPTURE(worst, factor);
  CHECK(worst <= factor);
}

inline std::vector<double> magnitudes(const std::vector<float>& values) {
  std::vector<double> absolute;
  for (const float value : values) absolute.push_back(std::abs(static_cast<double>(value)));
  return absolute;
}

}  // namespace qmse::test
