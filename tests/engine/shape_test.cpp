#include "engine/shape.h"

#include "device/device.h"
#include "tests/support/catch.h"

using namespace qmse;

TEST_CASE("shape: sizes, counts and batches") {
  const Shape shape{2, 3, 4};
  CHECK(shape.dimensions() == 3);
  CHECK(shape.count() == 24);
  CHECK(Shape{}.count() == 1);
  CHECK(shape.with_batch(7) == Shape{7, 2, 3, 4});
  CHECK(shape.without_batch() == Shape{3, 4});
  CHECK(to_string(shape) == "[2, 3, 4]");
  CHECK(to_string(Shape{}) == "[]");
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
}

TEST_CASE("shape: what no tensor can have is refused") {
  CHECK_THROWS_AS((Shape{1, -1}), ShapeError);
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1, 1}), ShapeError);
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1}.with_batch(2)), ShapeError);
  CHECK_THROWS_AS(Shape{}.without_batch(), ShapeError);
}

TEST_CASE("shape: sizes whose product overflows are refused, not wrapped") {
  const std::int64_t half = std::int64_t{1} << 32;
  CHECK_THROWS_WITH((Shape{half, half}), Catch::Contains("[4294967296, 4294967296]"));  // 2^64 wraps to 0
  CHECK_THROWS_AS((Shape{std::int64_t{1} << 62, 8}), ShapeError);
  CHECK_THROWS_AS((Shape{half, 8}.with_batch(half)), ShapeError);
  CHECK_THROWS_AS((Shape{Shape::kMaxCount + 1}), ShapeError);
  CHECK((Shape{Shape::kMaxCount / 4, 4}.count()) == Shape::kMaxCount);
  CHECK((Shape{0, 7}.count()) == 0);
}

TEST_CASE("device: names are parsed and printed") {
  for (const std::string name : {"auto", "cpu", "cuda", "cuda:0", "cuda:12"})
    CHECK(to_string(parse_device(name)) == name);
  for (const std::string name :
       {"", "gpu", "cuda:", "cuda:-1", "cuda:1x", "cuda: 1", "CPU", "cuda:99999999999"}) {
    CAPTURE(name);
    CHECK_THROWS_WITH(parse_device(name), Catch::Contains("'" + name + "'") && Catch::Contains("cuda:N"));
  }
}
