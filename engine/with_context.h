// From a Context to the operations' overloads on CpuContext and CudaContext. Apart from engine/context.h
// because it depends on whether the build has CUDA: whatever does not include
// it is compiled the same in both.
#pragma once

#include <stdexcept>
#include <type_traits>

#include "base/build_config.h"
#include "engine/context.h"

namespace qmse {

// Calls function(CpuContext&) or function(CudaContext&). T is the tensors' type: CUDA has f32 only, and with
// T = double only the CPU overloads of an operation have to exist.
template <class T, class Function>
decltype(auto) with_context(Context& context, Function&& function) {
  if constexpr (QMSE_CUDA &&
                std::is_same_v<T, float>) {  // in a build without, nothing is overloaded for CUDA
    if (context.is_cuda()) return function(*context.cuda());
  }
  if (context.is_cuda()) throw std::logic_error("f64 runs on the CPU only");
  return function(*context.cpu());
}

}  // namespace qmse
