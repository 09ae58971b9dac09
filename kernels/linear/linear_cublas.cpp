// Fully connected layers by cuBLASLt. Its matrices are column-major, so a row-major [N, I] is a matrix of I
// rows, N columns and leading dimension I; the products below are written in its terms.
#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "device/branches.h"
#include "device/cuda_context.h"
#include "device/handle.h"
#include "device/shared_choices.h"
#include "kernels/bias_activation/bias_activation.h"
#include "kernels/linear/linear.h"
#include "kernels/narrow_linear/narrow_linear.h"
#include "kernels/plan.h"

namespace qmse {
namespace {

using Operation = Handle<cublasLtMatmulDesc_t, cublasLtMatmulDescCreate, cublasLtMatmulDescDestroy>;
using MatrixLayout = Handle<cublasLtMatrixLayout_t, cublasLtMatrixLayoutCreate, cublasLtMatrixLayoutDestroy>;
using Preference =
    Handle<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceCreate, cublasLtMatmulPreferenceDestroy>;

// d [m, n] = op(a) op(b), the inner dimension being k.
struct Product {
  std::int64_t m, n, k;
  cublasOperation_t transpose_a, transpose_b;
  bool operator==(const Product&) const = default;
};

using Epilogues = std::vector<cublasLtEpilogue_t>;

// Whether the epilogue reads or writes a bias vector. cuBLASLt wants the vector's address where it does, and
// answers INVALID_VALUE to an address where it does not.
bool has_vector(cublasLtEpilogue_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS ||
         epilogue == CUBLASLT_EPILOGUE_BGRADB;
}

// What was chosen for a product and the epilogues it is run with.
struct Choice {
  std::optional<cublasLtMatmulAlgo_t> algorithm = {};  // none: cuBLASLt has none
  std::size_t workspace_bytes = 0;
  std::string refusal = {};      // the first one on the way, if any
  bool short_of_memory = false;  // one of them was for want of memory
  bool lasting() const { return algorithm || !short_of_memory; }
};
using Choices = SharedChoices<std::pair<Product, Epilogues>, Choice>;

class Matmul {
 public:
  // Plans the product; found() says whether cuBLASLt has an algorithm for it. All epilogues get the same
  // algorithm, so that they round alike; they may read or write a vector. `whole_sums`: the inner dimension
  // is not cut in parts.
  Matmul(CudaContext& context, const Product& product, const Epilogues& epilogues, bool whole_sums = false)
      : context_(context),
        operation_(
            context.options().math == MathMode::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
            CUDA_R_32F),
        a_(layout(product.m, product.k, product.transpose_a)),
        b_(layout(product.k, product.n, product.transpose_b)),
        d_(layout(product.m, product.n, CUBLAS_OP_N)) {
    set(CUBLASLT_MATMUL_DESC_TRANSA, product.transpose_a);
    set(CUBLASLT_MATMUL_DESC_TRANSB, product.transpose_b);
    choice_ = context.shared<Choices>().get({product, epilogues},
                                            [&] { return choose(product, epilogues, whole_sums); });
  }

  bool found() const { return choice_.algorithm.has_value(); }
  const std::string& refusal() const { return choice_.refusal; }
  std::size_t workspace_bytes() const { return choice_.workspace_bytes; }

  // Whether its sums are cut in parts.
  bool splits() const { return number<std::int32_t>(CUBLASLT_ALGO_CONFIG_SPLITK_NUM).value_or(1) > 1; }

  // The algorithm's number, tile and number of parts of the sum, as cuBLASLt counts them.
  std::string describe() const {
    return get<std::int32_t>(CUBLASLT_ALGO_CONFIG_ID) + " (tile " +
           get<std::uint32_t>(CUBLASLT_ALGO_CONFIG_TILE_ID) + ", split " +
           get<std::int32_t>(CUBLASLT_ALGO_CONFIG_SPLITK_NUM) + ")";
  }

  // `vector` is the epilogue's: bias, or gradient of it; null for an epilogue without one.
  void run(const float* a, const float* b, float* d, cublasLtEpilogue_t epilogue, const float* vector,
           const Buffer& workspace) {
    QMSE_CUDA_CHECK(try_run(choice_, a, b, d, epilogue, vector, workspace));
  }

 private:
  cublasStatus_t try_run(const Choice& choice, const float* a, const float* b, float* d,
                         cublasLtEpilogue_t epilogue, const float* vector, const Buffer& workspace) {
    const float one = 1.0f;
    const float zero = 0.0f;
    set_epilogue(epilogue, vector);
    return cublasLtMatmul(context_.cublas_lt(), operation_.get(), &one, a, a_.get(), b, b_.get(), &zero, d,
                          d_.get(), d, d_.get(), &*choice.algorithm, workspace.data(), choice.workspace_bytes,
                          context_.stream());
  }

  // The first of the heuristics' candidates, which come in the order of expected speed, that runs with every
  // epilogue; none where there is none.
  Choice choose(const Product& product, const Epilogues& epilogues, bool whole_sums) {
    // The heuristics take the vector's alignment from the pointer, which they do not follow.
    set_epilogue(epilogues.front(), reinterpret_cast<const void*>(kPlannedAlignment));
    const Preference preference;
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      QMSE_CUDA_CHECK(
          cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{context_.workspace_limit()});
    // Sums in one sequence, or cut in parts that are kept and then added in a separate step.
    prefer(
        CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        std::uint32_t(whole_sums ? CUBLASLT_REDUCTION_SCHEME_NONE
                                 : CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      prefer(attribute, std::uint32_t{kPlannedAlignment});
    }
    std::array<cublasLtMatmulHeuristicResult_t, 8> results{};
    int count = 0;
    Choice choice;
    const cublasStatus_t asked = cublasLtMatmulAlgoGetHeuristic(
        context_.cublas_lt(), operation_.get(), a_.get(), b_.get(), d_.get(), d_.get(), preference.get(),
        static_cast<int>(results.size()), results.data(), &count);
    // Refused as a whole, for example for an epilogue that f32 does not have: none.
    if (asked != CUBLAS_STATUS_SUCCESS) {
      choice.refusal = text(asked);
      return choice;
    }
    for (int i = 0; i < count; ++i) {
      const cublasLtMatmulHeuristicResult_t& result = results[static_cast<std::size_t>(i)];
      if (result.state != CUBLAS_STATUS_SUCCESS) continue;
      choice.algorithm = result.algo;
      choice.workspace_bytes = result.workspaceSize;
      const std::string refusal = try_out(product, epilogues, choice);
      if (refusal.empty()) return choice;
      if (choice.refusal.empty()) choice.refusal = refusal;
    }
    choice.algorithm.reset();
    choice.workspace_bytes = 0;
    return choice;
  }

  // Runs the choice with every epilogue on zeros and one NaN; returns what was refused, empty if nothing was.
  // ReLU must let the NaN pass: some releases make it a zero, and then nobody would see that a number before
  // it is not finite.
  std::string try_out(const Product& p, const Epilogues& epilogues, Choice& choice) {
    const auto zeros = [&](std::int64_t count) {
      Buffer buffer(context_.memory(), static_cast<std::size_t>(count) * sizeof(float), "trial of a product");
      fill_zero(context_, buffer.data(), buffer.bytes());
      return buffer;
    };
    try {
      const Buffer a = zeros(p.m * p.k), b = zeros(p.k * p.n), d = zeros(p.m * p.n),
                   vector = zeros(p.m + p.n);
      const Buffer workspace(context_.memory(), choice.workspace_bytes, "workspace of a product's trial");
      const float nan = std::numeric_limits<float>::quiet_NaN();
      host_to_device(context_, b.data(), &nan, sizeof(nan));
      for (const cublasLtEpilogue_t epilogue : epilogues) {
        const cublasStatus_t status = try_run(choice, a.as<float>(), b.as<float>(), d.as<float>(), epilogue,
                                              has_vector(epilogue) ? vector.as<float>() : nullptr, workspace);
        if (status != CUBLAS_STATUS_SUCCESS) {
          cudaGetLastError();
          return text(status);
        }
        float first = 0;
        device_to_host(context_, &first, d.data(), sizeof(first));
        if (!std::isnan(first)) return "its epilogue turns NaN into a number";
      }
    } catch (const OutOfMemory& error) {  // for this candidate; the next one may need less
      choice.short_of_memory = true;
      return error.what();
    }
    return "";
  }

  static std::string text(cublasStatus_t status) {
    return std::string(cublasLtGetStatusName(status)) + ": " + cublasLtGetStatusString(status);
  }

  void set_epilogue(cublasLtEpilogue_t epilogue, const void* vector) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, has_vector(epilogue) ? vector : nullptr);
  }

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    QMSE_CUDA_CHECK(cublasLtMatmulDescSetAttribute(operation_.get(), attribute, &value, sizeof(value)));
  }

  // Of a matrix that, transposed or not, is [rows, columns].
  static MatrixLayout layout(std::int64_t rows, std::int64_t columns, cublasOperation_t transpose) {
    if (transpose != CUBLAS_OP_N) std::swap(rows, columns);
    return MatrixLayout(CUDA_R_32F, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns),
                        rows);
  }

  // Nothing where the algorithm does not have the attribute.
  template <class T>
  std::optional<T> number(cublasLtMatmulAlgoConfigAttributes_t attribute) const {
    T value{};
    std::size_t written = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoConfigGetAttribute(&*choice_.algorithm, attribute, &value, sizeof(value), &written);
    return status == CUBLAS_STATUS_SUCCESS ? std::optional<T>(value) : std::nullopt;
  }
  template <class T>
  std::string get(cublasLtMatmulAlgoConfigAttributes_t attribute) const {
    const std::optional<T> value = number<T>(attribute);
    return value ? std::to_string(*value) : "?";
  }

  CudaContext& context_;
  Operation operation_;
  MatrixLayout a_, b_, d_;
  Choice choice_;
};

class CublasLinear final : public Linear<float> {
 public:
  CublasLinear(CudaContext& context, const LinearShape& shape, BackwardNeeds needs)
      : context_(context),
        shape_(shape),
        forward_epilogue_(shape.activation == Activation::relu ? CUBLASLT_EPILOGUE_RELU_BIAS
                                                               : CUBLASLT_EPILOGUE_BIAS) {
    // y' [O, N] = w x', in the epilogue bias [O] along the rows and ReLU
    const Product y{shape.out_features, shape.batch, shape.in_features, CUBLAS_OP_T, CUBLAS_OP_N};
    forward_.emplace(context, y, Epilogues{forward_epilogue_, CUBLASLT_EPILOGUE_DEFAULT});
    const std::string fused_refusal = forward_->refusal();
    if (!forward_->found()) {
      forward_epilogue_ = CUBLASLT_EPILOGUE_DEFAULT;
      forward_.emplace(context, y, Epilogues{CUBLASLT_EPILOGUE_DEFAULT});
    }
    require(*forward_, "forward");
    if (needs.data) {
      // dx' [I, N] = w' dy'
      data_.emplace(context,
                    Product{shape.in_features, shape.batch, shape.out_features, CUBLAS_OP_N, CUBLAS_OP_N},
                    Epilogues{CUBLASLT_EPILOGUE_DEFAULT});
      require(*data_, "gradient of data");
    }
    if (needs.weights) {
      // dw' [I, O] = x' dy, and in the epilogue, where f32 has it, the sums over k = batch of dy's
      // columns [O]
      const Product product{shape.in_features, shape.out_features, shape.batch, CUBLAS_OP_N, CUBLAS_OP_T};
      weights_.emplace(context, product, Epilogues{CUBLASLT_EPILOGUE_DEFAULT});
      require(*weights_, "gradient of weights");
      // In the epilogue the sums over the batch would have to be whole: where the product is faster in parts,
      // that is worth more than a pass saved.
      if (!weights_->splits())
        weights_bias_.emplace(context, product, Epilogues{CUBLASLT_EPILOGUE_BGRADB}, true);
    }
    const auto most = [](const Matmul& one, const std::optional<Matmul>& other) {
      return std::max(one.workspace_bytes(), other ? other->workspace_bytes() : 0);
    };
    std::size_t bytes = most(*forward_, data_);
    workspace_ = context.shared_workspace(bytes);
    if (needs.weights) {
      const std::size_t aside = most(*weights_, weights_bias_);
      workspace_aside_ = context.shared_workspace(aside, CudaContext::Queue::aside);
      bytes = std::max(bytes, aside);
    }
    if (relu() && (needs.data || needs.weights)) {
      const auto size = static_cast<std::size_t>(shape.batch * shape.out_features);
      masked_ = Buffer(context.memory(), size * sizeof(float), "linear gradient before relu");
    }
    algorithm_ = std::string("cuBLASLt ") + (context.options().math == MathMode::tf32 ? "tf32" : "fp32") +
                 " forward " + forward_->describe();
    if (forward_epilogue_ == CUBLASLT_EPILOGUE_DEFAULT) {
      algorithm_ += ", bias by bias_activation (in the epilogue: " + fused_refusal + ")";
    }
    if (needs.data) algorithm_ += ", data " + data_->describe();
    if (needs.weights) {
      algorithm_ += ", weights " + (bias_in_epilogue() ? weights_bias_->describe() + ", bias in its epilogue"
                                                       : weights_->describe() + ", bias by bias_gradient");
    }
    algorithm_ += ", workspace " + std::to_string(bytes) + " bytes";
  }

  void forward(const float* x, const float* w, const float* bias, float* y) override {
    check_alignment(x, "linear x");
    check_alignment(w, "linear w");
    check_alignment(bias, "linear bias");
    check_alignment(y, "linear y");
    if (bias != nullptr && forward_epilogue_ != CUBLASLT_EPILOGUE_DEFAULT) {
      forward_->run(w, x, y, forward_epilogue_, bias, *workspace_);
      return;
    }
    forward_->run(w, x, y, CUBLASLT_EPILOGUE_DEFAULT, nullptr, *workspace_);
    if (bias == nullptr && !relu()) return;
    bias_activation_forward(context_, {shape_.batch, shape_.out_features, 1}, shape_.activation, y, bias, y);
  }

  void backward(const float* x, const float* w, const float* y, const float* dy, float* dx, float* dw,
                float* db) override {
    if (!weights_ || (dx != nullptr && !data_)) {
      throw std::logic_error("linear: planned without a gradient that is asked for");
    }
    check_alignment(x, "linear x");
    check_alignment(w, "linear w");
    check_alignment(dy, "linear dy");
    check_alignment(dx, "linear dx");
    check_alignment(dw, "linear dw");
    check_alignment(db, "linear db");
    if (relu()) {
      activation_backward(context_, shape_.batch * shape_.out_features, shape_.activation, y, dy,
                          masked_.as<float>());
      dy = masked_.as<float>();
    }
    // Both products of a small batch leave room on a GPU: they may run at once.
    gradients_of_weights(x, dy, dw, db);
    if (dx != nullptr) data_->run(w, dy, dx, CUBLASLT_EPILOGUE_DEFAULT, nullptr, *workspace_);
  }

  const char* algorithm() const override { return algorithm_.c_str(); }

 private:
  void gradients_of_weights(const float* x, const float* dy, float* dw, float* db) {
    const Aside aside(context_);
    if (db != nullptr && bias_in_epilogue()) {
      weights_bias_->run(x, dy, dw, CUBLASLT_EPILOGUE_BGRADB, db, *workspace_aside_);
    } else {
      weights_->run(x, dy, dw, CUBLASLT_EPILOGUE_DEFAULT, nullptr, *workspace_aside_);
      if (db != nullptr) bias_gradient(context_, {shape_.batch, shape_.out_features, 1}, dy, db);
    }
  }
  bool relu() const { return shape_.activation == Activation::relu; }
  bool bias_in_epilogue() const { return weights_bias_ && weights_bias_->found(); }

  void require(const Matmul& product, const char* what) const {
    if (product.found()) return;
    throw CudaError(std::string("linear: cuBLASLt has no ") +
                    (context_.options().math == MathMode::tf32 ? "tf32" : "fp32") +
                    " algorithm with a fixed order of sums for the " + what + " of x [" +
                    std::to_string(shape_.batch) + ", " + std::to_string(shape_.in_features) + "], w [" +
                    std::to_string(shape_.out_features) + ", " + std::to_string(shape_.in_features) +
                    "] within a workspace of " + std::to_string(context_.workspace_limit()) + " bytes" +
                    (product.refusal().empty() ? "" : " (" + product.refusal() + ")") +
                    "; raise --workspace-mib or change the sizes");
  }

  CudaContext& context_;
  LinearShape shape_;
  cublasLtEpilogue_t forward_epilogue_;  // DEFAULT: the bias is added in a pass of its own
  std::optional<Matmul> forward_, data_, weights_, weights_bias_;
  std::shared_ptr<Buffer> workspace_, workspace_aside_;
  Buffer masked_;
  std::string algorithm_;
};

// Few outputs and a batch that is not large: kernels of our own.
class NarrowLinear final : public Linear<float> {
 public:
  NarrowLinear(CudaContext& context, const NarrowLinearShape& shape, BackwardNeeds needs)
      : context_(context), shape_(shape), needs_(needs) {}
  void forward(const float* x, const float* w, const float* bias, float* y) override {
    narrow_linear_forward(context_, shape_, x, w, bias, y);
  }
  void backward(const float* x, const float* w, const float* y, const float* dy, float* dx, float* dw,
                float* db) override {
    if (dx != nullptr && !needs_.data)
      throw std::logic_error("linear: planned without the gradient of its input");
    if (!needs_.weights) throw std::logic_error("linear: planned without the gradient of its weights");
    narrow_linear_backward(context_, shape_, x, w, y, dy, dx, dw, db);
  }
  const char* algorithm() const override { return "own fp32"; }

 private:
  CudaContext& context_;
  NarrowLinearShape shape_;
  BackwardNeeds needs_;
};

}  // namespace

std::unique_ptr<Linear<float>> make_linear(CudaContext& context, Precision<float>, const LinearShape& shape,
                                           BackwardNeeds needs) {
  check(shape);
  const NarrowLinearShape narrow{shape.batch, shape.in_features, shape.out_features, shape.activation};
  if (takes_own_kernels(context.options()) && has_narrow_linear(narrow)) {
    return std::make_unique<NarrowLinear>(context, narrow, needs);
  }
  return std::make_unique<CublasLinear>(context, shape, needs);
}

}  // namespace qmse
