#include "kernels/core/devices.h"

#include <string>

#include "kernels/core/build_config.h"
#include "kernels/core/error.h"
#include "tests/support/catch.h"

using namespace qmse;

TEST_CASE("devices: either there is a GPU or a one-line reason why not") {
  const auto devices = cuda_devices();
  const std::string reason = why_no_cuda_device();
  INFO(reason);
  CHECK(devices.empty() == !reason.empty());
  CHECK(reason.find('\n') == std::string::npos);
  for (std::size_t i = 0; i < devices.size(); ++i) {
    CHECK(devices[i].index == static_cast<int>(i));
    CHECK_FALSE(devices[i].name.empty());
    CHECK(devices[i].total_bytes >= devices[i].free_bytes);
  }
}

TEST_CASE("devices: a GPU that is not there is a configuration error that says so") {
  const int count = static_cast<int>(cuda_devices().size());
  for (const int index : {-1, count, count + 7}) {
    CAPTURE(index);
    CHECK_THROWS_AS(choose_cuda_device(index), ConfigError);
  }
  if (count == 0) {
    CHECK_THROWS_AS(choose_cuda_device(std::nullopt), ConfigError);
    try {
      choose_cuda_device(0);
    } catch (const ConfigError& error) {
      CHECK(std::string(error.what()) == "no GPU to run on: " + why_no_cuda_device());
    }
  } else {
    CHECK(choose_cuda_device(0) == 0);
    CHECK(choose_cuda_device(std::nullopt) < count);
  }
}

TEST_CASE("devices: a build names the CUDA libraries it has, and only those") {
  const auto versions = cuda_library_versions();
  CHECK(versions.empty() == (QMSE_CUDA == 0));
  for (const LibraryVersion& version : versions) {
    CAPTURE(version.name);
    CHECK_FALSE(version.loaded.empty());
  }
}
