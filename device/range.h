// Named spans of time, for Nsight Systems and other tools that read NVTX.
#pragma once

#include "base/build_config.h"

namespace qmse {

// One span of the calling thread, from here to the end of the scope; spans nest. `name` must last as long.
// Nothing at all in builds without CUDA. A step that is replayed as a CUDA graph has none: profile
// with --no-graph.
class Range {
 public:
#if QMSE_CUDA
  explicit Range(const char* name);
  ~Range();
#else
  explicit Range(const char*) {}
#endif
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
};

}  // namespace qmse
