// How CPU kernels share flat work among threads: ranges cut by the size alone, so that the number of threads
// changes neither the work's pieces nor its bits.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/thread_pool.h"

namespace qmse {

inline constexpr std::int64_t quotient_up(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }

// Elements of a range where the work per element is a few memory accesses: long against the cost of handing
// out a task, short against a core's cache.
inline constexpr std::int64_t kRangeElements = 16384;

// Items of a range where each item is `elements` elements.
inline constexpr std::int64_t range_items(std::int64_t elements) {
  return std::max<std::int64_t>(1, kRangeElements / std::max<std::int64_t>(1, elements));
}

// body(begin, end) over [0, n) in ranges of `grain` (the last one shorter), in any order, several at once.
template <class Body>
void for_ranges(ThreadPool& threads, std::int64_t n, std::int64_t grain, const Body& body) {
  threads.run(quotient_up(n, grain),
              [&](std::int64_t range, int) { body(range * grain, std::min(n, (range + 1) * grain)); });
}

}  // namespace qmse
