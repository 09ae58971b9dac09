// Random images of a data set's size and number of classes, so that benchmarks need no files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "data/image_dataset.h"
#include "random/philox.h"

namespace qmse::bench {

// shape: "mnist", "cifar10" or "cifar100".
inline ImageDataset synthetic_images(const std::string& shape, std::int64_t samples) {
  ImageDataset dataset;
  dataset.name = shape;
  dataset.count = samples;
  dataset.channels = shape == "mnist" ? 1 : 3;
  dataset.height = dataset.width = shape == "mnist" ? 28 : 32;
  for (int i = 0; i < (shape == "cifar100" ? 100 : 10); ++i) dataset.class_names.push_back(std::to_string(i));
  dataset.images.resize(
      static_cast<std::size_t>(samples * dataset.channels * dataset.height * dataset.width));
  PhiloxBlock block{};
  for (std::size_t i = 0; i < dataset.images.size(); ++i) {
    if (i % 16 == 0) block = random_bits(1, RandomPurpose::test, 0, 0, 0, static_cast<std::uint32_t>(i / 16));
    dataset.images[i] = static_cast<std::uint8_t>((block.x[i / 4 % 4] >> (i % 4 * 8)) & 255U);
  }
  for (std::int64_t i = 0; i < samples; ++i)
    dataset.labels.push_back(static_cast<std::int32_t>(i % dataset.classes()));
  return dataset;
}

}  // namespace qmse::bench
