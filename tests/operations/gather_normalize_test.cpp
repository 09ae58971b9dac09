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

TEST_CASE("gather_normalize: rows of a table are picked as they are, with their targets") {
  struct Sizes {
    std::int64_t batch, columns, targets;
    std::uint64_t first;
  };
  Devices devices;
  for (const Sizes& s : {Sizes{64, 8, 1, 0}, Sizes{7, 1, 3, 5}, Sizes{3, 1000, 300, 2}, Sizes{0, 4, 1, 0}}) {
    CAPTURE(s.batch, s.columns, s.targets);
    devices.each(s.batch * (s.columns + s.targets), [&](auto& device) {
      using T = typename std::decay_t<decltype(device)>::Number;
      const std::int64_t samples = s.batch + static_cast<std::int64_t>(s.first) + 4;
      const std::vector<T> columns = random_values<T>(samples * s.columns, 1, -2, 2),
                           targets = random_values<T>(samples * s.targets, 2, -2, 2);
      std::vector<std::uint32_t> order;
      for (std::int64_t i = 0; i < samples; ++i) order.push_back(static_cast<std::uint32_t>(samples - 1 - i));
      const auto in_columns = device.array(columns), in_targets = device.array(targets);
      const auto in_order = device.array(order);
      const auto first = device.number(s.first);
      const auto x = device.array(std::vector<T>(static_cast<std::size_t>(s.batch * s.columns), T(-77)));
      const auto y = device.array(std::vector<T>(static_cast<std::size_t>(s.batch * s.targets), T(-77)));
      const auto ids = device.array(std::vector<std::uint32_t>(static_cast<std::size_t>(s.batch), 0));
      GatherArgs<T> args;
      args.batch = s.batch;
      args.channels = s.columns;
      args.inner = 1;
      args.order = in_order.data();
      args.first = first.data();
      args.columns = in_columns.data();
      args.targets = in_targets.data();
      args.target_count = s.targets;
      args.x = x.data();
      args.batch_targets = y.data();
      args.sample_ids = ids.data();
      gather_normalize(device.context, args);
      const std::vector<T> got_x = x.values(), got_y = y.values();
      const std::vector<std::uint32_t> got_ids = ids.values();
      std::size_t wrong = 0;
      for (std::int64_t i = 0; i < s.batch; ++i) {
        const std::int64_t sample = samples - 1 - static_cast<std::int64_t>(s.first) - i;
        wrong += got_ids[static_cast<std::size_t>(i)] != sample;
        for (std::int64_t k = 0; k < s.columns; ++k)
          wrong += got_x[static_cast<std::size_t>(i * s.columns + k)] !=
                   columns[static_cast<std::size_t>(sample * s.columns + k)];
        for (std::int64_t k = 0; k < s.targets; ++k)
          wrong += got_y[static_cast<std::size_t>(i * s.targets + k)] !=
                   targets[static_cast<std::size_t>(sample * s.targets + k)];
      }
      CHECK(wrong == 0);
    });
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
