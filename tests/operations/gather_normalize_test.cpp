#include "kernels/gather_normalize/gather_normalize.h"

#include "tests/operations/devices.h"
#include "tests/support/gather_case.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// The batch on a device; images lie `offset` bytes after an aligned address.
template <class D, class T>
void check_batch(const D& device, GatherCase<T> batch, std::size_t offset) {
  GatherArgs<T> args = batch.args();
  const auto images = device.array(batch.images, offset);
  const auto labels = device.array(batch.labels), batch_labels = device.array(batch.batch_labels);
  const auto order = device.array(batch.order), ids = device.array(batch.sample_ids);
  const auto scale = device.array(batch.scale), shift = device.array(batch.shift), x = device.array(batch.x);
  const auto first = device.number(batch.first);
  args.images = images.data();
  args.labels = labels.data();
  args.order = order.data();
  args.first = first.data();
  args.scale = scale.data();
  args.shift = shift.data();
  args.x = x.data();
  args.batch_labels = batch_labels.data();
  args.sample_ids = ids.data();
  gather_normalize(device.context, args);
  batch.x = x.values();
  batch.batch_labels = batch_labels.values();
  batch.sample_ids = ids.values();
  batch.check_result();
}

}  // namespace

TEST_CASE("gather_normalize: picks by order from `first` and normalises each channel, to the last bit") {
  struct Sizes {
    std::int64_t batch, channels, inner;
    std::uint64_t first;
  };
  Devices devices;
  // Whole groups of four in every channel, in the image only, in neither; images longer than a block takes at
  // a time; no image.
  for (const Sizes& s : {Sizes{64, 1, 784, 0}, Sizes{6, 1, 784, 3}, Sizes{7, 3, 1024, 13}, Sizes{3, 4, 7, 0},
                         Sizes{5, 3, 7, 1}, Sizes{4, 5, 1, 1}, Sizes{1, 1, 1, 2}, Sizes{0, 1, 4, 0}}) {
    for (const std::size_t offset : {0u, 1u}) {
      CAPTURE(s.batch, s.channels, s.inner, offset);
      devices.each(s.batch * s.channels * s.inner, [&](auto& device) {
        using T = typename std::decay_t<decltype(device)>::Number;
        check_batch(device, GatherCase<T>(s.batch, s.channels, s.inner, s.first), offset);
      });
    }
  }
}

TEST_CASE("gather_normalize: the number of threads changes no bit") {
  for (const int threads : {1, 3, 5}) {
    CAPTURE(threads);
    CpuContext context(threads);
    check_batch(Device<CpuContext, float>{context}, GatherCase<float>(64, 1, 784, 0), 0);
    check_batch(Device<CpuContext, double>{context}, GatherCase<double>(7, 3, 1024, 13), 0);
  }
}
