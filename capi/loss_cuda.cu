// The C interface on a GPU: the loss's kernels on the caller's stream, without a context of the engine.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "capi/qmse_loss.h"
#include "capi/request.h"
#include "device/cuda_launcher.h"
#include "kernels/checked_rows/checked_rows.cuh"
#include "kernels/cross_entropy/cross_entropy.cuh"
#include "kernels/mse_noise/mse_noise.cuh"
#include "kernels/qmse/qmse.cuh"
#include "kernels/residual_loss/residual_loss.cuh"
#include "kernels/residual_loss/rules.h"

namespace qmse::capi {
namespace {

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the error is reported here; later calls must not find it again
  throw CudaError(std::string(call) + ": " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

// Makes a device the current one of this thread, for as long as it lives; a negative one leaves it as it is.
class OnDevice {
 public:
  explicit OnDevice(int device) {
    if (device < 0) return;
    check(cudaGetDevice(&before_), "cudaGetDevice");
    if (before_ != device) check(cudaSetDevice(device), "cudaSetDevice");
    changed_ = before_ != device;
  }
  ~OnDevice() {
    if (changed_) cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

// Takes pieces one after the other; without a base it only adds them up.
class Pieces {
 public:
  explicit Pieces(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(std::int64_t count) {
    char* const piece = base_ == nullptr ? nullptr : base_ + bytes_;
    bytes_ += (static_cast<std::size_t>(count) * sizeof(T) + 15) / 16 * 16;
    return reinterpret_cast<T*>(piece);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  char* base_;
  std::size_t bytes_ = 0;
};

// What the kernels need beside what the caller gave.
struct Workspace {
  CheckedRows checked;
  float* sample_loss;
  float* residual_sq;
  std::int32_t* correct;
  void* rows;
  std::size_t bytes;

  Workspace(const qmse_loss_args& args, void* base) {
    Pieces pieces(base);
    rows = pieces.take<char>(static_cast<std::int64_t>(row_loss_workspace_bytes(args.batch, args.classes)));
    if (args.labels != nullptr) checked.labels = pieces.take<std::int32_t>(args.batch);
    if (needs_sample_ids(args)) checked.sample_ids = pieces.take<std::uint32_t>(args.batch);
    checked.valid = pieces.take<std::int32_t>(args.batch);
    sample_loss = pieces.take<float>(args.batch);
    residual_sq = pieces.take<float>(args.batch);
    correct = pieces.take<std::int32_t>(args.batch);
    bytes = pieces.bytes();
  }
};

qmse_loss_args checked_for_cuda(const qmse_loss_args* given) {
  const qmse_loss_args args = checked(given);
  if (args.dtype != QMSE_FLOAT32) throw ConfigError("qmse_loss_cuda: dtype must be QMSE_FLOAT32");
  return args;
}

void queue(const qmse_loss_args& args, cudaStream_t stream) {
  const Workspace workspace(args, args.workspace);
  if (args.batch > 0 && (args.workspace == nullptr || args.workspace_bytes < workspace.bytes)) {
    throw ShapeError(
        "qmse_loss_args: a workspace of " + std::to_string(workspace.bytes) + " bytes is needed, " +
        (args.workspace == nullptr ? "none is" : std::to_string(args.workspace_bytes) + " are") + " given");
  }
  if (args.batch > 0 && reinterpret_cast<std::uintptr_t>(args.workspace) % 16 != 0) {
    throw ShapeError("qmse_loss_args.workspace is not aligned to 16 bytes");
  }
  CudaLauncher launcher(stream);
  FinishedRows finished;
  finished.sample_loss =
      args.sample_loss != nullptr ? static_cast<float*>(args.sample_loss) : workspace.sample_loss;
  finished.residual_sq =
      args.residual_sq != nullptr ? static_cast<float*>(args.residual_sq) : workspace.residual_sq;
  finished.correct = args.correct != nullptr ? args.correct : workspace.correct;
  finished.gradient = static_cast<float*>(args.gradient);
  finished.v = static_cast<float*>(args.v);
  finished.mean_loss = static_cast<float*>(args.mean_loss);
  if (args.batch == 0) {
    if (finished.mean_loss != nullptr) finish_rows(launcher, 0, args.classes, nullptr, finished);
    return;
  }
  check_rows(launcher, args.batch, args.classes, GivenIntegers{args.labels, args.label_dtype == QMSE_INT64},
             GivenIntegers{args.sample_ids, args.sample_id_dtype == QMSE_INT64}, workspace.checked);
  RowLossArgs<float> row;
  row.batch = args.batch;
  row.classes = args.classes;
  row.output = static_cast<const float*>(args.outputs);
  row.labels = workspace.checked.labels;
  row.targets = static_cast<const float*>(args.targets);
  row.scale = args.loss_scale;
  row.gradient_scale = args.gradient_scale;
  row.gradient = finished.gradient;
  row.sample_loss = finished.sample_loss;
  row.residual_sq = finished.residual_sq;
  row.correct = finished.correct;
  row.workspace = workspace.rows;
  switch (args.loss) {
    case QMSE_LOSS_MSE:
      residual_loss<MseRule>(launcher, row);
      break;
    case QMSE_LOSS_QMSE_EXPECTED:
      residual_loss<QmseExpectedRule>(launcher, row);
      break;
    case QMSE_LOSS_CROSS_ENTROPY:
      cross_entropy_loss(launcher, row);
      break;
    default: {
      QmseArgs<float> qmse;
      qmse.row = row;
      qmse.options = qmse_options(args.v_distribution, args.v_scope, args.q_gradient, args.seed);
      qmse.step = args.step;
      qmse.sample_ids = workspace.checked.sample_ids;
      qmse.v = finished.v;
      if (args.loss == QMSE_LOSS_MSE_NOISE) {
        mse_noise_loss(launcher, qmse);
      } else {
        qmse_loss(launcher, qmse);
      }
    }
  }
  finish_rows(launcher, args.batch, args.classes, workspace.checked.valid, finished);
}

}  // namespace
}  // namespace qmse::capi

using namespace qmse;
using namespace qmse::capi;

int32_t qmse_built_with_cuda(void) { return 1; }

int32_t qmse_loss_cuda(const qmse_loss_args* given, int32_t device, void* stream) {
  return guarded([&] {
    const qmse_loss_args args = checked_for_cuda(given);
    const OnDevice current(device);
    queue(args, static_cast<cudaStream_t>(stream));
  });
}

int32_t qmse_loss_workspace_bytes(const qmse_loss_args* given, uint64_t* bytes) {
  return guarded([&] {
    const qmse_loss_args args = checked_for_cuda(given);
    if (bytes == nullptr) throw ShapeError("qmse_loss_workspace_bytes: bytes is null");
    *bytes = Workspace(args, nullptr).bytes;
  });
}
