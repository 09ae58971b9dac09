// Checks of CUDA calls: QMSE_CUDA_CHECK(cudaMemsetAsync(...)) throws CudaError naming the call, the file and
// the line unless it succeeds. The error is cleared first, so that later calls do not report it again. For
// cuBLASLt and cuDNN include device/cuda_library_check.h. C++17: included by device code.
#pragma once

#include <cuda_runtime_api.h>

namespace qmse {

[[noreturn]] void throw_cuda_error(cudaError_t status, const char* call, const char* file, int line);

}  // namespace qmse

// Success is 0 in each of the libraries.
#define QMSE_CUDA_CHECK(call)                                           \
  do {                                                                  \
    const auto qmse_status = (call);                                    \
    if (qmse_status != decltype(qmse_status){})                         \
      ::qmse::throw_cuda_error(qmse_status, #call, __FILE__, __LINE__); \
  } while (false)
