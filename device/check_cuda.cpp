#include <string>

#include "base/error.h"
#include "device/cuda_library_check.h"

namespace qmse {
namespace {

std::string place(const char* call, const char* file, int line) {
  return std::string(call) + " at " + file + ":" + std::to_string(line) + ": ";
}

}  // namespace

void throw_cuda_error(cudaError_t status, const char* call, const char* file, int line) {
  cudaGetLastError();
  throw CudaError(place(call, file, line) + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

void throw_cuda_error(cublasStatus_t status, const char* call, const char* file, int line) {
  cudaGetLastError();
  throw CudaError(place(call, file, line) + cublasLtGetStatusName(status) + ": " +
                  cublasLtGetStatusString(status));
}

void throw_cuda_error(cudnnStatus_t status, const char* call, const char* file, int line) {
  char detail[512] = "";
  cudnnGetLastErrorString(detail, sizeof(detail));
  cudaGetLastError();
  std::string message = place(call, file, line) + cudnnGetErrorString(status);
  if (detail[0] != '\0') message += std::string(": ") + detail;
  throw CudaError(message);
}

}  // namespace qmse
