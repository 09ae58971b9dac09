// The CUDA side of the C interface in a build without CUDA.
#include "base/error.h"
#include "capi/qmse_loss.h"
#include "capi/request.h"

using namespace qmse;
using namespace qmse::capi;

int32_t qmse_built_with_cuda(void) { return 0; }

int32_t qmse_loss_cuda(const qmse_loss_args*, int32_t, void*) {
  return guarded([] { throw CudaError("this libqmse_loss was built without CUDA"); });
}

int32_t qmse_loss_workspace_bytes(const qmse_loss_args* given, uint64_t* bytes) {
  return guarded([&] {
    checked(given);
    if (bytes == nullptr) throw ShapeError("qmse_loss_workspace_bytes: bytes is null");
    *bytes = 0;
  });
}
