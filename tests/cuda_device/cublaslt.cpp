// The calls of cuBLASLt that the project makes: products of column-major f32 matrices with an epilogue.
// Everything is checked at the call; sums run in f64, cut in as many parts as the algorithm splits them and
// rounded to f32 after each.
#include <cublasLt.h>

#include <algorithm>
#include <cstring>

#include "tests/cuda_device/stand_in.h"

struct cublasLtContext {
  int device = 0;
};

using namespace qmse::cuda_device;

namespace {

constexpr const char* kHandle = "cuBLASLt handle";
constexpr const char* kOperation = "cuBLASLt matmul descriptor";
constexpr const char* kLayout = "cuBLASLt matrix layout";
constexpr const char* kPreference = "cuBLASLt preference";

struct Product {
  cublasComputeType_t compute;
  std::int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;
};
struct Layout {
  std::uint64_t rows, columns;
  std::int64_t stride;  // leading dimension
  std::size_t count() const { return static_cast<std::size_t>(stride) * (columns - 1) + rows; }
};
struct Preference {
  std::uint64_t workspace = 0;
  std::uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::uint32_t alignment[4] = {256, 256, 256, 256};
};

// What lies in a cublasLtMatmulAlgo_t.
struct Algorithm {
  std::uint64_t mark;  // of the product and the epilogue's family that it was made for
  std::int32_t id, parts;
  std::uint32_t tile, reduction, alignment[4];
  std::uint64_t workspace;
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));
constexpr std::uint64_t kMark = 0x51D5E;

Product* product(cublasLtMatmulDesc_t d) { return reinterpret_cast<Product*>(d); }
Layout* layout(cublasLtMatrixLayout_t d) { return reinterpret_cast<Layout*>(d); }
Preference* preference(cublasLtMatmulPreference_t d) { return reinterpret_cast<Preference*>(d); }

cublasStatus_t refuse(cublasStatus_t status, const std::string& why) {
  report("cuBLASLt: " + why);
  return status;
}

bool uses_bias(std::uint32_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS ||
         epilogue == CUBLASLT_EPILOGUE_BGRADA || epilogue == CUBLASLT_EPILOGUE_BGRADB;
}
bool known(std::uint32_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_DEFAULT || epilogue == CUBLASLT_EPILOGUE_RELU || uses_bias(epilogue);
}

struct Sizes {
  std::size_t m, n, k;
};

// The descriptors as one product: empty, or what does not fit.
std::string check(const Product& p, const Layout& a, const Layout& b, const Layout& c, const Layout& d,
                  Sizes& sizes) {
  const bool plain_a = p.transpose_a == CUBLAS_OP_N, plain_b = p.transpose_b == CUBLAS_OP_N;
  sizes = {plain_a ? a.rows : a.columns, plain_b ? b.columns : b.rows, plain_a ? a.columns : a.rows};
  if ((plain_b ? b.rows : b.columns) != sizes.k) {
    return "the inner sizes of a and b are " + std::to_string(sizes.k) + " and " +
           std::to_string(plain_b ? b.rows : b.columns);
  }
  if (d.rows != sizes.m || d.columns != sizes.n) {
    return "d is " + std::to_string(d.rows) + " by " + std::to_string(d.columns) + " where the product is " +
           std::to_string(sizes.m) + " by " + std::to_string(sizes.n);
  }
  if (c.rows != d.rows || c.columns != d.columns) return "c and d are of different sizes";
  if (!known(p.epilogue)) return "an epilogue that nobody needs here";
  if (uses_bias(p.epilogue) && p.bias == nullptr) return "the epilogue needs a bias pointer";
  if (!uses_bias(p.epilogue) && p.bias != nullptr) return "a bias pointer under an epilogue that has none";
  return "";
}

std::uint64_t luck(const Product& p, const Sizes& s, int id) {
  std::uint64_t all = mix(settings().seed, static_cast<std::uint64_t>(id));
  for (const std::uint64_t value : {std::uint64_t(s.m), std::uint64_t(s.n), std::uint64_t(s.k),
                                    std::uint64_t(p.transpose_a), std::uint64_t(p.transpose_b)}) {
    all = mix(all, value);
  }
  return all;
}
constexpr int kAlways = 3;  // the algorithm that is never refused
constexpr int kAlgorithms = 6;

bool refused_late(const Product& p, const Sizes& s, int id) {
  return id != kAlways && luck(p, s, id + 50 + static_cast<int>(p.epilogue)) % 4 == 0;
}

float dropped_nan(float value) { return value > 0 ? value : 0.0f; }
float kept_nan(float value) { return value < 0 ? 0.0f : value; }

struct Operand {
  const float* at;
  std::int64_t stride;
  bool transposed;
  double operator()(std::size_t row, std::size_t column) const {
    const std::size_t step = static_cast<std::size_t>(stride);
    return transposed ? at[row * step + column] : at[column * step + row];
  }
};

void multiply(const Product& p, const Sizes& s, int parts, bool drops_nan, float alpha, Operand a, Operand b,
              float beta, float* d, std::int64_t stride) {
  const std::size_t each = (s.k + static_cast<std::size_t>(parts) - 1) / static_cast<std::size_t>(parts);
  const bool relu = p.epilogue == CUBLASLT_EPILOGUE_RELU || p.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
  const bool biased = p.epilogue == CUBLASLT_EPILOGUE_BIAS || p.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
  auto* const vector = static_cast<float*>(p.bias);
  // Sums over k of a row of op(a), or a column of op(b).
  if (p.epilogue == CUBLASLT_EPILOGUE_BGRADA || p.epilogue == CUBLASLT_EPILOGUE_BGRADB) {
    const bool of_a = p.epilogue == CUBLASLT_EPILOGUE_BGRADA;
    for (std::size_t i = 0; i < (of_a ? s.m : s.n); ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < s.k; ++k) sum += of_a ? a(i, k) : b(k, i);
      vector[i] = static_cast<float>(sum);
    }
  }
  for (std::size_t column = 0; column < s.n; ++column) {
    for (std::size_t row = 0; row < s.m; ++row) {
      float total = 0;
      for (std::size_t from = 0; from < s.k; from += each) {
        double sum = 0;
        for (std::size_t k = from; k < std::min(from + each, s.k); ++k) sum += a(row, k) * b(k, column);
        total = static_cast<float>(static_cast<double>(total) + sum);
      }
      float& to = d[column * static_cast<std::size_t>(stride) + row];
      float value = alpha * total + (beta == 0 ? 0.0f : beta * to);
      if (biased) value += vector[row];
      if (relu) value = drops_nan ? dropped_nan(value) : kept_nan(value);
      to = value;
    }
  }
}

template <class Inner, class Handle>
cublasStatus_t destroy(Handle handle, const char* kind) {
  const auto lock = locked();
  if (!died(handle, kind)) return CUBLAS_STATUS_INVALID_VALUE;
  delete reinterpret_cast<Inner*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
bool read(T& to, const void* from, std::size_t bytes) {
  if (bytes != sizeof(T)) return false;
  std::memcpy(&to, from, sizeof(T));
  return true;
}

}  // namespace

extern "C" {

std::size_t cublasLtGetVersion() { return CUBLAS_VERSION; }

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    default:
      return "a status of the stand-in";
  }
}
const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasLtGetStatusName(status); }

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  const auto lock = locked();
  if (breaks_capture("cublasLtCreate")) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (make_context(current_device()) != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasLtContext{current_device()};
  born(*handle, kHandle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return destroy<cublasLtContext>(handle, kHandle); }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* d, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  const auto lock = locked();
  if ((compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32) || scale != CUDA_R_32F) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "a product that is not summed in f32");
  }
  *d = reinterpret_cast<cublasLtMatmulDesc_t>(new Product{compute});
  born(*d, kOperation);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { return destroy<Product>(d, kOperation); }

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              std::size_t bytes) {
  const auto lock = locked();
  if (!alive(d, kOperation)) return refuse(CUBLAS_STATUS_INVALID_VALUE, "a matmul descriptor that is none");
  Product& p = *product(d);
  bool taken = false;
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSA) taken = read(p.transpose_a, value, bytes);
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSB) taken = read(p.transpose_b, value, bytes);
  if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE) taken = read(p.epilogue, value, bytes);
  if (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER) taken = read(p.bias, value, bytes);
  if (!taken)
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "an attribute of a product that nobody needs here, or of a wrong size");
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* d, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t stride) {
  const auto lock = locked();
  if (type != CUDA_R_32F || rows == 0 || columns == 0)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "a matrix that is empty or not f32");
  if (stride < static_cast<std::int64_t>(rows)) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "a leading dimension of " + std::to_string(stride) +
                                                   " under " + std::to_string(rows) + " rows");
  }
  *d = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{rows, columns, stride});
  born(*d, kLayout);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t d) { return destroy<Layout>(d, kLayout); }

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* d) {
  const auto lock = locked();
  *d = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
  born(*d, kPreference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t d) {
  return destroy<Preference>(d, kPreference);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t d,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  const auto lock = locked();
  if (!alive(d, kPreference)) return refuse(CUBLAS_STATUS_INVALID_VALUE, "a preference that is none");
  Preference& p = *preference(d);
  bool taken = false;
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) taken = read(p.workspace, value, bytes);
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) taken = read(p.reductions, value, bytes);
  for (int i = 0; i < 4; ++i) {
    if (attribute == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + i)
      taken = read(p.alignment[i], value, bytes);
  }
  if (!taken)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "a preference that nobody needs here, or of a wrong size");
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t wish, int asked,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned) {
  const auto lock = locked();
  *returned = 0;
  if (!alive(handle, kHandle) || !alive(operation, kOperation) || !alive(a, kLayout) || !alive(b, kLayout) ||
      !alive(c, kLayout) || !alive(d, kLayout) || !alive(wish, kPreference)) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "heuristics: a handle or descriptor that is none, or is no longer");
  }
  if (breaks_capture("planning a product")) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (fails(Fault::plan)) return CUBLAS_STATUS_INTERNAL_ERROR;
  const Product& p = *product(operation);
  Sizes sizes{};
  if (const std::string fault = check(p, *layout(a), *layout(b), *layout(c), *layout(d), sizes);
      !fault.empty()) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "heuristics: " + fault);
  }
  const bool gradient = p.epilogue == CUBLASLT_EPILOGUE_BGRADA || p.epilogue == CUBLASLT_EPILOGUE_BGRADB;
  if (gradient && settings().no_bias_gradient) return CUBLAS_STATUS_NOT_SUPPORTED;
  std::vector<int> ids;
  for (int id = 0; id < kAlgorithms; ++id) ids.push_back(id);
  std::sort(ids.begin(), ids.end(),
            [&](int x, int y) { return luck(p, sizes, x + 20) < luck(p, sizes, y + 20); });
  // The one that works is among them however few are asked for.
  const auto always = std::find(ids.begin(), ids.end(), kAlways);
  if (always - ids.begin() >= asked) std::iter_swap(always, ids.begin());
  for (const int id : ids) {
    if (*returned == asked) break;
    Algorithm made{};
    made.mark = kMark;
    made.id = id;
    made.tile = static_cast<std::uint32_t>(10 + luck(p, sizes, id + 30) % 20);
    made.parts = id == kAlways ? 1 : static_cast<std::int32_t>(1 + luck(p, sizes, id + 40) % 3);
    made.reduction = made.parts == 1 ? CUBLASLT_REDUCTION_SCHEME_NONE
                                     : (id % 2 == 0 ? CUBLASLT_REDUCTION_SCHEME_INPLACE
                                                    : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
    made.workspace = 256 + 1024 * static_cast<std::uint64_t>(id) +
                     4 * sizes.m * sizes.n * static_cast<std::uint64_t>(made.parts - 1);
    std::copy(preference(wish)->alignment, preference(wish)->alignment + 4, made.alignment);
    if ((made.reduction & ~preference(wish)->reductions) != 0 || made.workspace > preference(wish)->workspace)
      continue;
    cublasLtMatmulHeuristicResult_t& result = results[(*returned)++];
    result = {};
    std::memcpy(&result.algo, &made, sizeof made);
    result.workspaceSize = made.workspace;
    result.state = luck(p, sizes, id + 60) % 6 == 0 && id != kAlways ? CUBLAS_STATUS_NOT_SUPPORTED
                                                                     : CUBLAS_STATUS_SUCCESS;
    result.wavesCount = 1;
  }
  return *returned > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* to,
                                                    std::size_t bytes, std::size_t* written) {
  const auto lock = locked();
  Algorithm made{};
  std::memcpy(&made, algorithm, sizeof made);
  std::uint32_t value = 0;
  if (attribute == CUBLASLT_ALGO_CONFIG_ID)
    value = static_cast<std::uint32_t>(made.id);
  else if (attribute == CUBLASLT_ALGO_CONFIG_TILE_ID)
    value = made.tile;
  else if (attribute == CUBLASLT_ALGO_CONFIG_SPLITK_NUM)
    value = static_cast<std::uint32_t>(made.parts);
  else if (attribute == CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME)
    value = made.reduction;
  else
    return CUBLAS_STATUS_INVALID_VALUE;
  if (bytes != sizeof value || made.mark != kMark)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "an attribute of no algorithm, or of a wrong size");
  std::memcpy(to, &value, sizeof value);
  if (written != nullptr) *written = sizeof value;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_form, const void* b,
                              cublasLtMatrixLayout_t b_form, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_form, void* d, cublasLtMatrixLayout_t d_form,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t bytes,
                              cudaStream_t stream) {
  const auto lock = locked();
  const auto bad = [](const std::string& why) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "matmul: " + why);
  };
  if (!alive(handle, kHandle) || !alive(operation, kOperation) || !alive(a_form, kLayout) ||
      !alive(b_form, kLayout) || !alive(c_form, kLayout) || !alive(d_form, kLayout)) {
    return bad("a handle or descriptor that is none, or is no longer");
  }
  if (!valid(stream, "cublasLtMatmul")) return CUBLAS_STATUS_INVALID_VALUE;
  if (handle->device != current_device() || device_of(stream) != handle->device) {
    return bad("handle, stream and the thread's current device are not of one device");
  }
  if (sticky_error(handle->device) != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  const Product p = *product(operation);
  Sizes sizes{};
  if (const std::string fault =
          check(p, *layout(a_form), *layout(b_form), *layout(c_form), *layout(d_form), sizes);
      !fault.empty()) {
    return bad(fault);
  }
  if (algorithm == nullptr) return bad("no algorithm: the library would choose one at every call");
  Algorithm chosen{};
  std::memcpy(&chosen, algorithm, sizeof chosen);
  if (chosen.mark != kMark) return bad("an algorithm that no heuristics gave");
  if (chosen.reduction == CUBLASLT_REDUCTION_SCHEME_INPLACE)
    return bad("a reduction in place, which adds in any order");
  if (bytes < chosen.workspace) {
    return bad("a workspace of " + std::to_string(bytes) + " bytes where the algorithm needs " +
               std::to_string(chosen.workspace));
  }
  Operation work{"matrix product", here(), {}, {}};
  work.uses = {{a, layout(a_form)->count() * 4, "a"},
               {b, layout(b_form)->count() * 4, "b"},
               {d, layout(d_form)->count() * 4, "d"},
               {workspace, chosen.workspace, "the workspace"}};
  if (uses_bias(p.epilogue)) {
    const std::size_t length = p.epilogue == CUBLASLT_EPILOGUE_BGRADB ? sizes.n : sizes.m;
    work.uses.push_back({p.bias, length * 4, "the bias"});
  }
  if (c != d) return bad("c that is not d: nobody needs it here");
  for (std::size_t i = 0; i < work.uses.size(); ++i) {
    const Range& range = work.uses[i];
    if (const std::string fault = fault_of(range, handle->device); !fault.empty()) return bad(fault);
    const std::uint32_t alignment = i < 2 ? chosen.alignment[i] : i == 2 ? chosen.alignment[3] : 16;
    if (reinterpret_cast<std::uintptr_t>(range.begin) % alignment != 0) {
      return bad(std::string(range.name) + " is not aligned to the " + std::to_string(alignment) +
                 " bytes that were planned");
    }
    const char* const out = static_cast<const char*>(d);
    const char* const other = static_cast<const char*>(range.begin);
    if (i != 2 && out < other + range.bytes && other < out + work.uses[2].bytes)
      return bad("d overlaps what is read");
  }
  if (is_device_memory(alpha) || is_device_memory(beta)) return bad("alpha and beta are host pointers");
  if (refused_late(p, sizes, chosen.id)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (fails(Fault::launch)) return CUBLAS_STATUS_EXECUTION_FAILED;
  const std::string what = "cuBLASLt " + std::to_string(chosen.id) + " " + std::to_string(luck(p, sizes, 0)) +
                           " " + std::to_string(p.epilogue);
  if (first_use(handle->device, what) && capturing(stream)) {
    breaks_capture("the first run of a cuBLASLt algorithm, which loads it,");
    return CUBLAS_STATUS_EXECUTION_FAILED;
  }
  const Settings::DropsNan drops = settings().relu_drops_nan;
  const bool drops_nan =
      drops == Settings::DropsNan::all || (drops == Settings::DropsNan::all_but_one && chosen.id != kAlways);
  work.run = [=, scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta),
              a_stride = layout(a_form)->stride, b_stride = layout(b_form)->stride,
              d_stride = layout(d_form)->stride] {
    std::memset(workspace, 0xF7, chosen.workspace);  // it is scratch: whatever lay there is gone
    multiply(p, sizes, chosen.parts, drops_nan, scale,
             {static_cast<const float*>(a), a_stride, p.transpose_a != CUBLAS_OP_N},
             {static_cast<const float*>(b), b_stride, p.transpose_b != CUBLAS_OP_N}, keep,
             static_cast<float*>(d), d_stride);
  };
  return enqueue(stream, std::move(work)) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                         : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // extern "C"
