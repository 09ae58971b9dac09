#include <cublasLt.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "device/arena.h"
#include "device/branches.h"
#include "device/cuda_context.h"
#include "device/cuda_launcher.h"
#include "device/devices.h"
#include "device/handle.h"

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

using Stream = Handle<cudaStream_t, cudaStreamCreateWithFlags, cudaStreamDestroy>;
using Event = Handle<cudaEvent_t, cudaEventCreateWithFlags, cudaEventDestroy>;
using CublasLt = Handle<cublasLtHandle_t, cublasLtCreate, cublasLtDestroy>;

struct Cudnn {
  explicit Cudnn(cudaStream_t stream) { QMSE_CUDA_CHECK(cudnnSetStream(handle.get(), stream)); }
  Handle<cudnnHandle_t, cudnnCreate, cudnnDestroy> handle;
};

// What contexts with the same options have in common.
class Shared {
 public:
  // Each for the device that is the calling thread's current one.
  cublasLtHandle_t cublas_lt() {
    const std::lock_guard guard(mutex_);
    if (!cublas_lt_) cublas_lt_.emplace();
    return cublas_lt_->get();
  }
  void* slot(std::type_index type, std::shared_ptr<void> (*make)()) {
    const std::lock_guard guard(mutex_);
    std::shared_ptr<void>& slot = slots_[type];
    if (!slot) slot = make();
    return slot.get();
  }

 private:
  std::mutex mutex_;
  std::optional<CublasLt> cublas_lt_;  // made when it is first asked for
  std::unordered_map<std::type_index, std::shared_ptr<void>> slots_;
};

std::shared_ptr<Shared> shared_with(const CudaOptions& options) {
  using Key = std::tuple<int, MathMode, KernelChoice, std::size_t>;
  static std::mutex mutex;
  static std::map<Key, std::weak_ptr<Shared>> all;
  const std::lock_guard guard(mutex);
  std::weak_ptr<Shared>& place =
      all[Key(options.device, options.math, options.kernels, options.workspace_limit)];
  std::shared_ptr<Shared> shared = place.lock();
  if (!shared) place = shared = std::make_shared<Shared>();
  return shared;
}

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
        memory(std::make_unique<DeviceBlocks>(name), arena_block_bytes()),
        shared(shared_with(o)),
        stream(cudaStreamNonBlocking),
        aside(cudaStreamNonBlocking),
        forked(cudaEventDisableTiming),
        joined(cudaEventDisableTiming) {}

  CudaOptions options;
  cudaDeviceProp properties;
  std::string name;
  Arena memory;
  std::shared_ptr<Buffer> workspace, workspace_aside;  // the largest so far
  std::shared_ptr<Shared> shared;
  Stream stream, aside;
  Event forked, joined;
  bool may_branch = false;  // a Branches is there
  bool is_aside = false;    // what is queued goes to `aside`
  bool has_branch = false;  // `aside` has what `stream` has not waited for
  // Made when it is first asked for: it takes a moment, and not every use needs it.
  std::optional<Cudnn> cudnn;
};

CudaContext::CudaContext(const CudaOptions& options) : impl_(std::make_unique<Impl>(options)) {}
CudaContext::~CudaContext() = default;

MemoryResource& CudaContext::memory() { return impl_->memory; }
std::shared_ptr<Buffer> CudaContext::shared_workspace(std::size_t bytes, Queue queue) {
  std::shared_ptr<Buffer>& largest = queue == Queue::aside ? impl_->workspace_aside : impl_->workspace;
  if (!largest || largest->bytes() < bytes) {
    largest = std::make_shared<Buffer>(impl_->memory, bytes, "workspace of cuDNN and cuBLASLt");
  }
  return largest;
}

std::size_t CudaContext::workspace_limit() const {
  return std::min(impl_->options.workspace_limit, impl_->memory.available_bytes());
}

void* CudaContext::shared_slot(std::type_index type, std::shared_ptr<void> (*make)()) {
  return impl_->shared->slot(type, make);
}

void CudaContext::release_unused() noexcept {
  impl_->workspace.reset();  // plans that use it hold it
  impl_->workspace_aside.reset();
  impl_->memory.give_back_unused();
}

CUstream_st* CudaContext::stream() { return (impl_->is_aside ? impl_->aside : impl_->stream).get(); }
cudnnContext* CudaContext::cudnn() {
  if (!impl_->cudnn) impl_->cudnn.emplace(impl_->stream.get());
  return impl_->cudnn->handle.get();
}

cublasLtContext* CudaContext::cublas_lt() { return impl_->shared->cublas_lt(); }

void CudaContext::launch(const void* function, void** arguments, const LaunchShape& shape, const char* name,
                         const char* file, int line) {
  launch_on_stream(stream(), function, arguments, shape, name, file, line);
}

const CudaOptions& CudaContext::options() const { return impl_->options; }
const std::string& CudaContext::device_name() const { return impl_->name; }
int CudaContext::multiprocessors() const { return impl_->properties.multiProcessorCount; }

Branches::Branches(CudaContext* context)
    : context_(context != nullptr && context->options().branches ? context : nullptr) {
  if (context_ != nullptr) context_->impl_->may_branch = true;
}

void Branches::join() {
  if (context_ == nullptr || !context_->impl_->has_branch) return;
  CudaContext::Impl& impl = *context_->impl_;
  impl.has_branch = false;
  QMSE_CUDA_CHECK(cudaEventRecord(impl.joined.get(), impl.aside.get()));
  QMSE_CUDA_CHECK(cudaStreamWaitEvent(impl.stream.get(), impl.joined.get(), 0));
}

Branches::~Branches() {
  if (context_ == nullptr) return;
  context_->impl_->may_branch = false;
  try {
    join();
  } catch (const CudaError&) {  // only where an error is on its way already: join() is called before the end
  }
}

Aside::Aside(CudaContext& context) : context_(context.impl_->may_branch ? &context : nullptr) {
  if (context_ == nullptr) return;
  CudaContext::Impl& impl = *context_->impl_;
  QMSE_CUDA_CHECK(cudaEventRecord(impl.forked.get(), impl.stream.get()));
  QMSE_CUDA_CHECK(cudaStreamWaitEvent(impl.aside.get(), impl.forked.get(), 0));
  impl.is_aside = impl.has_branch = true;
}

Aside::~Aside() {
  if (context_ != nullptr) context_->impl_->is_aside = false;
}

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
