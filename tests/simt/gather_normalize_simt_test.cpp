#include <cstdint>

#include "kernels/gather_normalize/gather_normalize.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/gather_case.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("gather_normalize: the kernel picks by order and normalises each channel") {
  for (const std::uint64_t seed : simt::seeds()) {
    // Whole groups of four in every channel, in the image only, in neither; images longer than a block takes
    // at a time; no image.
    for (GatherCase<float> batch :
         {GatherCase<float>(6, 1, 784, 3), GatherCase<float>(2, 3, 1024, 13), GatherCase<float>(3, 4, 7, 0),
          GatherCase<float>(5, 3, 7, 1), GatherCase<float>(4, 5, 1, 1), GatherCase<float>(1, 1, 1, 2),
          GatherCase<float>(0, 1, 4, 0)}) {
      CAPTURE(seed, batch.batch, batch.channels, batch.inner);
      simt::Launcher launcher(seed);
      launch_gather_normalize(launcher, batch.args());
      batch.check_result();
    }
  }
}

TEST_CASE("gather_normalize: the kernel takes images that lie at any address") {
  GatherCase<float> batch(3, 1, 16, 0);
  std::vector<std::uint8_t> shifted(1);
  shifted.insert(shifted.end(), batch.images.begin(), batch.images.end());
  GatherArgs<float> args = batch.args();
  args.images = shifted.data() + 1;
  simt::Launcher launcher(2);
  launch_gather_normalize(launcher, args);
  batch.check_result();
}
