// The processor time of the calling thread, so that other programs on the machine count little.
#pragma once

#include <time.h>

namespace qmse::bench {

inline double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace qmse::bench
