// The cases of bench_kernels: an operation at one shape, with the bytes it has to move.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "device/cuda_context.h"
#include "device/memory.h"

namespace qmse::bench {

// Device memory of one case; released together.
class Arrays {
 public:
  explicit Arrays(CudaContext& context) : context_(&context) {}

  template <class T>
  T* zeros(std::int64_t count) {
    return static_cast<T*>(take(count * static_cast<std::int64_t>(sizeof(T))));
  }
  float* floats(std::int64_t count);  // uniform in [-1, 1)
  std::uint8_t* bytes(std::int64_t count, unsigned below = 256);
  std::int32_t* labels(std::int64_t count, std::int64_t classes);
  std::uint32_t* indices(std::int64_t count);  // 0, 1, 2, ...
  double* number(double value);

 private:
  void* take(std::int64_t bytes);  // zeroed
  // Uploads a part of random numbers and copies it until `bytes` are full.
  void* repeat(const void* part, std::int64_t part_bytes, std::int64_t bytes);

  CudaContext* context_;
  std::vector<Buffer> buffers_;
};

// Queues the operation once.
using Work = std::function<void()>;

struct KernelCase {
  std::string operation;  // "qmse sphere labels"
  std::string shape;      // "4096 x 10"
  std::string formula;    // of `bytes`: what the operation must read and write at least, each byte once
  std::int64_t bytes = 0;
  std::function<Work(CudaContext&, Arrays&)> make;
};

// What the paper's network does in a step, at MNIST's and CIFAR-10's shapes.
std::vector<KernelCase> network_cases();
// The same network's convolutions with bias, ReLU and max-pool, and the forward passes of some others: our
// kernels beside cuDNN's and those around it. (The library's gradient of data is the convolution's alone: the
// pooling's is in that of weights.)
std::vector<KernelCase> conv_cases();
// Operations that its fused step does not call.
std::vector<KernelCase> other_cases();
// The losses, from the network's outputs to rows of a million.
std::vector<KernelCase> loss_cases();

}  // namespace qmse::bench
