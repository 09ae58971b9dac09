#include "engine/tensor.h"

#include <vector>

#include "tests/support/catch.h"
#include "tests/support/cpu.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("tensor: gives back what it was given") {
  Context context = cpu();
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const Tensor made = Tensor::from_host<float>(context, {2, 3}, values, "made");
  CHECK(made.shape() == Shape{2, 3});
  CHECK(made.dtype() == DType::f32);
  CHECK(made.read<float>() == values);
  CHECK(made.as<float>()[5] == 6.0f);

  Tensor labels(context, DType::i64, {3}, "labels");
  labels.write<std::int64_t>(std::vector<std::int64_t>{7, -8, 9});
  const Tensor moved = std::move(labels);
  CHECK(moved.read<std::int64_t>() == std::vector<std::int64_t>{7, -8, 9});

  const Tensor empty(context, DType::u8, {0, 4}, "empty");
  CHECK(empty.read<std::uint8_t>().empty());
}

TEST_CASE("tensor: other types and sizes than its own are refused") {
  Context context = cpu();
  Tensor tensor(context, DType::f64, {2, 2}, "weights");
  CHECK_THROWS_WITH(tensor.as<float>(), Catch::Contains("'weights' holds f64, not f32"));
  CHECK_THROWS_AS(tensor.read<std::int64_t>(), ShapeError);
  CHECK_THROWS_AS(tensor.write<float>(std::vector<float>(4)), ShapeError);
  CHECK_THROWS_WITH(tensor.write<double>(std::vector<double>(3)),
                    Catch::Contains("[2, 2]") && Catch::Contains("3 values"));
  CHECK_THROWS_AS(tensor.write<double>(std::vector<double>(5)), ShapeError);
}
