// QMSE_CUDA_CHECK (device/cuda_check.h) of cuBLASLt and cuDNN calls.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>

#include "device/cuda_check.h"

namespace qmse {

[[noreturn]] void throw_cuda_error(cublasStatus_t status, const char* call, const char* file, int line);
[[noreturn]] void throw_cuda_error(cudnnStatus_t status, const char* call, const char* file, int line);

}  // namespace qmse
