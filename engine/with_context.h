// From what is known at run time, a Context and a DType, to the operations' overloads. Apart from
// engine/context.h because it depends on whether the build has CUDA: whatever does not include it is compiled
// the same in both.
#pragma once

#include <stdexcept>
#include <type_traits>

#include "base/build_config.h"
#include "engine/context.h"
#include "engine/dtype.h"

namespace qmse {

// Calls function(CpuContext&) or function(CudaContext&). T is the tensors' type: CUDA has f32 only, and with
// T = double only the CPU overloads of an operation have to exist.
template <class T, class Function>
decltype(auto) with_context(Context& context, Function&& function) {
  if constexpr (QMSE_CUDA && std::is_same_v<T, float>) {  // without, nothing is overloaded for CUDA
    if (context.is_cuda()) return function(*context.cuda());
  }
  if (context.is_cuda()) throw std::logic_error("f64 runs on the CPU only");
  return function(*context.cpu());
}

// Calls function.operator()<T>(), T being the type that `dtype`, f32 or f64, names.
template <class Function>
decltype(auto) with_dtype(DType dtype, Function&& function) {
  if (dtype == DType::f64) return function.template operator()<double>();
  return function.template operator()<float>();
}

// Both at once: calls function.operator()<T>(backend).
template <class Function>
decltype(auto) with_context(Context& context, DType dtype, Function&& function) {
  return with_dtype(dtype, [&]<class T>() -> decltype(auto) {
    return with_context<T>(
        context, [&](auto& backend) -> decltype(auto) { return function.template operator()<T>(backend); });
  });
}

}  // namespace qmse
