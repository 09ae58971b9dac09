// Convolution, bias, ReLU and max-pool as one operation: y = max_pool(relu(conv(x, w) + b)).
//
// On the CPU the batch is worked through in chunks small enough for the cache, so the convolution's output
// never reaches memory: same values, bit for bit, as conv2d, bias_activation and max_pool2d one after the
// other. On CUDA it is kernels of our own whose tiles are the pooling's windows (kernels/pooled_conv), where
// they take the shape; else cuDNN's convolution is followed by the bias_relu_max_pool kernel, with the values
// of cuDNN's and the other two run apart, and the bias gradient alone summed in another order.
#pragma once

#include <cstdint>
#include <memory>

#include "device/context.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/layout.h"
#include "kernels/max_pool2d/max_pool2d.h"
#include "kernels/plan.h"

namespace qmse {

struct ConvBlockShape {
  Conv2dShape conv;
  std::int64_t window = 2;               // of the max-pool
  Layout input_layout = Layout::plain;   // of x and dx
  Layout output_layout = Layout::plain;  // of y and dy
  MaxPool2dShape pool() const {
    return {conv.batch, conv.out_channels, conv.out_height(), conv.out_width(), window};
  }
};

template <class T>
class ConvBlock {
 public:
  virtual ~ConvBlock() = default;
  // x [N, I, H, W] -> y [N, O, PH, PW], in the shape's layouts. Keeps what backward needs.
  virtual void forward(const T* x, const T* w, const T* bias, T* y) = 0;
  // From dy, with the x of the last forward: dx (null where the input needs no gradient), dw, db;
  // all overwritten.
  virtual void backward(const T* x, const T* w, const T* dy, T* dx, T* dw, T* db) = 0;
  virtual const char* algorithm() const = 0;
  virtual bool slow() const { return false; }  // as Conv2d's
};

std::unique_ptr<ConvBlock<float>> make_conv_block(CpuContext&, Precision<float>, const ConvBlockShape& shape,
                                                  BackwardNeeds needs = {});
std::unique_ptr<ConvBlock<double>> make_conv_block(CpuContext&, Precision<double>,
                                                   const ConvBlockShape& shape, BackwardNeeds needs = {});
std::unique_ptr<ConvBlock<float>> make_conv_block(CudaContext&, Precision<float>, const ConvBlockShape& shape,
                                                  BackwardNeeds needs = {});

// The layout this backend would like between two blocks whose border has `channels` channels: `blocked` only
// where both sides gain from it.
Layout preferred_layout(CpuContext&, Precision<float>, std::int64_t channels);
Layout preferred_layout(CpuContext&, Precision<double>, std::int64_t channels);
Layout preferred_layout(CudaContext&, Precision<float>, std::int64_t channels);

}  // namespace qmse
