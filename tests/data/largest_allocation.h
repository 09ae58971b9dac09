// The largest single request to operator new, for tests that a damaged header does not ask for wild amounts.
#pragma once

#include <cstddef>

namespace qmse::test {

void reset_largest_allocation();
std::size_t largest_allocation();  // bytes, since the reset, over all threads

}  // namespace qmse::test
