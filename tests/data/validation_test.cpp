#include <algorithm>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "data/image_dataset.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

// Image i has the label i and pixels of i.
ImageDataset numbered(std::int64_t count) {
  ImageDataset set{"mnist", Split::train, count, 1, 1, 3, {}, {}, {}};
  for (std::int64_t i = 0; i < count; ++i) {
    set.class_names.push_back(std::to_string(i));
    set.labels.push_back(static_cast<std::int32_t>(i));
    set.images.insert(set.images.end(), 3, static_cast<std::uint8_t>(i));
  }
  return set;
}

}  // namespace

TEST_CASE("validation: every image is in one of the two sets, in the images' order, with its own label") {
  for (const std::int64_t count : {1, 7, 36}) {
    CAPTURE(count);
    ImageDataset train = numbered(37);
    const ImageDataset taken = split_off(train, count, 5);
    CHECK(taken.count == count);
    CHECK(train.count == 37 - count);
    std::set<std::int32_t> all;
    for (const ImageDataset* set : std::initializer_list<const ImageDataset*>{&train, &taken}) {
      REQUIRE(set->labels.size() == static_cast<std::size_t>(set->count));
      CHECK(std::is_sorted(set->labels.begin(), set->labels.end()));
      CHECK(set->classes() == 37);
      for (std::size_t i = 0; i < set->labels.size(); ++i) {
        all.insert(set->labels[i]);
        for (std::size_t k = 0; k < 3; ++k) CHECK(set->images[3 * i + k] == set->labels[i]);
      }
    }
    CHECK(all.size() == 37);
  }
}

TEST_CASE("validation: the choice is the seed's, and over many seeds every image is chosen as often") {
  const auto chosen = [](std::uint64_t seed) {
    ImageDataset train = numbered(20);
    return split_off(train, 5, seed).labels;
  };
  CHECK(chosen(1) == chosen(1));
  CHECK(chosen(1) != chosen(2));
  std::vector<int> times(20, 0);
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    for (const std::int32_t label : chosen(seed)) ++times[static_cast<std::size_t>(label)];
  }
  // 500 each, with a deviation of 19.
  for (const int count : times) CHECK(std::abs(count - 500) < 100);
}

TEST_CASE("validation: no image, or all of them, is a usage error") {
  for (const std::int64_t count : {0, -1, 20, 21}) {
    ImageDataset train = numbered(20);
    CHECK_THROWS_AS(split_off(train, count, 1), ConfigError);
    CHECK(train.count == 20);
  }
}
