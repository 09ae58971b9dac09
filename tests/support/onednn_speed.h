// What the tests have to know of oneDNN on this processor.
#pragma once

#include "base/build_config.h"
#if QMSE_ONEDNN
#include "kernels/conv2d/onednn.h"
#endif

namespace qmse::test {

// Whether oneDNN has fast convolutions for every number of input channels here, one and two included;
// ONEDNN_MAX_CPU_ISA can forbid them.
inline bool onednn_is_fast() {
#if QMSE_ONEDNN
  return dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx;
#else
  return false;
#endif
}

// Channels in a block of the blocked layouts.
inline int blocked_channels() {
#if QMSE_ONEDNN
  return onednn::channel_block();
#else
  return 8;
#endif
}

}  // namespace qmse::test
