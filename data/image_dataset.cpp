#include "data/image_dataset.h"

#include "base/error.h"

namespace qmse {

std::string_view name(Split split) { return split == Split::train ? "train" : "test"; }

ImageDataset ImageDataset::first(std::int64_t n) const {
  if (n < 1 || n > count) {
    throw ConfigError("cannot take the first " + std::to_string(n) + " images: the " +
                      std::string(qmse::name(split)) + " set of " + name + " has " + std::to_string(count) +
                      "; choose between 1 and that");
  }
  ImageDataset result;
  result.name = name;
  result.split = split;
  result.count = n;
  result.channels = channels;
  result.height = height;
  result.width = width;
  result.class_names = class_names;
  result.images.assign(images.begin(), images.begin() + n * channels * height * width);
  result.labels.assign(labels.begin(), labels.begin() + n);
  return result;
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
