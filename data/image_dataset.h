// A labelled set of images, or a table of numbers to learn from and to learn, whole in memory.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/choice.h"

namespace qmse {

enum class Split { train, test };
constexpr std::array<Choice<Split>, 2> choices(Split) {
  return {{{Split::train, "train"}, {Split::test, "test"}}};
}

// Which labels of a data set that has two kinds (CIFAR-100): the classes, or the superclasses they form.
enum class LabelKind { fine, coarse };
constexpr std::array<Choice<LabelKind>, 2> choices(LabelKind) {
  return {{{LabelKind::fine, "fine"}, {LabelKind::coarse, "coarse"}}};
}

struct ImageDataset {
  std::string name;  // as in the registry, for example "fashion-mnist"
  Split split = Split::train;
  std::int64_t count = 0;  // N
  std::int64_t channels = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<std::string> class_names;  // one per class
  std::vector<std::uint8_t> images;      // [N, C, H, W], 0 is black
  std::vector<std::int32_t> labels;      // [N], each in [0, classes())
  // A table has these in place of images and labels; its columns are channels of one pixel, its targets
  // classes.
  std::vector<std::string> column_names = {};  // [C]
  std::vector<double> columns = {};            // [N, C]
  std::vector<double> targets = {};            // [N, classes()]

  bool is_table() const { return !column_names.empty(); }

  std::int64_t classes() const { return static_cast<std::int64_t>(class_names.size()); }

  // The first n samples. ConfigError unless 1 <= n <= count.
  ImageDataset first(std::int64_t n) const;
  // The samples of these indices, each in [0, count), in their order.
  ImageDataset take(std::span<const std::uint32_t> indices) const;
};

// What is kept apart of the training samples where there is no test set: a share of them by a seed.
struct TestSplit {
  double share = 0;
  std::uint64_t seed = 1;
};

// Takes `count` samples, a uniform choice by `seed`, out of `train` and returns them; both keep their order.
// ConfigError unless 1 <= count < train.count.
ImageDataset split_off(ImageDataset& train, std::int64_t count, std::uint64_t seed);
// One side of all samples parted so. ConfigError, beginning with `where`, where a side would be empty.
ImageDataset part(ImageDataset all, Split split, const TestSplit& test, const std::string& where);

// DataError, beginning with `where`, unless the images of both have the same channels, height and width.
void check_same_shape(const ImageDataset& train, const ImageDataset& test, const std::string& where);

}  // namespace qmse
