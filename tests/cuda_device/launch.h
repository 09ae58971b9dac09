// Where the stand-in learns of kernels: QMSE_KERNEL of device sources registers what nvcc's code would.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "device/launch.h"
#include "tests/simt/executor.h"

namespace qmse::cuda_device {

struct KnownKernel {
  std::string name;
  std::vector<std::size_t> parameter_bytes;
  std::vector<void (*)(void*)> clear_padding;  // of each: between members lies whatever lay there before
  // Runs the grid with the arguments at these addresses.
  std::function<void(simt::Context&, const LaunchShape&, void* const*)> run;
};

void register_kernel(const void* function, KnownKernel kernel);

template <class... Parameters, std::size_t... i>
void run_kernel(const Kernel<Parameters...>& kernel, simt::Context& gpu, const LaunchShape& shape,
                [[maybe_unused]] void* const* arguments, std::index_sequence<i...>) {
  gpu.launch(kernel, shape, *static_cast<Parameters*>(arguments[i])...);
}

template <class Parameter>
void clear_padding(void* argument) {
  __builtin_clear_padding(static_cast<Parameter*>(argument));
}

template <class... Parameters>
Kernel<Parameters...> known(const Kernel<Parameters...>& kernel) {
  register_kernel(reinterpret_cast<const void*>(kernel.function),
                  {kernel.name,
                   {sizeof(Parameters)...},
                   {&clear_padding<Parameters>...},
                   [kernel](simt::Context& gpu, const LaunchShape& shape, void* const* arguments) {
                     run_kernel(kernel, gpu, shape, arguments, std::index_sequence_for<Parameters...>());
                   }});
  return kernel;
}

}  // namespace qmse::cuda_device
