#include "data/image_dataset.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/number_text.h"
#include "random/shuffle.h"

namespace qmse {

ImageDataset ImageDataset::first(std::int64_t n) const {
  if (n < 1 || n > count) {
    throw ConfigError("cannot take the first " + std::to_string(n) + " images: the " +
                      std::string(qmse::name(split)) + " set of " + name + " has " + std::to_string(count) +
                      "; choose between 1 and that");
  }
  std::vector<std::uint32_t> indices(static_cast<std::size_t>(n));
  std::iota(indices.begin(), indices.end(), 0U);
  return take(indices);
}

ImageDataset ImageDataset::take(std::span<const std::uint32_t> indices) const {
  ImageDataset result;
  result.name = name;
  result.split = split;
  result.count = static_cast<std::int64_t>(indices.size());
  result.channels = channels;
  result.height = height;
  result.width = width;
  result.class_names = class_names;
  result.column_names = column_names;
  if (is_table()) {
    const auto take_rows = [&](const std::vector<double>& from, std::int64_t size, std::vector<double>& to) {
      for (const std::uint32_t index : indices) {
        const auto begin = from.begin() + static_cast<std::int64_t>(index) * size;
        to.insert(to.end(), begin, begin + size);
      }
    };
    take_rows(columns, channels, result.columns);
    take_rows(targets, classes(), result.targets);
    return result;
  }
  const std::int64_t pixels = channels * height * width;
  result.images.reserve(indices.size() * static_cast<std::size_t>(pixels));
  result.labels.reserve(indices.size());
  for (const std::uint32_t index : indices) {
    const auto begin = images.begin() + static_cast<std::int64_t>(index) * pixels;
    result.images.insert(result.images.end(), begin, begin + pixels);
    result.labels.push_back(labels[index]);
  }
  return result;
}

ImageDataset split_off(ImageDataset& train, std::int64_t count, std::uint64_t seed) {
  if (count < 1 || count >= train.count) {
    throw ConfigError("cannot take " + std::to_string(count) + " of the " + std::to_string(train.count) +
                      " training images for validation: choose between 1 and " +
                      std::to_string(train.count - 1));
  }
  // The order of an epoch that no training reaches.
  constexpr std::uint32_t kNoEpoch = 0xFFFFFFFF;
  std::vector<std::uint32_t> order(static_cast<std::size_t>(train.count));
  shuffled_order(seed, kNoEpoch, train.count, order.data());
  const auto end = order.begin() + count;
  std::sort(order.begin(), end);
  std::sort(end, order.end());
  ImageDataset taken = train.take({order.begin(), end});
  train = train.take({end, order.end()});
  return taken;
}

ImageDataset part(ImageDataset all, Split split, const TestSplit& test, const std::string& where) {
  const auto count = static_cast<std::int64_t>(std::round(test.share * static_cast<double>(all.count)));
  if (count < 1 || count >= all.count) {
    throw ConfigError(where + ": --test-share " + shortest_text(test.share) + " of " +
                      std::to_string(all.count) + " samples leaves the training or the test set empty");
  }
  ImageDataset taken = split_off(all, count, test.seed);
  if (split == Split::train) return all;
  taken.split = Split::test;
  return taken;
}

void check_same_shape(const ImageDataset& train, const ImageDataset& test, const std::string& where) {
  const auto shape = [](const ImageDataset& set) {
    return "[" + std::to_string(set.channels) + ", " + std::to_string(set.height) + ", " +
           std::to_string(set.width) + "]";
  };
  if (shape(train) == shape(test)) return;
  throw DataError(where + ": training images are " + shape(train) + ", test images " + shape(test));
}

}  // namespace qmse
