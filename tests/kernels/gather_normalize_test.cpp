#include "kernels/gather_normalize/gather_normalize.h"

#include "tests/support/catch.h"
#include "tests/support/gather_case.h"

using namespace qmse;
using namespace qmse::test;

namespace {

template <class T>
void check_batches() {
  for (const int threads : {1, 2, 3, 5}) {
    CpuContext context(threads);
    for (GatherCase<T> batch :
         {GatherCase<T>(64, 1, 784, 0), GatherCase<T>(7, 3, 1024, 13), GatherCase<T>(1, 1, 1, 2),
          GatherCase<T>(5, 3, 7, 1), GatherCase<T>(0, 1, 4, 0)}) {
      CAPTURE(threads, batch.batch, batch.channels, batch.inner);
      gather_normalize(context, batch.args());
      batch.check_result();
    }
  }
}

}  // namespace

TEST_CASE("gather_normalize: picks by order from `first` and normalises each channel, f32") {
  check_batches<float>();
}
TEST_CASE("gather_normalize: picks by order from `first` and normalises each channel, f64") {
  check_batches<double>();
}
