// Where the tests of this folder run: on the GPU in builds with CUDA. Builds without run them on the CPU's
// f32 operations, so that the tests themselves are tested everywhere.
#pragma once

#include <iostream>
#include <memory>

#include "base/build_config.h"
#include "device/devices.h"
#include "engine/context.h"
#include "tests/support/catch.h"

namespace qmse::test {

inline constexpr bool kOnGpu = QMSE_CUDA != 0;

// Null, after a line that says that the test is skipped, where this build is for a GPU and there is none.
inline std::unique_ptr<Context> device_context() {
  if (!kOnGpu) return std::make_unique<Context>(std::make_unique<CpuContext>(2));
  if (cuda_devices().empty()) {
    std::cout << "[skipped: " << why_no_cuda_device() << "]\n";
    return nullptr;
  }
  return std::make_unique<Context>(std::make_unique<CudaContext>(CudaOptions{}));
}

}  // namespace qmse::test
