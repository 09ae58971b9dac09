// The devices that operations are tested on, each with the type of its numbers: the CPU in f32 and f64, the
// SIMT executor under several orders of threads where it is built, and in builds with CUDA the GPU (or the
// stand-in for one). A test says once what an operation has to give, for all of them:
//
//   Devices devices;
//   for (const std::int64_t n : {1, 1000}) {
//     devices.each(n, [&](auto& device) {
//       using T = typename std::decay_t<decltype(device)>::Number;
//       const auto x = device.array(random_values<T>(n, 1));
//       const auto y = device.template unwritten<T>(n);
//       operation(device.context, n, x.data(), y.data());
//       check_close(y.values(), ...);
//     });
//   }
//
// What is passed to all devices is the same, so the references are the same too; tolerances are those of the
// type, and of the arithmetic of a device's sums.
//
// Layers that are planned take what libraries have, which the executor has not: devices.each_library(body), and
// devices.each_plan(make, body) for every plan of a layer that there is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "base/build_config.h"
#include "device/cuda_context.h"
#include "device/devices.h"
#include "kernels/plan.h"
#include "tests/support/catch.h"
#ifdef QMSE_TEST_SIMT
#include "tests/simt/executor.h"
#endif

namespace qmse::test {

// Values in a device's memory, `offset` elements after an aligned address. The CPU's and the SIMT executor's
// is the host's, in blocks of the exact size, so that AddressSanitizer sees their ends. Null where there are
// no values.
template <class C, class E>
class Array {
  static constexpr bool kCuda = std::is_same_v<C, CudaContext>;

 public:
  Array(C& context, const std::vector<E>& values, std::size_t offset = 0)
      : context_(&context), count_(values.size()), offset_(offset) {
    if (count_ == 0) return;
    if constexpr (kCuda) {
      buffer_ = Buffer(context.memory(), (count_ + offset) * sizeof(E), "test values");
      host_to_device(context, data(), values.data(), count_ * sizeof(E));
    } else {
      host_.reset(new E[count_ + offset]);
      std::copy(values.begin(), values.end(), data());
    }
  }

  E* data() const {
    if (count_ == 0) return nullptr;
    return (kCuda ? buffer_.template as<E>() : host_.get()) + offset_;
  }
  std::vector<E> values() const {
    std::vector<E> values(count_);
    if (count_ == 0) return values;
    if constexpr (kCuda) {
      device_to_host(*context_, values.data(), data(), count_ * sizeof(E));
    } else {
      std::copy(data(), data() + count_, values.begin());
    }
    return values;
  }

 private:
  C* context_;
  std::size_t count_, offset_;
  Buffer buffer_;
  std::unique_ptr<E[]> host_;
};

template <class C, class T>
struct Device {
  using Number = T;
  static constexpr bool kIsCpu = std::is_same_v<C, CpuContext>, kIsCuda = std::is_same_v<C, CudaContext>;
  static constexpr bool kIsExecutor = !kIsCpu && !kIsCuda;  // SIMT's, on the host
  static constexpr double kEpsilon = std::is_same_v<T, float> ? 0x1p-23 : 0x1p-52;

  C& context;

  bool has_tf32() const {
    if constexpr (kIsCuda) return context.options().math == MathMode::tf32;
    return false;
  }
  // Of a sum of products, relative to the sum of their magnitudes: some hundred terms in unknown order, and
  // algorithms that transform tiles (Winograd, FFT) add a few roundings; TF32's factors are rounded to 11 bits.
  double sum_tolerance() const { return has_tf32() ? 0x1p-9 : 32 * kEpsilon; }

  template <class E>
  Array<C, E> array(const std::vector<E>& values, std::size_t offset = 0) const {
    return {context, values, offset};
  }
  template <class E>
  Array<C, E> number(E value) const {
    return {context, {value}};
  }
  template <class E>
  Array<C, E> unwritten(std::int64_t count, E value = static_cast<E>(-77)) const {
    return {context, std::vector<E>(static_cast<std::size_t>(count), value)};
  }
};

class Devices {
 public:
  Devices() : cpu_(2) {
    if constexpr (QMSE_CUDA) {
      if (cuda_devices().empty()) {
        std::cout << "without a GPU: " << why_no_cuda_device() << "\n";
      } else {
        cuda_ = std::make_unique<CudaContext>(CudaOptions{});
      }
    }
  }

  // body(device) on each. The more `work` (elements, or what takes as long), the fewer orders of threads.
  template <class Body>
  void each(std::int64_t work, const Body& body) {
    on<double>("the CPU, f64", cpu_, body);
    each_f32(work, body);
  }
  template <class Body>
  void each_f32(std::int64_t work, const Body& body) {
    on<float>("the CPU, f32", cpu_, body);
    each_gpu(work, body);
  }
  // For operations that only a GPU has.
  template <class Body>
  void each_gpu([[maybe_unused]] std::int64_t work, const Body& body) {
#ifdef QMSE_TEST_SIMT
    for (const std::uint64_t seed : orders(work)) {
      simt::Context gpu(seed);
      on<float>("the SIMT executor, seed " + std::to_string(seed), gpu, body);
    }
#endif
    if constexpr (QMSE_CUDA) {
      if (cuda_) on<float>(cuda_->device_name(), *cuda_, body);
    }
  }

  // With the libraries' kernels: on a GPU in a context for each choice that a user has, which is the kernels
  // chosen, the libraries' alone, and those in TF32.
  template <class Body>
  void each_library(const Body& body) {
    on<double>("the CPU, f64", cpu_, body);
    on<float>("the CPU, f32", cpu_, body);
    each_gpu_library(body);
  }
  template <class Body>
  void each_gpu_library([[maybe_unused]] const Body& body) {
    if constexpr (QMSE_CUDA) {
      if (!cuda_) return;
      on<float>(cuda_->device_name(), *cuda_, body);
      on<float>(cuda_->device_name() + ", the libraries' kernels", library(MathMode::fp32), body);
      on<float>(cuda_->device_name() + ", the libraries' kernels in TF32", library(MathMode::tf32), body);
    }
  }

  // body(device, plan) with every plan of a layer: make(context, precision) in each_library's contexts, and
  // make.plain(context), the plain loops in f32 (in f64 they are what make(...) gives).
  template <class Make, class Body>
  void each_plan(const Make& make, const Body& body) {
    each_cpu_plan(make, body);
    each_gpu_library(
        [&](auto& device) { with_plan(device, make(device.context, Precision<float>()), body); });
  }
  template <class Make, class Body>
  void each_cpu_plan(const Make& make, const Body& body) {
    on<double>("the CPU, f64", cpu_,
               [&](auto& device) { with_plan(device, make(cpu_, Precision<double>()), body); });
    on<float>("the CPU, f32", cpu_, [&](auto& device) {
      with_plan(device, make(cpu_, Precision<float>()), body);
      with_plan(device, make.plain(cpu_), body);
    });
  }

  CpuContext& cpu() { return cpu_; }

 private:
  template <class D, class Plan, class Body>
  static void with_plan(D& device, const Plan& plan, const Body& body) {
    INFO("planned as " << plan->algorithm());
    body(device, *plan);
  }
  CudaContext& library(MathMode math) {
    std::unique_ptr<CudaContext>& context = libraries_[math == MathMode::tf32];
    if (!context) {
      CudaOptions options;
      options.math = math;
      options.kernels = KernelChoice::library;
      context = std::make_unique<CudaContext>(options);
    }
    return *context;
  }
  template <class T, class C, class Body>
  void on(const std::string& name, C& context, const Body& body) {
    INFO("on " << name);
    Device<C, T> device{context};
    body(device);
  }
#ifdef QMSE_TEST_SIMT
  static std::vector<std::uint64_t> orders(std::int64_t work) {
    if (work > 4000) return {2};
    if (work > 1000) return {1, 2};
    return simt::seeds();
  }
#endif

  CpuContext cpu_;
  std::unique_ptr<CudaContext> cuda_, libraries_[2];  // libraries_: fp32, TF32
};

// Enough work for one order of threads.
inline constexpr std::int64_t kOneOrder = 5000;

}  // namespace qmse::test
