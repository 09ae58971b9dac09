// Convolutions by cuDNN's descriptor calls (its version 7 interface), which need nothing beside cuDNN itself.
// Algorithms come from cuDNN's heuristics, which look at shapes alone; nothing is timed.
#include <cudnn.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "device/cuda_context.h"
#include "device/handle.h"
#include "device/shared_choices.h"
#include "kernels/bias_activation/bias_activation.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/plan.h"

namespace qmse {
namespace {

using TensorDescriptor =
    Handle<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using FilterDescriptor =
    Handle<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor =
    Handle<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;

int to_int(std::int64_t value) {
  if (value > std::numeric_limits<int>::max()) {
    throw ShapeError("conv2d: cuDNN takes sizes below 2^31, not " + std::to_string(value));
  }
  return static_cast<int>(value);
}

std::string describe(const Conv2dShape& s) {
  const auto text = [](std::int64_t value) { return std::to_string(value); };
  return "x [" + text(s.batch) + ", " + text(s.in_channels) + ", " + text(s.in_height) + ", " +
         text(s.in_width) + "], w [" + text(s.out_channels) + ", " + text(s.in_channels) + ", " +
         text(s.kernel_height) + ", " + text(s.kernel_width) + "], padding " + text(s.padding) + ", stride " +
         text(s.stride);
}

const char* name(cudnnConvolutionFwdAlgo_t algorithm) {
  constexpr const char* names[] = {
      "IMPLICIT_GEMM", "IMPLICIT_PRECOMP_GEMM", "GEMM", "DIRECT", "FFT", "FFT_TILING",
      "WINOGRAD",      "WINOGRAD_NONFUSED"};
  return names[algorithm];
}
const char* name(cudnnConvolutionBwdDataAlgo_t algorithm) {
  constexpr const char* names[] = {"ALGO_0", "ALGO_1", "FFT", "FFT_TILING", "WINOGRAD", "WINOGRAD_NONFUSED"};
  return names[algorithm];
}
const char* name(cudnnConvolutionBwdFilterAlgo_t algorithm) {
  constexpr const char* names[] = {"ALGO_0",    "ALGO_1", "FFT", "ALGO_3", "WINOGRAD", "WINOGRAD_NONFUSED",
                                   "FFT_TILING"};
  return names[algorithm];
}

// What was chosen for one of the three passes.
template <class Algorithm>
struct Choice {
  Algorithm algorithm{};
  cudnnMathType_t math{};
  std::size_t workspace_bytes = 0;
  bool lasting() const { return true; }
};

template <class Algorithm>
using Choices = SharedChoices<Conv2dShape, Choice<Algorithm>>;

template <class Algorithm>
struct Pass {
  ConvolutionDescriptor convolution;  // one each: the math type belongs to the algorithm
  Choice<Algorithm> choice;
};

class CudnnConv2d final : public Conv2d<float> {
 public:
  CudnnConv2d(CudaContext& context, const Conv2dShape& shape, BackwardNeeds needs)
      : context_(context),
        needs_(needs),
        output_{shape.batch, shape.out_channels, shape.out_height() * shape.out_width()} {
    const int n = to_int(shape.batch);
    const int i = to_int(shape.in_channels);
    const int o = to_int(shape.out_channels);
    QMSE_CUDA_CHECK(cudnnSetTensor4dDescriptor(x_.get(), CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, n, i,
                                               to_int(shape.in_height), to_int(shape.in_width)));
    QMSE_CUDA_CHECK(cudnnSetTensor4dDescriptor(y_.get(), CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, n, o,
                                               to_int(shape.out_height()), to_int(shape.out_width())));
    QMSE_CUDA_CHECK(cudnnSetFilter4dDescriptor(w_.get(), CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, o, i,
                                               to_int(shape.kernel_height), to_int(shape.kernel_width)));

    plan_forward(shape);
    if (needs.data) plan_data(shape);
    if (needs.weights) plan_weights(shape);
    // The passes run one after the other on one stream, so they share it.
    const std::size_t bytes = std::max(
        {forward_.choice.workspace_bytes, data_.choice.workspace_bytes, weights_.choice.workspace_bytes});
    workspace_ = context_.shared_workspace(bytes);
    algorithm_ = std::string("cuDNN ") + (context_.options().math == MathMode::tf32 ? "tf32" : "fp32") +
                 " forward " + name(forward_.choice.algorithm) +
                 (needs.data ? std::string(", data ") + name(data_.choice.algorithm) : "") +
                 (needs.weights ? std::string(", weights ") + name(weights_.choice.algorithm) : "") +
                 ", workspace " + std::to_string(bytes) + " bytes";
  }

  void forward(const float* x, const float* w, const float* bias, float* y) override {
    check_alignment(x, "conv2d x");
    check_alignment(w, "conv2d w");
    check_alignment(y, "conv2d y");
    QMSE_CUDA_CHECK(run_forward(x, w, y, workspace_->data()));
    if (bias != nullptr) bias_activation_forward(context_, output_, Activation::identity, y, bias, y);
  }

  void backward_data(const float* w, const float* dy, float* dx) override {
    if (!needs_.data) throw std::logic_error("conv2d: planned without the gradient of its input");
    check_alignment(w, "conv2d w");
    check_alignment(dy, "conv2d dy");
    check_alignment(dx, "conv2d dx");
    QMSE_CUDA_CHECK(run_data(w, dy, dx, workspace_->data()));
  }

  void backward_weights(const float* x, const float* dy, float* dw, float* db) override {
    if (!needs_.weights) throw std::logic_error("conv2d: planned without the gradient of its weights");
    check_alignment(x, "conv2d x");
    check_alignment(dy, "conv2d dy");
    check_alignment(dw, "conv2d dw");
    QMSE_CUDA_CHECK(run_weights(x, dy, dw, workspace_->data()));
    if (db != nullptr) bias_gradient(context_, output_, dy, db);
  }

  const char* algorithm() const override { return algorithm_.c_str(); }

 private:
  static constexpr float kOne = 1.0f;
  static constexpr float kZero = 0.0f;

  cudnnStatus_t run_forward(const float* x, const float* w, float* y, void* workspace) {
    return cudnnConvolutionForward(context_.cudnn(), &kOne, x_.get(), x, w_.get(), w,
                                   forward_.convolution.get(), forward_.choice.algorithm, workspace,
                                   forward_.choice.workspace_bytes, &kZero, y_.get(), y);
  }
  cudnnStatus_t run_data(const float* w, const float* dy, float* dx, void* workspace) {
    return cudnnConvolutionBackwardData(context_.cudnn(), &kOne, w_.get(), w, y_.get(), dy,
                                        data_.convolution.get(), data_.choice.algorithm, workspace,
                                        data_.choice.workspace_bytes, &kZero, x_.get(), dx);
  }
  cudnnStatus_t run_weights(const float* x, const float* dy, float* dw, void* workspace) {
    return cudnnConvolutionBackwardFilter(context_.cudnn(), &kOne, x_.get(), x, y_.get(), dy,
                                          weights_.convolution.get(), weights_.choice.algorithm, workspace,
                                          weights_.choice.workspace_bytes, &kZero, w_.get(), dw);
  }

  void plan_forward(const Conv2dShape& shape) {
    choose<cudnnConvolutionFwdAlgoPerf_t>(
        forward_, "forward", shape, cudnnGetConvolutionForwardAlgorithmMaxCount,
        [&](auto... results) {
          return cudnnGetConvolutionForwardAlgorithm_v7(context_.cudnn(), x_.get(), w_.get(),
                                                        forward_.convolution.get(), y_.get(), results...);
        },
        [&](auto algorithm, std::size_t* bytes) {
          return cudnnGetConvolutionForwardWorkspaceSize(
              context_.cudnn(), x_.get(), w_.get(), forward_.convolution.get(), y_.get(), algorithm, bytes);
        },
        [&](const Trial& trial) { return run_forward(trial.x, trial.w, trial.y, trial.workspace); });
  }
  void plan_data(const Conv2dShape& shape) {
    choose<cudnnConvolutionBwdDataAlgoPerf_t>(
        data_, "gradient of data", shape, cudnnGetConvolutionBackwardDataAlgorithmMaxCount,
        [&](auto... results) {
          return cudnnGetConvolutionBackwardDataAlgorithm_v7(context_.cudnn(), w_.get(), y_.get(),
                                                             data_.convolution.get(), x_.get(), results...);
        },
        [&](auto algorithm, std::size_t* bytes) {
          return cudnnGetConvolutionBackwardDataWorkspaceSize(
              context_.cudnn(), w_.get(), y_.get(), data_.convolution.get(), x_.get(), algorithm, bytes);
        },
        [&](const Trial& trial) { return run_data(trial.w, trial.y, trial.x, trial.workspace); });
  }
  void plan_weights(const Conv2dShape& shape) {
    choose<cudnnConvolutionBwdFilterAlgoPerf_t>(
        weights_, "gradient of weights", shape, cudnnGetConvolutionBackwardFilterAlgorithmMaxCount,
        [&](auto... results) {
          return cudnnGetConvolutionBackwardFilterAlgorithm_v7(
              context_.cudnn(), x_.get(), y_.get(), weights_.convolution.get(), w_.get(), results...);
        },
        [&](auto algorithm, std::size_t* bytes) {
          return cudnnGetConvolutionBackwardFilterWorkspaceSize(
              context_.cudnn(), x_.get(), y_.get(), weights_.convolution.get(), w_.get(), algorithm, bytes);
        },
        [&](const Trial& trial) { return run_weights(trial.x, trial.y, trial.w, trial.workspace); });
  }

  // Zeros of the shapes of x, w and y, and a workspace, to see whether an algorithm runs.
  struct Trial {
    float *x, *w, *y;
    void* workspace;
  };
  // What was refused, empty if nothing was.
  template <class Run>
  std::string try_out(const Conv2dShape& s, std::size_t workspace_bytes, const Run& run) {
    const std::int64_t counts[] = {s.batch * s.in_channels * s.in_height * s.in_width,
                                   s.out_channels * s.in_channels * s.kernel_height * s.kernel_width,
                                   s.batch * s.out_channels * s.out_height() * s.out_width()};
    try {
      Buffer zeros[3];
      for (std::size_t i = 0; i < 3; ++i) {
        zeros[i] = Buffer(context_.memory(), static_cast<std::size_t>(counts[i]) * sizeof(float),
                          "trial of a convolution");
        fill_zero(context_, zeros[i].data(), zeros[i].bytes());
      }
      const Buffer workspace(context_.memory(), workspace_bytes, "workspace of a convolution's trial");
      const cudnnStatus_t status =
          run(Trial{zeros[0].as<float>(), zeros[1].as<float>(), zeros[2].as<float>(), workspace.data()});
      if (status != CUDNN_STATUS_SUCCESS) {
        cudaGetLastError();
        return cudnnGetErrorString(status);
      }
      synchronize(context_);
    } catch (const OutOfMemory& error) {  // for this candidate; the next one may need less
      return error.what();
    }
    return "";
  }

  // Takes the first of cuDNN's candidates, which come in the order of expected speed, that gives the same
  // bits in every run, keeps to the math mode, fits the workspace limit and runs.
  template <class Candidate, class Algorithm, class Heuristics, class WorkspaceSize, class Run>
  void choose(Pass<Algorithm>& pass, const char* what, const Conv2dShape& shape,
              cudnnStatus_t (*max_count)(cudnnHandle_t, int*), Heuristics heuristics,
              WorkspaceSize workspace_size, const Run& run) {
    static_assert(std::is_same_v<Algorithm, decltype(Candidate::algo)>);
    const bool tf32 = context_.options().math == MathMode::tf32;
    const int padding = to_int(shape.padding);
    const int stride = to_int(shape.stride);
    QMSE_CUDA_CHECK(cudnnSetConvolution2dDescriptor(pass.convolution.get(), padding, padding, stride, stride,
                                                    1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    // For f32 tensors CUDNN_DEFAULT_MATH lets cuDNN use TF32 where the GPU has it; CUDNN_FMA_MATH does not.
    pass.choice = context_.shared<Choices<Algorithm>>().get(shape, [&] {
      QMSE_CUDA_CHECK(
          cudnnSetConvolutionMathType(pass.convolution.get(), tf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH));
      return first_that_runs<Candidate>(pass, what, shape, max_count, heuristics, workspace_size, run);
    });
    QMSE_CUDA_CHECK(cudnnSetConvolutionMathType(pass.convolution.get(), pass.choice.math));
  }

  // Of cuDNN's candidates; with the pass set up for it.
  template <class Candidate, class Algorithm, class Heuristics, class WorkspaceSize, class Run>
  Choice<Algorithm> first_that_runs(Pass<Algorithm>& pass, const char* what, const Conv2dShape& shape,
                                    cudnnStatus_t (*max_count)(cudnnHandle_t, int*), Heuristics heuristics,
                                    WorkspaceSize workspace_size, const Run& run) {
    const bool tf32 = context_.options().math == MathMode::tf32;
    int count = 0;
    QMSE_CUDA_CHECK(max_count(context_.cudnn(), &count));
    std::vector<Candidate> candidates(static_cast<std::size_t>(count));
    QMSE_CUDA_CHECK(heuristics(count, &count, candidates.data()));
    candidates.resize(static_cast<std::size_t>(count));
    const std::size_t workspace_limit = context_.workspace_limit();
    std::string first_refusal;
    for (const Candidate& candidate : candidates) {
      if (candidate.status != CUDNN_STATUS_SUCCESS || candidate.determinism != CUDNN_DETERMINISTIC) continue;
      // ALLOW_CONVERSION rounds to f16; any tensor-core type is out in fp32 mode.
      if (candidate.mathType == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION) continue;
      if (!tf32 && candidate.mathType == CUDNN_TENSOR_OP_MATH) continue;
      const cudnnMathType_t math = tf32 ? candidate.mathType : CUDNN_FMA_MATH;
      QMSE_CUDA_CHECK(cudnnSetConvolutionMathType(pass.convolution.get(), math));
      std::size_t bytes = 0;
      if (workspace_size(candidate.algo, &bytes) != CUDNN_STATUS_SUCCESS) {
        cudaGetLastError();  // this algorithm does not do this shape; the next one may
        continue;
      }
      if (bytes > workspace_limit) continue;
      pass.choice = {candidate.algo, math, bytes};
      const std::string refusal = try_out(shape, bytes, run);
      if (!refusal.empty()) {
        if (first_refusal.empty()) first_refusal = refusal;
        continue;
      }
      return pass.choice;
    }
    throw CudaError(std::string("conv2d: cuDNN has no deterministic ") + (tf32 ? "tf32" : "fp32") +
                    " algorithm for the " + what + " of " + describe(shape) + " within a workspace of " +
                    std::to_string(workspace_limit) + " bytes" +
                    (first_refusal.empty() ? "" : " (" + first_refusal + ")") +
                    "; raise --workspace-mib or change the sizes");
  }

  CudaContext& context_;
  BackwardNeeds needs_;
  BiasShape output_;
  TensorDescriptor x_, y_;
  FilterDescriptor w_;
  Pass<cudnnConvolutionFwdAlgo_t> forward_;
  Pass<cudnnConvolutionBwdDataAlgo_t> data_;
  Pass<cudnnConvolutionBwdFilterAlgo_t> weights_;
  std::shared_ptr<Buffer> workspace_;
  std::string algorithm_;
};

}  // namespace

std::unique_ptr<Conv2d<float>> make_conv2d(CudaContext& context, Precision<float>, const Conv2dShape& shape,
                                           BackwardNeeds needs) {
  check(shape);
  return std::make_unique<CudnnConv2d>(context, shape, needs);
}

}  // namespace qmse
