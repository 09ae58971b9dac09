#include "device/range.h"

// Header-only, and not in every installation of CUDA.
#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>

namespace qmse {
namespace {

nvtxDomainHandle_t domain() {
  static const nvtxDomainHandle_t qmse = nvtxDomainCreateA("qmse");
  return qmse;
}

}  // namespace

Range::Range(const char* name) {
  nvtxEventAttributes_t span{};
  span.version = NVTX_VERSION;
  span.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  span.messageType = NVTX_MESSAGE_TYPE_ASCII;
  span.message.ascii = name;
  nvtxDomainRangePushEx(domain(), &span);
}

Range::~Range() { nvtxDomainRangePop(domain()); }

}  // namespace qmse

#else

namespace qmse {

Range::Range(const char*) {}
Range::~Range() = default;

}  // namespace qmse

#endif
