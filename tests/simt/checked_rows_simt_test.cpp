#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/checked_rows/checked_rows.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

// Labels or ids of either width, some of them out of range, and what is to become of them.
template <class Integer>
void check_given(std::int64_t batch, std::int64_t classes, std::uint64_t seed) {
  CAPTURE(batch, classes, sizeof(Integer), seed);
  const auto rows = static_cast<std::size_t>(batch);
  std::vector<Integer> labels(rows), ids(rows);
  std::vector<std::int32_t> expected_labels(rows), expected_valid(rows);
  std::vector<std::uint32_t> expected_ids(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    std::int64_t label = static_cast<std::int64_t>(row) % classes;
    std::int64_t id = static_cast<std::int64_t>(3 * row);
    if (sizeof(Integer) == 8)
      id += std::int64_t{0xFFFFFFFE} - 3 * (batch - 1);  // the last one is the largest there is
    if (row % 7 == 3) label = -1;
    if (row % 7 == 5) label = classes;
    if (row % 11 == 8) label = std::numeric_limits<Integer>::min();
    if (row % 13 == 9)
      label = sizeof(Integer) == 8 ? (std::int64_t{1} << 32) : std::numeric_limits<Integer>::max();
    if (row % 17 == 6) id = -1;
    if (row % 17 == 10 && sizeof(Integer) == 8) id = 0xFFFFFFFF;
    labels[row] = static_cast<Integer>(label);
    ids[row] = static_cast<Integer>(id);
    const bool label_fits = label >= 0 && label < classes;
    const bool id_fits = id >= 0 && id < 0xFFFFFFFF;
    expected_labels[row] = label_fits ? static_cast<std::int32_t>(label) : 0;
    expected_ids[row] = id_fits ? static_cast<std::uint32_t>(id) : 0u;
    expected_valid[row] = label_fits && id_fits ? 1 : 0;
  }
  std::vector<std::int32_t> checked_labels(rows, -5), valid(rows, -5);
  std::vector<std::uint32_t> checked_ids(rows, 5);
  simt::Context gpu(seed);
  check_rows(gpu, batch, classes, GivenIntegers{labels.data(), sizeof(Integer) == 8},
             GivenIntegers{ids.data(), sizeof(Integer) == 8},
             CheckedRows{checked_labels.data(), checked_ids.data(), valid.data()});
  CHECK(checked_labels == expected_labels);
  CHECK(checked_ids == expected_ids);
  CHECK(valid == expected_valid);
}

}  // namespace

TEST_CASE("checked rows: labels and ids of either width are taken over where they are in range") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const std::int64_t batch : {0, 1, 2, 31, 255, 256, 257, 600}) {
      check_given<std::int32_t>(batch, 10, seed);
      check_given<std::int64_t>(batch, 3, seed);
    }
  }
}

TEST_CASE("checked rows: without ids they are positions, without labels every row is valid") {
  std::vector<std::uint32_t> ids(300);
  std::vector<std::int32_t> valid(300, 0);
  simt::Context gpu(1);
  check_rows(gpu, 300, 4, GivenIntegers{}, GivenIntegers{}, CheckedRows{nullptr, ids.data(), valid.data()});
  for (std::uint32_t row = 0; row < 300; ++row) CHECK(ids[row] == row);
  CHECK(valid == std::vector<std::int32_t>(300, 1));
}

TEST_CASE(
    "checked rows: rows that are not valid become NaN and zeros, the others stay, and the mean is theirs") {
  for (const std::int64_t batch : {1, 2, 33, 1023, 1024, 1025, 3000}) {
    for (const bool all_valid : {true, false}) {
      CAPTURE(batch, all_valid);
      const std::int64_t classes = 3;
      const auto rows = static_cast<std::size_t>(batch);
      std::vector<float> loss(rows), residual(rows, 2), gradient(rows * 3, 4), v(rows * 3, 5);
      std::vector<std::int32_t> correct(rows, 1), valid(rows, 1);
      double sum = 0;
      for (std::size_t row = 0; row < rows; ++row) {
        loss[row] = 1.0f / static_cast<float>(row + 1);
        sum += static_cast<double>(loss[row]);
      }
      if (!all_valid) valid[rows / 2] = 0;
      float mean = -1;
      simt::Context gpu(3);
      finish_rows(
          gpu, batch, classes, valid.data(),
          FinishedRows{loss.data(), residual.data(), correct.data(), gradient.data(), v.data(), &mean});
      for (std::size_t row = 0; row < rows; ++row) {
        const bool fine = valid[row] == 1;
        CHECK(std::isnan(loss[row]) == !fine);
        CHECK(std::isnan(residual[row]) == !fine);
        CHECK(correct[row] == (fine ? 1 : 0));
        for (std::size_t i = 3 * row; i < 3 * row + 3; ++i) {
          CHECK(gradient[i] == (fine ? 4.0f : 0.0f));
          CHECK(v[i] == (fine ? 5.0f : 0.0f));
        }
      }
      CHECK(std::isnan(mean) == !all_valid);
      if (all_valid) CHECK(std::abs(static_cast<double>(mean) * static_cast<double>(batch) / sum - 1) < 1e-7);
    }
  }
}

TEST_CASE("checked rows: no rows have the mean NaN, and nothing but the mean need be wanted") {
  float mean = 0;
  simt::Context gpu(1);
  finish_rows(gpu, 0, 3, nullptr, FinishedRows{nullptr, nullptr, nullptr, nullptr, nullptr, &mean});
  CHECK(std::isnan(mean));
  std::vector<float> loss = {1, 2}, residual(2);
  std::vector<std::int32_t> correct(2), valid = {1, 0};
  finish_rows(gpu, 2, 3, valid.data(),
              FinishedRows{loss.data(), residual.data(), correct.data(), nullptr, nullptr, nullptr});
  CHECK(loss[0] == 1);
  CHECK(std::isnan(loss[1]));
}
