#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <unordered_map>

#include "device/arena.h"
#include "device/cuda_check.h"
#include "device/cuda_context.h"
#include "device/cuda_library_check.h"
#include "device/devices.h"

namespace qmse {
namespace {

class DeviceBlocks final : public BlockSource {
 public:
  explicit DeviceBlocks(std::string name) : name_(std::move(name)) {}

  void* take(std::size_t bytes) override {
    void* pointer = nullptr;
    const cudaError_t status = cudaMalloc(&pointer, bytes);  // aligned to 256 bytes at least
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    if (status != cudaSuccess) throw_cuda_error(status, "cudaMalloc", __FILE__, __LINE__);
    return pointer;
  }

  // A failure here is an earlier one reported late, or the process ending; either way nobody can act on it.
  void give_back(void* block) noexcept override { cudaFree(block); }

  std::size_t free_bytes() const override {
    std::size_t free = 0;
    std::size_t total = 0;
    QMSE_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return free;
  }

  std::string device_name() const override { return name_; }

 private:
  std::string name_;
};

class Stream {
 public:
  Stream() { QMSE_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class CublasLt {
 public:
  CublasLt() { QMSE_CUBLAS_CHECK(cublasLtCreate(&handle_)); }
  ~CublasLt() { cublasLtDestroy(handle_); }
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;
  cublasLtHandle_t get() const { return handle_; }

 private:
  cublasLtHandle_t handle_ = nullptr;
};

class Cudnn {
 public:
  explicit Cudnn(cudaStream_t stream) {
    QMSE_CUDNN_CHECK(cudnnCreate(&handle_));
    const cudnnStatus_t status = cudnnSetStream(handle_, stream);
    if (status == CUDNN_STATUS_SUCCESS) return;
    cudnnDestroy(handle_);
    QMSE_CUDNN_CHECK(status);
  }
  ~Cudnn() { cudnnDestroy(handle_); }
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;
  cudnnHandle_t get() const { return handle_; }

 private:
  cudnnHandle_t handle_ = nullptr;
};

// Makes the device current on this thread and describes it.
cudaDeviceProp select_device(int index) {
  QMSE_CUDA_CHECK(cudaSetDevice(choose_cuda_device(index)));
  cudaDeviceProp properties{};
  QMSE_CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
  return properties;
}

std::string describe(int index, const cudaDeviceProp& properties) {
  return "cuda:" + std::to_string(index) + " (" + properties.name + ", sm_" +
         std::to_string(properties.major) + std::to_string(properties.minor) + ")";
}

// For compute-sanitizer and the like, which cannot see into blocks.
std::size_t arena_block_bytes() {
  const char* separate = std::getenv("QMSE_CUDA_SEPARATE_BUFFERS");
  return separate != nullptr && *separate != '\0' ? 0 : Arena::kBlockBytes;
}

}  // namespace

// Members are made in this order, the device being current before the first handle, and destroyed in reverse.
struct CudaContext::Impl {
  explicit Impl(const CudaOptions& o)
      : options(o),
        properties(select_device(o.device)),
        name(describe(o.device, properties)),
        memory(std::make_unique<DeviceBlocks>(name), arena_block_bytes()) {}

  CudaOptions options;
  cudaDeviceProp properties;
  std::string name;
  Arena memory;
  std::shared_ptr<Buffer> workspace;  // the largest so far
  std::unordered_map<std::type_index, std::shared_ptr<void>> states;
  Stream stream;
  // Made when they are first asked for: they take a moment, and not every use of a context needs them.
  std::optional<CublasLt> cublas_lt;
  std::optional<Cudnn> cudnn;
};

CudaContext::CudaContext(const CudaOptions& options) : impl_(std::make_unique<Impl>(options)) {}
CudaContext::~CudaContext() = default;

MemoryResource& CudaContext::memory() { return impl_->memory; }
std::shared_ptr<Buffer> CudaContext::shared_workspace(std::size_t bytes) {
  std::shared_ptr<Buffer>& largest = impl_->workspace;
  if (!largest || largest->bytes() < bytes) {
    largest = std::make_shared<Buffer>(impl_->memory, bytes, "workspace of cuDNN and cuBLASLt");
  }
  return largest;
}

std::size_t CudaContext::workspace_limit() const {
  return std::min(impl_->options.workspace_limit, impl_->memory.available_bytes());
}

std::shared_ptr<void>& CudaContext::state_slot(std::type_index type) { return impl_->states[type]; }

CUstream_st* CudaContext::stream() { return impl_->stream.get(); }
cudnnContext* CudaContext::cudnn() {
  if (!impl_->cudnn) impl_->cudnn.emplace(impl_->stream.get());
  return impl_->cudnn->get();
}

cublasLtContext* CudaContext::cublas_lt() {
  if (!impl_->cublas_lt) impl_->cublas_lt.emplace();
  return impl_->cublas_lt->get();
}
const CudaOptions& CudaContext::options() const { return impl_->options; }
const std::string& CudaContext::device_name() const { return impl_->name; }
int CudaContext::multiprocessors() const { return impl_->properties.multiProcessorCount; }

void host_to_device(CudaContext& context, void* device, const void* host, std::size_t bytes) {
  if (bytes == 0) return;
  QMSE_CUDA_CHECK(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, context.stream()));
  synchronize(context);
}

void device_to_host(CudaContext& context, void* host, const void* device, std::size_t bytes) {
  if (bytes == 0) return;
  QMSE_CUDA_CHECK(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, context.stream()));
  synchronize(context);
}

void device_to_device(CudaContext& context, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  QMSE_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, context.stream()));
}

void fill_zero(CudaContext& context, void* device, std::size_t bytes) {
  if (bytes == 0) return;
  QMSE_CUDA_CHECK(cudaMemsetAsync(device, 0, bytes, context.stream()));
}

void synchronize(CudaContext& context) { QMSE_CUDA_CHECK(cudaStreamSynchronize(context.stream())); }

}  // namespace qmse
