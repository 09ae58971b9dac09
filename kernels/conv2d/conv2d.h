// 2-D cross-correlation, as every framework's "convolution": y[n,o] = b[o] + sum_i w[o,i] * x[n,i].
//
// Tensors are contiguous: x [N, I, H, W], w [O, I, kh, kw] (PyTorch's layout), b [O], y [N, O, OH, OW].
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "device/context.h"
#include "kernels/plan.h"

namespace qmse {

struct Conv2dShape {
  std::int64_t batch = 0;
  std::int64_t in_channels = 0, in_height = 0, in_width = 0;
  std::int64_t out_channels = 0;
  std::int64_t kernel_height = 0, kernel_width = 0;
  std::int64_t padding = 0;  // zeros on every side
  std::int64_t stride = 1;

  std::int64_t out_height() const { return (in_height + 2 * padding - kernel_height) / stride + 1; }
  std::int64_t out_width() const { return (in_width + 2 * padding - kernel_width) / stride + 1; }
  bool operator==(const Conv2dShape&) const = default;
};

// Throws ShapeError unless every size is at least 1, padding at least 0 and smaller than the kernel, and the
// padded image at least as large as the kernel.
void check(const Conv2dShape& shape);

// A convolution planned for one shape: the algorithm is chosen and all memory taken when it is made, so the
// calls below allocate nothing. Every output is overwritten. Pointers are to the context's device.
template <class T>
class Conv2d {
 public:
  virtual ~Conv2d() = default;
  virtual void forward(const T* x, const T* w, const T* bias /* may be null */, T* y) = 0;
  virtual void backward_data(const T* w, const T* dy, T* dx) = 0;
  virtual void backward_weights(const T* x, const T* dy, T* dw, T* db /* may be null */) = 0;
  // What was chosen, for the record: "plain", "oneDNN: forward jit:avx2, sparse gradients", "cuDNN
  // forward IMPLICIT_PRECOMP_GEMM ...".
  virtual const char* algorithm() const = 0;
  // Whether this runs on plain loops for want of a fast kernel; algorithm() says why.
  virtual bool slow() const { return false; }
};

std::unique_ptr<Conv2d<float>> make_conv2d(CpuContext&, Precision<float>, const Conv2dShape& shape,
                                           BackwardNeeds needs = {});
std::unique_ptr<Conv2d<double>> make_conv2d(CpuContext&, Precision<double>, const Conv2dShape& shape,
                                            BackwardNeeds needs = {});
std::unique_ptr<Conv2d<float>> make_conv2d(CudaContext&, Precision<float>, const Conv2dShape& shape,
                                           BackwardNeeds needs = {});

// The plain loops, in the precision of T: the f64 path, and the f32 path of a build without oneDNN, or where
// oneDNN has no fast kernel, which is then the `reason` that algorithm() names.
template <class T>
std::unique_ptr<Conv2d<T>> make_plain_conv2d(CpuContext& context, const Conv2dShape& shape,
                                             const std::string& reason = "");

}  // namespace qmse
