// The calls of cuDNN that the project makes: descriptors and 2-D cross-correlations of f32 tensors [N, C, H,
// W]. Everything is checked at the call; sums run in f64, cut in as many parts as the algorithm's number says
// and rounded to f32 after each, so that another algorithm gives other bits.
#include <cudnn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "tests/cuda_device/stand_in.h"

struct cudnnContext {
  int device = 0;
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {
  bool set = false;
  int n = 0, c = 0, h = 0, w = 0;
};
struct cudnnFilterStruct {
  bool set = false;
  int k = 0, c = 0, h = 0, w = 0;
};
struct cudnnConvolutionStruct {
  bool set = false;
  int pad_h = 0, pad_w = 0, stride_h = 1, stride_w = 1;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};

using namespace qmse::cuda_device;

namespace {

constexpr const char* kHandle = "cuDNN handle";
constexpr const char* kTensor = "cuDNN tensor descriptor";
constexpr const char* kFilter = "cuDNN filter descriptor";
constexpr const char* kConvolution = "cuDNN convolution descriptor";

thread_local std::string last_message;

cudnnStatus_t refuse(cudnnStatus_t status, const std::string& why) {
  last_message = why;
  report("cuDNN: " + why);
  return status;
}

enum class Pass { forward, data, weights };

const char* name(Pass pass) {
  return pass == Pass::forward ? "forward convolution"
         : pass == Pass::data  ? "data gradient"
                               : "weight gradient";
}

struct Shape {
  cudnnTensorStruct x, y;
  cudnnFilterStruct w;
  cudnnConvolutionStruct conv;

  std::size_t x_count() const { return std::size_t(x.n) * x.c * x.h * x.w; }
  std::size_t y_count() const { return std::size_t(y.n) * y.c * y.h * y.w; }
  std::size_t w_count() const { return std::size_t(w.k) * w.c * w.h * w.w; }
  std::uint64_t number() const {
    std::uint64_t all = 0;
    for (const int value :
         {x.n, x.c, x.h, x.w, w.k, w.h, w.w, conv.pad_h, conv.pad_w, conv.stride_h, conv.stride_w}) {
      all = mix(all, static_cast<std::uint64_t>(value));
    }
    return all;
  }
};

// An algorithm of a pass: what of it does not depend on the shape.
struct Traits {
  int count;                   // of the pass's algorithms
  int always;                  // one that takes every shape and is never refused
  std::uint32_t unknown;       // bits of those that do not exist or take no f32 here
  std::uint32_t undetermined;  // bits of those that give other bits every time
};
Traits traits(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return {8, 1, 1u << 3, 0};
    case Pass::data:
      return {6, 1, 0, 1u << 0};
    case Pass::weights:
      return {7, 1, 1u << 4, 1u << 0 | 1u << 3};
  }
  return {};
}

bool has_bit(std::uint32_t bits, int bit) { return (bits >> bit & 1u) != 0; }

std::uint64_t luck(Pass pass, int algorithm, const Shape& shape) {
  return mix(settings().seed,
             mix(shape.number(), static_cast<std::uint64_t>(algorithm) * 4 + static_cast<unsigned>(pass)));
}
// Not for this shape: the question for its workspace says so. Winograd takes 3x3 with stride 1 alone, as
// it does.
bool unsuited(Pass pass, int algorithm, const Shape& s) {
  const Traits t = traits(pass);
  if (has_bit(t.unknown, algorithm)) return true;
  const int winograd = pass == Pass::forward ? 6 : 4;
  if (algorithm == winograd || (pass == Pass::weights && algorithm == 5)) {
    return s.w.h != 3 || s.w.w != 3 || s.conv.stride_h != 1 || s.conv.stride_w != 1;
  }
  return algorithm != t.always && luck(pass, algorithm, s) % 5 == 0;
}
// Looks good until it is run.
bool refused_late(Pass pass, int algorithm, const Shape& s) {
  return algorithm != traits(pass).always && luck(pass, algorithm, s) / 5 % 3 == 0;
}
// Different for every algorithm, math type and shape; far too much for some.
std::size_t workspace_bytes(Pass pass, int algorithm, const Shape& s) {
  if (algorithm != traits(pass).always && luck(pass, algorithm, s) / 15 % 7 == 0) return std::size_t{3} << 30;
  return 512 * (static_cast<std::size_t>(algorithm) + 1) + 64 * static_cast<std::size_t>(s.conv.math) +
         4 * static_cast<std::size_t>(s.x.c) * static_cast<std::size_t>(s.w.k) +
         32 * static_cast<std::size_t>(pass);
}

// What every call with these arguments needs.
cudnnStatus_t check(cudnnHandle_t handle, const char* call, const Shape& s) {
  const auto bad = [&](const std::string& why) {
    return refuse(CUDNN_STATUS_BAD_PARAM, std::string(call) + ": " + why);
  };
  if (!alive(handle, kHandle)) return bad("a handle that is none, or is no longer");
  if (handle->device != current_device())
    return bad("the handle is of another device than the thread's current one");
  if (!valid(handle->stream, call)) return CUDNN_STATUS_BAD_PARAM;
  if (!s.x.set || !s.y.set || !s.w.set || !s.conv.set) return bad("a descriptor that was never set");
  if (s.x.c != s.w.c || s.y.c != s.w.k || s.x.n != s.y.n ||
      s.y.h != (s.x.h + 2 * s.conv.pad_h - s.w.h) / s.conv.stride_h + 1 ||
      s.y.w != (s.x.w + 2 * s.conv.pad_w - s.w.w) / s.conv.stride_w + 1) {
    return bad("the descriptors of x, w and y do not fit together");
  }
  return CUDNN_STATUS_SUCCESS;
}

template <class Descriptor>
Descriptor read(const Descriptor* descriptor, const char* kind) {
  if (alive(descriptor, kind)) return *descriptor;
  report(std::string("cuDNN: a ") + kind + " that is none, or is no longer");
  return {};
}

Shape shape_of(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t conv,
               cudnnTensorDescriptor_t y) {
  return {read(x, kTensor), read(y, kTensor), read(w, kFilter), read(conv, kConvolution)};
}

void store(float& to, float sum, float alpha, float beta) {
  to = alpha * sum + (beta == 0 ? 0.0f : beta * to);
}

// Sums of f64 terms, one for each element of a row, cut in parts at the outermost of the sums' loops.
class Sums {
 public:
  Sums(int parts, int terms, int count)
      : each_((terms + parts - 1) / parts), sums_(static_cast<std::size_t>(count)), totals_(sums_.size()) {}
  double* row() { return sums_.data(); }
  void restart() {
    std::fill(sums_.begin(), sums_.end(), 0.0);
    std::fill(totals_.begin(), totals_.end(), 0.0f);
  }
  void end_of_term(int term) {  // of the outermost loop
    if ((term + 1) % each_ == 0) close();
  }
  const std::vector<float>& totals() {
    close();
    return totals_;
  }

 private:
  void close() {
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      totals_[i] = static_cast<float>(static_cast<double>(totals_[i]) + sums_[i]);
      sums_[i] = 0;
    }
  }
  int each_;
  std::vector<double> sums_;
  std::vector<float> totals_;
};

struct Span {
  int begin, end;
};
// The outputs j with 0 <= j * stride + offset < size.
Span meeting(int offset, int stride, int size, int outputs) {
  const int begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const int end = size - offset <= 0 ? 0 : (size - offset - 1) / stride + 1;
  return {begin, std::max(begin, std::min(end, outputs))};
}

void run_forward(const Shape& s, int parts, float alpha, const float* x, const float* w, float beta,
                 float* y) {
  Sums sums(parts, s.x.c, s.y.w);
  for (int n = 0; n < s.y.n; ++n) {
    for (int o = 0; o < s.y.c; ++o) {
      for (int i = 0; i < s.y.h; ++i) {
        sums.restart();
        for (int c = 0; c < s.x.c; ++c) {
          for (int a = 0; a < s.w.h; ++a) {
            const int h = i * s.conv.stride_h - s.conv.pad_h + a;
            if (h < 0 || h >= s.x.h) continue;
            const float* row = x + ((std::size_t(n) * s.x.c + c) * s.x.h + h) * s.x.w;
            const float* with = w + ((std::size_t(o) * s.w.c + c) * s.w.h + a) * s.w.w;
            for (int b = 0; b < s.w.w; ++b) {
              const int offset = b - s.conv.pad_w;
              const Span span = meeting(offset, s.conv.stride_w, s.x.w, s.y.w);
              double* to = sums.row();
              for (int j = span.begin; j < span.end; ++j) {
                to[j] += double(row[j * s.conv.stride_w + offset]) * double(with[b]);
              }
            }
          }
          sums.end_of_term(c);
        }
        for (const float total : sums.totals()) store(*y++, total, alpha, beta);
      }
    }
  }
}

// dx[n,c,h,w] = sum over o, a, b of w[o,c,a,b] dy[n,o,i,j] where i stride - pad + a = h.
void run_data(const Shape& s, int parts, float alpha, const float* w, const float* dy, float beta,
              float* dx) {
  Sums sums(parts, s.w.k, s.x.w);
  for (int n = 0; n < s.x.n; ++n) {
    for (int c = 0; c < s.x.c; ++c) {
      for (int h = 0; h < s.x.h; ++h) {
        sums.restart();
        for (int o = 0; o < s.w.k; ++o) {
          for (int a = 0; a < s.w.h; ++a) {
            const int up = h + s.conv.pad_h - a;
            if (up < 0 || up % s.conv.stride_h != 0 || up / s.conv.stride_h >= s.y.h) continue;
            const float* row = dy + ((std::size_t(n) * s.y.c + o) * s.y.h + up / s.conv.stride_h) * s.y.w;
            const float* with = w + ((std::size_t(o) * s.w.c + c) * s.w.h + a) * s.w.w;
            for (int b = 0; b < s.w.w; ++b) {
              const int offset = b - s.conv.pad_w;
              const Span span = meeting(offset, s.conv.stride_w, s.x.w, s.y.w);
              double* to = sums.row() + offset;
              for (int j = span.begin; j < span.end; ++j) {
                to[j * s.conv.stride_w] += double(row[j]) * double(with[b]);
              }
            }
          }
          sums.end_of_term(o);
        }
        for (const float total : sums.totals()) store(*dx++, total, alpha, beta);
      }
    }
  }
}

void run_weights(const Shape& s, int parts, float alpha, const float* x, const float* dy, float beta,
                 float* dw) {
  Sums sums(parts, s.y.n, s.y.w);  // of each column, then over the columns
  for (int o = 0; o < s.w.k; ++o) {
    for (int c = 0; c < s.w.c; ++c) {
      for (int a = 0; a < s.w.h; ++a) {
        for (int b = 0; b < s.w.w; ++b) {
          sums.restart();
          const int offset = b - s.conv.pad_w;
          const Span span = meeting(offset, s.conv.stride_w, s.x.w, s.y.w);
          for (int n = 0; n < s.y.n; ++n) {
            for (int i = 0; i < s.y.h; ++i) {
              const int h = i * s.conv.stride_h - s.conv.pad_h + a;
              if (h < 0 || h >= s.x.h) continue;
              const float* row = x + ((std::size_t(n) * s.x.c + c) * s.x.h + h) * s.x.w + offset;
              const float* gradient = dy + ((std::size_t(n) * s.y.c + o) * s.y.h + i) * s.y.w;
              double* to = sums.row();
              for (int j = span.begin; j < span.end; ++j) {
                to[j] += double(row[j * s.conv.stride_w]) * double(gradient[j]);
              }
            }
            sums.end_of_term(n);
          }
          double sum = 0;
          for (const float total : sums.totals()) sum += double(total);
          store(*dw++, static_cast<float>(sum), alpha, beta);
        }
      }
    }
  }
}

// One of the three passes; `first` and `second` are read, `out` is written.
cudnnStatus_t convolve(cudnnHandle_t handle, Pass pass, int algorithm, const Shape& s, const void* alpha,
                       const void* first, const void* second, const void* beta, void* out, void* workspace,
                       std::size_t bytes) {
  const char* const call = name(pass);
  if (const cudnnStatus_t status = check(handle, call, s)) return status;
  const auto bad = [&](const std::string& why) {
    return refuse(CUDNN_STATUS_BAD_PARAM, std::string(call) + ": " + why);
  };
  if (sticky_error(handle->device) != cudaSuccess) return CUDNN_STATUS_EXECUTION_FAILED;
  if (algorithm < 0 || algorithm >= traits(pass).count)
    return bad("there is no algorithm " + std::to_string(algorithm));
  if (has_bit(traits(pass).undetermined, algorithm)) {
    return bad("algorithm " + std::to_string(algorithm) + " gives other bits in every run, which was noted");
  }
  if (s.conv.math == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION) return bad("the math type lets it round to f16");
  if (unsuited(pass, algorithm, s)) {
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, std::string(call) + ": algorithm " + std::to_string(algorithm) +
                                                  " does not take this shape, which its workspace size told");
  }
  const std::size_t counts[] = {pass == Pass::data ? s.w_count() : s.x_count(),
                                pass == Pass::forward ? s.w_count() : s.y_count(),
                                pass == Pass::forward ? s.y_count()
                                : pass == Pass::data  ? s.x_count()
                                                      : s.w_count()};
  Operation operation{call, here(), {}, {}};
  operation.uses = {{first, counts[0] * 4, "the first operand"},
                    {second, counts[1] * 4, "the second operand"},
                    {out, counts[2] * 4, "the output"}};
  const std::size_t needed = workspace_bytes(pass, algorithm, s);
  if (bytes < needed) {
    return bad("a workspace of " + std::to_string(bytes) + " bytes, where algorithm " +
               std::to_string(algorithm) + " needs " + std::to_string(needed));
  }
  operation.uses.push_back({workspace, needed, "the workspace"});
  for (const Range& range : operation.uses) {
    if (const std::string fault = fault_of(range, handle->device); !fault.empty()) return bad(fault);
    if (reinterpret_cast<std::uintptr_t>(range.begin) % 16 != 0)
      return bad(std::string(range.name) + " is not aligned to 16 bytes");
  }
  const Range& output = operation.uses[2];
  for (const std::size_t other : {0u, 1u, 3u}) {
    const char* const a = static_cast<const char*>(output.begin);
    const char* const b = static_cast<const char*>(operation.uses[other].begin);
    if (a < b + operation.uses[other].bytes && b < a + output.bytes)
      return bad("the output overlaps what is read");
  }
  if (is_device_memory(alpha) || is_device_memory(beta)) return bad("alpha and beta are host pointers");
  if (refused_late(pass, algorithm, s)) {
    last_message = "the stand-in refuses this algorithm late";
    return CUDNN_STATUS_EXECUTION_FAILED;
  }
  if (fails(Fault::launch)) return CUDNN_STATUS_EXECUTION_FAILED;
  const std::string what =
      std::string("cuDNN ") + call + " " + std::to_string(algorithm) + " " + std::to_string(s.number());
  if (first_use(handle->device, what) && capturing(handle->stream)) {
    breaks_capture("the first run of a cuDNN algorithm, which loads it,");
    return CUDNN_STATUS_EXECUTION_FAILED;
  }
  const float scale = *static_cast<const float*>(alpha);
  const float keep = *static_cast<const float*>(beta);
  operation.run = [=, x = static_cast<const float*>(first), y = static_cast<const float*>(second),
                   z = static_cast<float*>(out)] {
    std::memset(workspace, 0xF7, needed);  // it is scratch: whatever lay there is gone
    const int parts = algorithm % 3 + 1;
    if (pass == Pass::forward) run_forward(s, parts, scale, x, y, keep, z);
    if (pass == Pass::data) run_data(s, parts, scale, x, y, keep, z);
    if (pass == Pass::weights) run_weights(s, parts, scale, x, y, keep, z);
  };
  return enqueue(handle->stream, std::move(operation)) == cudaSuccess ? CUDNN_STATUS_SUCCESS
                                                                      : CUDNN_STATUS_EXECUTION_FAILED;
}

// Candidates in an order of the seed, some noted as not deterministic, some of other math types, some with
// a status.
template <class Result>
cudnnStatus_t candidates(cudnnHandle_t handle, Pass pass, const Shape& s, int asked, int* returned,
                         Result* results) {
  if (const cudnnStatus_t status = check(handle, "heuristics", s)) return status;
  if (breaks_capture("planning a convolution")) return CUDNN_STATUS_EXECUTION_FAILED;
  if (fails(Fault::plan)) return CUDNN_STATUS_INTERNAL_ERROR;
  std::vector<Result> all;
  for (int algorithm = 0; algorithm < traits(pass).count; ++algorithm) {
    for (const cudnnMathType_t math :
         {CUDNN_FMA_MATH, CUDNN_DEFAULT_MATH, CUDNN_TENSOR_OP_MATH, CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION}) {
      if (s.conv.math == CUDNN_FMA_MATH && math == CUDNN_DEFAULT_MATH) continue;
      if (luck(pass, algorithm * 8 + math, s) % 3 != 0 &&
          !(algorithm == traits(pass).always && math == CUDNN_FMA_MATH))
        continue;
      Result result{};
      result.algo = static_cast<decltype(result.algo)>(algorithm);
      result.mathType = math;
      result.time = -1;
      Shape own = s;
      own.conv.math = math;
      result.memory = workspace_bytes(pass, algorithm, own);
      result.determinism =
          has_bit(traits(pass).undetermined, algorithm) ? CUDNN_NON_DETERMINISTIC : CUDNN_DETERMINISTIC;
      result.status =
          has_bit(traits(pass).unknown, algorithm) ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
      all.push_back(result);
    }
  }
  std::stable_sort(all.begin(), all.end(), [&](const Result& a, const Result& b) {
    return luck(pass, 100 + a.algo * 4 + a.mathType, s) < luck(pass, 100 + b.algo * 4 + b.mathType, s);
  });
  // Never more than were asked for, and one that works among them.
  const auto good = std::find_if(all.begin(), all.end(), [&](const Result& r) {
    return r.algo == traits(pass).always && r.mathType == CUDNN_FMA_MATH;
  });
  const auto last = std::min<std::ptrdiff_t>(asked, static_cast<std::ptrdiff_t>(all.size())) - 1;
  if (good - all.begin() > last) std::iter_swap(good, all.begin() + last);
  *returned = static_cast<int>(last + 1);
  std::copy_n(all.begin(), *returned, results);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t workspace_size(cudnnHandle_t handle, Pass pass, const Shape& s, int algorithm,
                             std::size_t* bytes) {
  if (const cudnnStatus_t status = check(handle, "workspace size", s)) return status;
  if (algorithm < 0 || algorithm >= traits(pass).count || unsuited(pass, algorithm, s))
    return CUDNN_STATUS_NOT_SUPPORTED;
  *bytes = workspace_bytes(pass, algorithm, s);
  return CUDNN_STATUS_SUCCESS;
}

template <class Descriptor>
cudnnStatus_t make(Descriptor** descriptor, const char* kind) {
  const auto lock = locked();
  *descriptor = new Descriptor;
  born(*descriptor, kind);
  return CUDNN_STATUS_SUCCESS;
}
template <class Descriptor>
cudnnStatus_t destroy(Descriptor* descriptor, const char* kind) {
  const auto lock = locked();
  if (!died(descriptor, kind)) return CUDNN_STATUS_BAD_PARAM;
  delete descriptor;
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

std::size_t cudnnGetVersion() { return CUDNN_VERSION; }

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_EXECUTION_FAILED:
      return "CUDNN_STATUS_EXECUTION_FAILED";
    case CUDNN_STATUS_INTERNAL_ERROR:
      return "CUDNN_STATUS_INTERNAL_ERROR";
    case CUDNN_STATUS_ALLOC_FAILED:
      return "CUDNN_STATUS_ALLOC_FAILED";
    default:
      return "a status of the stand-in";
  }
}

void cudnnGetLastErrorString(char* message, std::size_t bytes) {
  std::snprintf(message, bytes, "%s", last_message.c_str());
  last_message.clear();
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  const auto lock = locked();
  if (breaks_capture("cudnnCreate")) return CUDNN_STATUS_INTERNAL_ERROR;
  if (make_context(current_device()) != cudaSuccess) return CUDNN_STATUS_NOT_INITIALIZED;
  *handle = new cudnnContext{current_device(), nullptr};
  born(*handle, kHandle);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  const auto lock = locked();
  if (!died(handle, kHandle)) return CUDNN_STATUS_BAD_PARAM;
  if (handle->stream != nullptr && !alive(handle->stream, "stream")) {
    report("a cuDNN handle is destroyed after the stream that it works on");
  }
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  const auto lock = locked();
  if (!alive(handle, kHandle)) return refuse(CUDNN_STATUS_BAD_PARAM, "cudnnSetStream: a handle that is none");
  if (!valid(stream, "cudnnSetStream")) return CUDNN_STATUS_BAD_PARAM;
  if (device_of(stream) != handle->device)
    return refuse(CUDNN_STATUS_BAD_PARAM, "cudnnSetStream: another device's stream");
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* d) { return make(d, kTensor); }
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d) { return destroy(d, kTensor); }
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* d) { return make(d, kFilter); }
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d) { return destroy(d, kFilter); }
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* d) {
  return make(d, kConvolution);
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t d) {
  return destroy(d, kConvolution);
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w) {
  const auto lock = locked();
  if (!alive(d, kTensor)) return refuse(CUDNN_STATUS_BAD_PARAM, "a tensor descriptor that is none");
  if (format != CUDNN_TENSOR_NCHW || type != CUDNN_DATA_FLOAT || n < 1 || c < 1 || h < 1 || w < 1) {
    return refuse(CUDNN_STATUS_BAD_PARAM, "a tensor that is not f32 [N, C, H, W] with sizes of at least 1");
  }
  *d = {true, n, c, h, w};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w) {
  const auto lock = locked();
  if (!alive(d, kFilter)) return refuse(CUDNN_STATUS_BAD_PARAM, "a filter descriptor that is none");
  if (format != CUDNN_TENSOR_NCHW || type != CUDNN_DATA_FLOAT || k < 1 || c < 1 || h < 1 || w < 1) {
    return refuse(CUDNN_STATUS_BAD_PARAM, "a filter that is not f32 [O, I, H, W] with sizes of at least 1");
  }
  *d = {true, k, c, h, w};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int pad_h, int pad_w,
                                              int stride_h, int stride_w, int dilation_h, int dilation_w,
                                              cudnnConvolutionMode_t mode, cudnnDataType_t type) {
  const auto lock = locked();
  if (!alive(d, kConvolution)) return refuse(CUDNN_STATUS_BAD_PARAM, "a convolution descriptor that is none");
  if (pad_h < 0 || pad_w < 0 || stride_h < 1 || stride_w < 1 || dilation_h != 1 || dilation_w != 1) {
    return refuse(CUDNN_STATUS_BAD_PARAM,
                  "a convolution with a padding, stride or dilation that nobody needs here");
  }
  if (mode != CUDNN_CROSS_CORRELATION)
    return refuse(CUDNN_STATUS_BAD_PARAM, "a convolution that turns the filter round");
  if (type != CUDNN_DATA_FLOAT)
    return refuse(CUDNN_STATUS_BAD_PARAM, "a convolution that is not summed in f32");
  *d = {true, pad_h, pad_w, stride_h, stride_w, CUDNN_DEFAULT_MATH};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t math) {
  const auto lock = locked();
  if (!alive(d, kConvolution) || !d->set)
    return refuse(CUDNN_STATUS_BAD_PARAM, "a math type for no convolution");
  d->math = math;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithmMaxCount(cudnnHandle_t, int* count) {
  *count = 10;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithmMaxCount(cudnnHandle_t, int* count) {
  *count = 8;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithmMaxCount(cudnnHandle_t, int* count) {
  *count = 9;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t handle, const cudnnTensorDescriptor_t x,
                                                     const cudnnFilterDescriptor_t w,
                                                     const cudnnConvolutionDescriptor_t conv,
                                                     const cudnnTensorDescriptor_t y, const int asked,
                                                     int* returned, cudnnConvolutionFwdAlgoPerf_t* results) {
  const auto lock = locked();
  return candidates(handle, Pass::forward, shape_of(x, w, conv, y), asked, returned, results);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t dx, const int asked, int* returned,
    cudnnConvolutionBwdDataAlgoPerf_t* results) {
  const auto lock = locked();
  return candidates(handle, Pass::data, shape_of(dx, w, conv, dy), asked, returned, results);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnFilterDescriptor_t dw, const int asked, int* returned,
    cudnnConvolutionBwdFilterAlgoPerf_t* results) {
  const auto lock = locked();
  return candidates(handle, Pass::weights, shape_of(x, dw, conv, dy), asked, returned, results);
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t handle, const cudnnTensorDescriptor_t x,
                                                      const cudnnFilterDescriptor_t w,
                                                      const cudnnConvolutionDescriptor_t conv,
                                                      const cudnnTensorDescriptor_t y,
                                                      cudnnConvolutionFwdAlgo_t algorithm,
                                                      std::size_t* bytes) {
  const auto lock = locked();
  return workspace_size(handle, Pass::forward, shape_of(x, w, conv, y), algorithm, bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t dx,
    cudnnConvolutionBwdDataAlgo_t algorithm, std::size_t* bytes) {
  const auto lock = locked();
  return workspace_size(handle, Pass::data, shape_of(dx, w, conv, dy), algorithm, bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnFilterDescriptor_t dw,
    cudnnConvolutionBwdFilterAlgo_t algorithm, std::size_t* bytes) {
  const auto lock = locked();
  return workspace_size(handle, Pass::weights, shape_of(x, dw, conv, dy), algorithm, bytes);
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha,
                                      const cudnnTensorDescriptor_t x_form, const void* x,
                                      const cudnnFilterDescriptor_t w_form, const void* w,
                                      const cudnnConvolutionDescriptor_t conv,
                                      cudnnConvolutionFwdAlgo_t algorithm, void* workspace, std::size_t bytes,
                                      const void* beta, const cudnnTensorDescriptor_t y_form, void* y) {
  const auto lock = locked();
  return convolve(handle, Pass::forward, algorithm, shape_of(x_form, w_form, conv, y_form), alpha, x, w, beta,
                  y, workspace, bytes);
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha,
                                           const cudnnFilterDescriptor_t w_form, const void* w,
                                           const cudnnTensorDescriptor_t dy_form, const void* dy,
                                           const cudnnConvolutionDescriptor_t conv,
                                           cudnnConvolutionBwdDataAlgo_t algorithm, void* workspace,
                                           std::size_t bytes, const void* beta,
                                           const cudnnTensorDescriptor_t dx_form, void* dx) {
  const auto lock = locked();
  return convolve(handle, Pass::data, algorithm, shape_of(dx_form, w_form, conv, dy_form), alpha, w, dy, beta,
                  dx, workspace, bytes);
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha,
                                             const cudnnTensorDescriptor_t x_form, const void* x,
                                             const cudnnTensorDescriptor_t dy_form, const void* dy,
                                             const cudnnConvolutionDescriptor_t conv,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm, void* workspace,
                                             std::size_t bytes, const void* beta,
                                             const cudnnFilterDescriptor_t dw_form, void* dw) {
  const auto lock = locked();
  return convolve(handle, Pass::weights, algorithm, shape_of(x_form, dw_form, conv, dy_form), alpha, x, dy,
                  beta, dw, workspace, bytes);
}

}  // extern "C"
