// Handles and descriptors of CUDA and its libraries.
#pragma once

#include "device/cuda_library_check.h"

namespace qmse {

// Owns what create(&handle, arguments...) makes; destroy(handle) takes it back. Throws CudaError where it
// is refused.
template <class H, auto create, auto destroy>
class Handle {
 public:
  template <class... Arguments>
  explicit Handle(Arguments... arguments) {
    const auto status = create(&handle_, arguments...);
    if (status != decltype(status){}) throw_cuda_error(status, __PRETTY_FUNCTION__, __FILE__, __LINE__);
  }
  ~Handle() { destroy(handle_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  H get() const { return handle_; }

 private:
  H handle_ = nullptr;
};

}  // namespace qmse
