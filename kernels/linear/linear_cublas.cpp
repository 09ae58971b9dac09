// Fully connected layers by cuBLASLt. Its matrices are column-major, so a row-major [N, I] is a matrix of I
// rows, N columns and leading dimension I; the products below are written in its terms.
#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "kernels/bias_activation/bias_activation.h"
#include "kernels/core/alignment.h"
#include "kernels/core/cuda_check.h"
#include "kernels/core/cuda_context.h"
#include "kernels/core/cuda_library_check.h"
#include "kernels/core/error.h"
#include "kernels/linear/linear.h"

namespace qmse {
namespace {

template <class Handle, cublasStatus_t (*destroy)(Handle)>
class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() {
    if (handle_ != nullptr) destroy(handle_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Handle get() const { return handle_; }
  Handle* put() { return &handle_; }

 private:
  Handle handle_ = nullptr;
};

using Operation = Descriptor<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using MatrixLayout = Descriptor<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Descriptor<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

// d [m, n] = op(a) op(b), the inner dimension being k.
struct Product {
  std::int64_t m, n, k;
  cublasOperation_t transpose_a, transpose_b;
  bool operator==(const Product&) const = default;
};

// What the heuristics chose for a product and an epilogue, once per context, whose math mode and workspace
// limit they keep to.
struct Choice {
  Product product;
  cublasLtEpilogue_t epilogue;
  std::optional<cublasLtMatmulAlgo_t> algorithm;  // none: cuBLASLt has none
  std::size_t workspace_bytes = 0;
};
struct Choices {
  std::vector<Choice> known;
};

class Matmul {
 public:
  // Plans the product; found() says whether cuBLASLt has an algorithm for it. `epilogue` may read or write a
  // vector.
  Matmul(CudaContext& context, const Product& product, cublasLtEpilogue_t epilogue) {
    const bool tf32 = context.options().math == MathMode::tf32;
    QMSE_CUBLAS_CHECK(cublasLtMatmulDescCreate(
        operation_.put(), tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
    set(CUBLASLT_MATMUL_DESC_TRANSA, product.transpose_a);
    set(CUBLASLT_MATMUL_DESC_TRANSB, product.transpose_b);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    // The heuristics take the vector's alignment from the pointer, which they do not follow.
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, reinterpret_cast<void*>(kPlannedAlignment));
    const bool plain_a = product.transpose_a == CUBLAS_OP_N;
    const bool plain_b = product.transpose_b == CUBLAS_OP_N;
    lay_out(a_, plain_a ? product.m : product.k, plain_a ? product.k : product.m);
    lay_out(b_, plain_b ? product.k : product.n, plain_b ? product.n : product.k);
    lay_out(d_, product.m, product.n);

    auto& known = context.state<Choices>().known;
    const auto chosen = std::find_if(known.begin(), known.end(), [&](const Choice& choice) {
      return choice.product == product && choice.epilogue == epilogue;
    });
    choice_ = chosen != known.end() ? *chosen : known.emplace_back(choose(context, product, epilogue));
  }

  bool found() const { return choice_.algorithm.has_value(); }
  std::size_t workspace_bytes() const { return choice_.workspace_bytes; }

  // The algorithm's number, tile and number of parts of the sum, as cuBLASLt counts them.
  std::string describe() const {
    return std::to_string(get<std::int32_t>(CUBLASLT_ALGO_CONFIG_ID)) + " (tile " +
           std::to_string(get<std::uint32_t>(CUBLASLT_ALGO_CONFIG_TILE_ID)) + ", split " +
           std::to_string(get<std::int32_t>(CUBLASLT_ALGO_CONFIG_SPLITK_NUM)) + ")";
  }

  // `vector` is the epilogue's: bias, or gradient of it; ignored without one.
  void run(CudaContext& context, const float* a, const float* b, float* d, const float* vector,
           const Buffer& workspace) {
    const float one = 1.0f;
    const float zero = 0.0f;
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(vector));
    QMSE_CUBLAS_CHECK(cublasLtMatmul(context.cublas_lt(), operation_.get(), &one, a, a_.get(), b, b_.get(),
                                     &zero, d, d_.get(), d, d_.get(), &*choice_.algorithm, workspace.data(),
                                     choice_.workspace_bytes, context.stream()));
  }

 private:
  Choice choose(CudaContext& context, const Product& product, cublasLtEpilogue_t epilogue) {
    Preference preference;
    QMSE_CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(preference.put()));
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      QMSE_CUBLAS_CHECK(
          cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{context.options().workspace_limit});
    // Sums in one sequence, or cut in parts that are kept and then added in a separate step.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      prefer(attribute, std::uint32_t{kPlannedAlignment});
    }

    std::array<cublasLtMatmulHeuristicResult_t, 8> results{};  // in the order of expected speed
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        context.cublas_lt(), operation_.get(), a_.get(), b_.get(), d_.get(), d_.get(), preference.get(),
        static_cast<int>(results.size()), results.data(), &count);
    Choice choice{product, epilogue, std::nullopt, 0};
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return choice;
    QMSE_CUBLAS_CHECK(status);
    for (int i = 0; i < count && !choice.algorithm; ++i) {
      const cublasLtMatmulHeuristicResult_t& result = results[static_cast<std::size_t>(i)];
      if (result.state != CUBLAS_STATUS_SUCCESS) continue;
      choice.algorithm = result.algo;
      choice.workspace_bytes = result.workspaceSize;
    }
    return choice;
  }

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    QMSE_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(operation_.get(), attribute, &value, sizeof(value)));
  }

  static void lay_out(MatrixLayout& layout, std::int64_t rows, std::int64_t columns) {
    QMSE_CUBLAS_CHECK(cublasLtMatrixLayoutCreate(layout.put(), CUDA_R_32F, static_cast<std::uint64_t>(rows),
                                                 static_cast<std::uint64_t>(columns), rows));
  }

  template <class T>
  T get(cublasLtMatmulAlgoConfigAttributes_t attribute) const {
    T value{};
    std::size_t written = 0;
    QMSE_CUBLAS_CHECK(cublasLtMatmulAlgoConfigGetAttribute(&*choice_.algorithm, attribute, &value,
                                                           sizeof(value), &written));
    return value;
  }

  Operation operation_;
  MatrixLayout a_, b_, d_;
  Choice choice_;
};

class CublasLinear final : public Linear<float> {
 public:
  CublasLinear(CudaContext& context, const LinearShape& shape)
      : context_(context),
        shape_(shape),
        // y' [O, N] = w x', bias [O] along the rows
        forward_(context, forward_product(), relu() ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT),
        forward_bias_(context, forward_product(),
                      relu() ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS),
        // dx' [I, N] = w' dy'
        data_(context, {shape.in_features, shape.batch, shape.out_features, CUBLAS_OP_N, CUBLAS_OP_N},
              CUBLASLT_EPILOGUE_DEFAULT),
        // dw' [I, O] = x' dy, and the sums over k = batch of dy's columns [O]
        weights_(context, weights_product(), CUBLASLT_EPILOGUE_DEFAULT),
        weights_bias_(context, weights_product(), CUBLASLT_EPILOGUE_BGRADB) {
    require(forward_, "forward");
    require(forward_bias_, "forward with bias");
    require(data_, "gradient of data");
    require(weights_, "gradient of weights");
    std::size_t bytes = 0;
    for (const Matmul* product : {&forward_, &forward_bias_, &data_, &weights_, &weights_bias_}) {
      bytes = std::max(bytes, product->workspace_bytes());
    }
    workspace_ = context.shared_workspace(bytes);
    if (relu()) {
      const auto size = static_cast<std::size_t>(shape.batch * shape.out_features);
      masked_ = Buffer(context.memory(), size * sizeof(float), "linear gradient before relu");
    }
    algorithm_ = std::string("cuBLASLt ") + (context.options().math == MathMode::tf32 ? "tf32" : "fp32") +
                 " forward " + forward_bias_.describe() + ", data " + data_.describe() + ", weights " +
                 (weights_bias_.found() ? weights_bias_.describe() + ", bias in its epilogue"
                                        : weights_.describe() + ", bias by bias_gradient") +
                 ", workspace " + std::to_string(bytes) + " bytes";
  }

  void forward(const float* x, const float* w, const float* bias, float* y) override {
    check_alignment(x, "linear x");
    check_alignment(w, "linear w");
    check_alignment(bias, "linear bias");
    check_alignment(y, "linear y");
    Matmul& product = bias == nullptr ? forward_ : forward_bias_;
    product.run(context_, w, x, y, bias, *workspace_);
  }

  void backward(const float* x, const float* w, const float* y, const float* dy, float* dx, float* dw,
                float* db) override {
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
    if (db != nullptr && weights_bias_.found()) {
      weights_bias_.run(context_, x, dy, dw, db, *workspace_);
    } else {
      weights_.run(context_, x, dy, dw, nullptr, *workspace_);
      if (db != nullptr) bias_gradient(context_, {shape_.batch, shape_.out_features, 1}, dy, db);
    }
    if (dx != nullptr) data_.run(context_, w, dy, dx, nullptr, *workspace_);
  }

  const char* algorithm() const override { return algorithm_.c_str(); }

 private:
  bool relu() const { return shape_.activation == Activation::relu; }
  Product forward_product() const {
    return {shape_.out_features, shape_.batch, shape_.in_features, CUBLAS_OP_T, CUBLAS_OP_N};
  }
  Product weights_product() const {
    return {shape_.in_features, shape_.out_features, shape_.batch, CUBLAS_OP_N, CUBLAS_OP_T};
  }

  void require(const Matmul& product, const char* what) const {
    if (product.found()) return;
    throw CudaError(std::string("linear: cuBLASLt has no ") +
                    (context_.options().math == MathMode::tf32 ? "tf32" : "fp32") +
                    " algorithm with a fixed order of " + "sums for the " + what + " of x [" +
                    std::to_string(shape_.batch) + ", " + std::to_string(shape_.in_features) + "], w [" +
                    std::to_string(shape_.out_features) + ", " + std::to_string(shape_.in_features) +
                    "] within a workspace of " + std::to_string(context_.options().workspace_limit) +
                    " bytes");
  }

  CudaContext& context_;
  LinearShape shape_;
  Matmul forward_, forward_bias_, data_, weights_, weights_bias_;
  std::shared_ptr<Buffer> workspace_;
  Buffer masked_;
  std::string algorithm_;
};

}  // namespace

template <class T>
std::unique_ptr<Linear<T>> make_linear(CudaContext& context, const LinearShape& shape) {
  check(shape);
  return std::make_unique<CublasLinear>(context, shape);
}
template std::unique_ptr<Linear<float>> make_linear(CudaContext&, const LinearShape&);

}  // namespace qmse
