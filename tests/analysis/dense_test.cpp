#include "algebra/dense.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "random/random_stream.h"
#include "tests/support/catch.h"

using namespace qmse;

TEST_CASE("dense: eigenvalues and vectors of a matrix made from known ones") {
  const std::int64_t n = 17;
  const auto at = [&](std::int64_t i, std::int64_t j) { return static_cast<std::size_t>(i * n + j); };
  // A reflection H = I - 2 u u^T is its own inverse: M = H diag(values) H, with a double and a
  // zero eigenvalue.
  std::vector<double> u, values, matrix(static_cast<std::size_t>(n * n));
  RandomStream random(4, RandomPurpose::test);
  double squares = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    u.push_back(random.normal());
    squares += u.back() * u.back();
    values.push_back(i == 3 ? 0.0 : i == 5 ? 6.0 : static_cast<double>(i) - 2);
  }
  const auto reflection = [&](std::int64_t i, std::int64_t j) {
    return (i == j ? 1.0 : 0.0) -
           2 * u[static_cast<std::size_t>(i)] * u[static_cast<std::size_t>(j)] / squares;
  };
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t k = 0; k < n; ++k)
        matrix[at(i, j)] += reflection(i, k) * values[static_cast<std::size_t>(k)] * reflection(k, j);
    }
  }
  const SymmetricEigen eigen = symmetric_eigen(matrix, n);
  std::sort(values.begin(), values.end());
  for (std::int64_t i = 0; i < n; ++i) {
    CHECK(eigen.values[static_cast<std::size_t>(i)] ==
          Approx(values[static_cast<std::size_t>(i)]).margin(1e-13));
    for (std::int64_t row = 0; row < n; ++row) {
      double product = 0;
      for (std::int64_t k = 0; k < n; ++k) product += matrix[at(row, k)] * eigen.vectors[at(i, k)];
      CHECK(std::abs(product - eigen.values[static_cast<std::size_t>(i)] * eigen.vectors[at(i, row)]) <
            1e-12);
    }
  }
  CHECK(symmetric_eigen(matrix, n, false).vectors.empty());
  CHECK_THROWS_AS(symmetric_eigen(matrix, n - 1), ShapeError);
  matrix[4] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(symmetric_eigen(matrix, n), NumericError);
}

TEST_CASE("dense: singular values and rank of a product of thin matrices") {
  RandomStream random(6, RandomPurpose::test);
  const std::int64_t rows = 9, columns = 14, inner = 4;
  std::vector<double> a, b, product(static_cast<std::size_t>(rows * columns));
  for (std::int64_t i = 0; i < rows * inner; ++i) a.push_back(random.normal());
  for (std::int64_t i = 0; i < inner * columns; ++i) b.push_back(random.normal());
  double squares = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      double& sum = product[static_cast<std::size_t>(i * columns + j)];
      for (std::int64_t k = 0; k < inner; ++k)
        sum += a[static_cast<std::size_t>(i * inner + k)] * b[static_cast<std::size_t>(k * columns + j)];
      squares += sum * sum;
    }
  }
  const std::vector<double> singular = singular_values(product, rows, columns);
  REQUIRE(singular.size() == 9);
  CHECK(numerical_rank(singular) == 4);
  double sum = 0;
  for (const double value : singular) sum += value * value;
  CHECK(sum == Approx(squares).epsilon(1e-12));
}

namespace {

// Slopes times inputs of a layer of ReLU, some of whose units are the one before again: rows of units x inputs.
std::vector<double> repeated_units(RandomStream& random, std::int64_t rows, std::int64_t units,
                                   std::int64_t inputs) {
  std::vector<double> x, matrix(static_cast<std::size_t>(rows * units * inputs));
  std::vector<double> u(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows * inputs; ++i) x.push_back(random.normal());
  for (std::int64_t unit = 0; unit < units; ++unit) {
    if (unit == 0 || random.below(3) != 0) {
      std::vector<double> w;
      for (std::int64_t k = 0; k < inputs; ++k) w.push_back(random.normal());
      for (std::int64_t n = 0; n < rows; ++n) {
        double& sum = u[static_cast<std::size_t>(n)] = 0;
        for (std::int64_t k = 0; k < inputs; ++k)
          sum += w[static_cast<std::size_t>(k)] * x[static_cast<std::size_t>(n * inputs + k)];
      }
    }
    for (std::int64_t n = 0; n < rows; ++n) {
      for (std::int64_t k = 0; k < inputs; ++k) {
        matrix[static_cast<std::size_t>((n * units + unit) * inputs + k)] =
            u[static_cast<std::size_t>(n)] > 0 ? x[static_cast<std::size_t>(n * inputs + k)] : 0;
      }
    }
  }
  return matrix;
}

// Their squares are the eigenvalues of matrix matrix^T, by another algorithm; what rows there are more than
// columns add zeros.
void check_singular_values(const std::vector<double>& matrix, std::int64_t rows, std::int64_t columns) {
  INFO(rows << " x " << columns);
  ThreadPool threads(1);
  const std::vector<double> singular = singular_values(matrix, rows, columns);
  REQUIRE(static_cast<std::int64_t>(singular.size()) == std::min(rows, columns));
  CHECK(std::is_sorted(singular.rbegin(), singular.rend()));
  CHECK(singular.back() >= 0);
  const std::vector<double> squares =
      symmetric_eigen(gram_matrix(matrix, rows, columns, threads), rows, false).values;
  for (std::size_t i = 0; i < squares.size(); ++i) {
    const double value = i < singular.size() ? singular[i] : 0;
    // Both are right to some units in the last place of the largest.
    CHECK(value * value == Approx(squares[squares.size() - 1 - i]).margin(1e-13 * squares.back()).epsilon(0));
  }
}

}  // namespace

TEST_CASE("dense: singular values of units that repeat others") {
  // Eigen's BDCSVD ends in a read beyond its arrays at the first of these.
  for (const std::uint64_t seed : {1833, 3349, 1, 2, 3}) {
    RandomStream random(seed, RandomPurpose::test);
    const std::int64_t rows = 60 + random.below(50), units = 8 + random.below(6),
                       inputs = 8 + random.below(5);
    INFO("seed " << seed);
    check_singular_values(repeated_units(random, rows, units, inputs), rows, units * inputs);
  }
}

TEST_CASE("dense: singular values of every kind of matrix") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    RandomStream random(seed, RandomPurpose::test);
    INFO("seed " << seed);
    const std::int64_t rows = 1 + random.below(20), columns = 1 + random.below(20);
    std::vector<double> matrix(static_cast<std::size_t>(rows * columns));
    const double scale = seed % 2 == 0 ? 1 : std::pow(10.0, static_cast<double>(random.below(240)) - 120);
    for (double& value : matrix) {
      // normal, mostly zeros, or zeros and ones
      const bool kept = seed % 3 == 0 || random.below(4) == 0;
      value = kept ? scale * (seed % 3 == 2 ? 1.0 : random.normal()) : 0.0;
    }
    check_singular_values(matrix, rows, columns);
  }
  CHECK(singular_values(std::vector<double>(12), 3, 4) == std::vector<double>(3));
  const std::vector<double> tiny = singular_values(std::vector<double>{-1e-300, 0, 0, 0, 2e-300, 0}, 2, 3);
  CHECK(tiny[0] == Approx(2e-300).epsilon(1e-15).margin(0));
  CHECK(tiny[1] == Approx(1e-300).epsilon(1e-15).margin(0));
}

// The oracle tries every way to hold variables at bounds.
TEST_CASE("dense: bounded least squares finds the minimum that trying all bounds finds") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    RandomStream random(seed, RandomPurpose::test);
    const std::int64_t rows = 1 + random.below(5), columns = 1 + random.below(5);
    std::vector<double> a, b, low, high;
    for (std::int64_t i = 0; i < rows * columns; ++i) a.push_back(random.normal());
    for (std::int64_t i = 0; i < rows; ++i) b.push_back(2 * random.normal());
    for (std::int64_t i = 0; i < columns; ++i) {
      low.push_back(random.below(3) == 0 ? 0 : -0.9);
      high.push_back(low.back() + (random.below(6) == 0 ? 0 : 0.9));
    }
    double best = INFINITY;
    std::int64_t ways = 1;
    for (std::int64_t i = 0; i < columns; ++i) ways *= 3;
    for (std::int64_t way = 0; way < ways; ++way) {
      std::vector<double> x(static_cast<std::size_t>(columns)), part, rest = b;
      std::vector<std::size_t> free;
      std::int64_t code = way;
      for (std::size_t j = 0; j < x.size(); ++j, code /= 3) {
        if (code % 3 == 2) free.push_back(j);
        x[j] = code % 3 == 0 ? low[j] : high[j];
      }
      for (std::size_t r = 0; r < rest.size(); ++r) {
        for (std::size_t j = 0; j < x.size(); ++j) {
          const double entry = a[r * x.size() + j];
          if (std::find(free.begin(), free.end(), j) == free.end()) {
            rest[r] += entry * x[j];
          } else {
            part.push_back(entry);
          }
        }
      }
      if (!free.empty()) {
        const std::vector<double> solved =
            least_squares(part, rows, static_cast<std::int64_t>(free.size()), rest);
        bool inside = true;
        for (std::size_t f = 0; f < free.size(); ++f) {
          inside = inside && solved[f] >= low[free[f]] - 1e-12 && solved[f] <= high[free[f]] + 1e-12;
          for (std::size_t r = 0; r < rest.size(); ++r) rest[r] += part[r * free.size() + f] * solved[f];
        }
        if (!inside) continue;
      }
      double squares = 0;
      for (const double value : rest) squares += value * value;
      best = std::min(best, std::sqrt(squares));
    }
    const BoundedLeastSquares found = bounded_least_squares(a, rows, columns, b, low, high);
    CAPTURE(seed, rows, columns);
    CHECK(found.norm == Approx(best).margin(1e-9));
    for (std::size_t j = 0; j < found.x.size(); ++j) {
      CHECK(found.x[j] >= low[j] - 1e-12);
      CHECK(found.x[j] <= high[j] + 1e-12);
    }
  }
}
