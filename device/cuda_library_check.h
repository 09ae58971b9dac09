// Checks of cuBLASLt and cuDNN calls, as QMSE_CUDA_CHECK (device/cuda_check.h) of CUDA's own.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>

namespace qmse {

[[noreturn]] void throw_cublas_error(cublasStatus_t status, const char* call, const char* file, int line);
[[noreturn]] void throw_cudnn_error(cudnnStatus_t status, const char* call, const char* file, int line);

}  // namespace qmse

#define QMSE_CUBLAS_CHECK(call)                                           \
  do {                                                                    \
    const cublasStatus_t qmse_status = (call);                            \
    if (qmse_status != CUBLAS_STATUS_SUCCESS)                             \
      ::qmse::throw_cublas_error(qmse_status, #call, __FILE__, __LINE__); \
  } while (false)

#define QMSE_CUDNN_CHECK(call)                                           \
  do {                                                                   \
    const cudnnStatus_t qmse_status = (call);                            \
    if (qmse_status != CUDNN_STATUS_SUCCESS)                             \
      ::qmse::throw_cudnn_error(qmse_status, #call, __FILE__, __LINE__); \
  } while (false)
