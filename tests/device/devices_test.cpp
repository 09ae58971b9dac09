#include "device/devices.h"

#include <string>

#include "base/build_config.h"
#include "base/error.h"
#include "device/cuda_context.h"
#include "tests/support/catch.h"

using namespace qmse;

TEST_CASE("devices: either there is a GPU or a one-line reason why not") {
  const auto devices = cuda_devices();
  const std::string reason = why_no_cuda_device();
  INFO(reason);
  CHECK(devices.empty() == !reason.empty());
  CHECK(reason.find('\n') == std::string::npos);
  for (std::size_t i = 0; i < devices.size(); ++i) {
    CHECK(devices[i].index >= static_cast<int>(i));
    CHECK_FALSE(devices[i].name.empty());
    CHECK(devices[i].total_bytes > 0);
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

TEST_CASE("devices: the order in which GPUs are tried goes by rank, else by free memory") {
  using Devices = std::vector<CudaDevice>;
  const auto device = [](int index, std::optional<std::size_t> free) {
    CudaDevice d;
    d.index = index;
    d.free_bytes = free;
    return d;
  };
  const Devices four = {device(0, 10), device(1, 30), device(3, 30), device(4, 20)};  // 2 is out of order
  CHECK(devices_to_try(four, std::nullopt) == std::vector<int>{1, 3, 4, 0});
  CHECK(devices_to_try(four, 0) == std::vector<int>{0, 1, 3, 4});
  CHECK(devices_to_try(four, 2) == std::vector<int>{3, 4, 0, 1});
  CHECK(devices_to_try(four, 7) == std::vector<int>{4, 0, 1, 3});
  const Devices unknown = {device(0, std::nullopt), device(1, std::nullopt), device(2, 5)};
  CHECK(devices_to_try(unknown, std::nullopt) == std::vector<int>{2, 0, 1});
  CHECK(devices_to_try({}, 3).empty());
  CHECK(devices_to_try({}, std::nullopt).empty());
}

TEST_CASE("devices: a build names the CUDA libraries it has, and only those") {
  const auto versions = cuda_library_versions();
  CHECK(versions.empty() == (QMSE_CUDA == 0));
  for (const LibraryVersion& version : versions) {
    CAPTURE(version.name);
    CHECK_FALSE(version.loaded.empty());
  }
}

TEST_CASE("devices: a CUDA context is an error with the reason where there is no GPU") {
  if (!cuda_devices().empty()) return;
  const auto reason = [](const auto& make) {
    try {
      make();
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(reason([] { const CudaContext context{CudaOptions{}}; }).find(why_no_cuda_device()) !=
        std::string::npos);
}
