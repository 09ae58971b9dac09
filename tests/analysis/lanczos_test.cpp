#include "algebra/lanczos.h"

#include <algorithm>
#include <cmath>

#include "algebra/dense.h"
#include "base/error.h"
#include "random/random_stream.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

// Q diag(values) Q^T with Q from the eigenvectors of a random symmetric matrix.
std::vector<double> with_spectrum(const std::vector<double>& values, std::uint64_t seed) {
  const auto n = static_cast<std::int64_t>(values.size());
  std::vector<double> random(static_cast<std::size_t>(n * n)), matrix(random.size());
  RandomStream stream(seed, RandomPurpose::test);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j <= i; ++j)
      random[static_cast<std::size_t>(i * n + j)] = random[static_cast<std::size_t>(j * n + i)] =
          stream.normal();
  }
  const SymmetricEigen basis = symmetric_eigen(random, n);
  for (std::size_t e = 0; e < values.size(); ++e) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      for (std::size_t j = 0; j < values.size(); ++j)
        matrix[i * values.size() + j] +=
            values[e] * basis.vectors[e * values.size() + i] * basis.vectors[e * values.size() + j];
    }
  }
  return matrix;
}

SymmetricProduct product_with(const std::vector<double>& matrix) {
  return [&matrix](std::span<const double> in, std::span<double> out) {
    for (std::size_t i = 0; i < in.size(); ++i) {
      out[i] = 0;
      for (std::size_t j = 0; j < in.size(); ++j) out[i] += matrix[i * in.size() + j] * in[j];
    }
  };
}

}  // namespace

TEST_CASE("lanczos: both ends of a known spectrum, a multiple eigenvalue as often as it is there") {
  std::vector<double> values = {-3, -3, -1, 7, 7, 7, 9};
  for (int i = 0; i < 90; ++i) values.push_back(0.01 * i);
  const std::vector<double> matrix = with_spectrum(values, 4);
  const auto size = static_cast<std::int64_t>(values.size());
  std::sort(values.begin(), values.end());
  for (const std::int64_t basis : {20, 40, 200}) {
    for (const std::uint64_t seed : {1, 2, 3}) {
      const auto top =
          extreme_eigenpairs(product_with(matrix), size, 5, SpectrumEnd::top, seed, {.basis = basis});
      const auto bottom =
          extreme_eigenpairs(product_with(matrix), size, 4, SpectrumEnd::bottom, seed, {.basis = basis});
      CAPTURE(basis, seed);
      CHECK(top.converged);
      CHECK(bottom.converged);
      REQUIRE(top.pairs.size() == 5);
      REQUIRE(bottom.pairs.size() == 4);
      for (std::size_t i = 0; i < 5; ++i) {
        CHECK(top.pairs[i].value == Approx(values[values.size() - 1 - i]).margin(1e-8));
        CHECK(top.pairs[i].residual < 1e-6);
      }
      for (std::size_t i = 0; i < 4; ++i) CHECK(bottom.pairs[i].value == Approx(values[i]).margin(1e-8));
    }
  }
}

// As Hessians have it: a few large eigenvalues, and a bulk near 0 whose lower end is 10^-3 of them, crowded
// and with gaps of 10^-5.
TEST_CASE("lanczos: the crowded lower end of a spectrum with a few large eigenvalues") {
  std::vector<double> values = {3, 2.5, 1.4, 0.8};
  for (int i = 0; i < 296; ++i) values.push_back(-2e-3 + 1e-5 * i * (1 + 0.01 * i));
  const std::vector<double> matrix = with_spectrum(values, 9);
  std::sort(values.begin(), values.end());
  std::int64_t least_products = 100000;
  for (const std::int64_t basis : {30, 60, 0}) {
    const auto bottom = extreme_eigenpairs(product_with(matrix), 300, 6, SpectrumEnd::bottom, 1,
                                           {.basis = basis, .products = 20000});
    CAPTURE(basis, bottom.products);
    CHECK(bottom.converged);
    least_products = std::min(least_products, bottom.products);
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK(bottom.pairs[i].value == Approx(values[i]).margin(1e-9));
      CHECK(bottom.pairs[i].residual < 1e-7);
    }
  }
  CHECK(least_products <= 600);  // twice the size: the search, and the look for what it may have missed
}

TEST_CASE("lanczos: what has not converged says so, and is still within its residual of an eigenvalue") {
  std::vector<double> values;
  for (int i = 0; i < 300; ++i) values.push_back(std::cos(0.01 * i));
  const std::vector<double> matrix = with_spectrum(values, 5);
  const auto found =
      extreme_eigenpairs(product_with(matrix), 300, 4, SpectrumEnd::top, 1, {.basis = 20, .products = 12});
  CHECK_FALSE(found.converged);
  CHECK(found.products == 12);
  REQUIRE(found.pairs.size() == 4);
  CHECK(found.pairs.front().residual > 1e-4);
  for (const EigenPair& pair : found.pairs) {
    double nearest = INFINITY;
    for (const double value : values) nearest = std::min(nearest, std::abs(value - pair.value));
    CHECK(nearest <= pair.residual + 1e-12);
  }
}

TEST_CASE("lanczos: quadrature integrates polynomials of degree 2 m - 1 exactly, as the start vector does") {
  const std::vector<double> values = {-2, -1, -0.5, 0, 0.1, 0.3, 1, 2, 3, 5, 8};
  const std::vector<double> matrix = with_spectrum(values, 6);
  const SpectralNodes nodes = spectral_nodes(product_with(matrix), 11, 4, 3, 2);
  CHECK(nodes.nodes.size() == 4);
  // The same start vector, by its documented stream: v^T A^k v / v^T v for k up to 7.
  RandomStream random(3, RandomPurpose::probe, 3);
  std::vector<double> v(11), power;
  for (double& value : v) value = random.sign();
  power = v;
  for (int k = 0; k < 8; ++k) {
    double direct = 0, quadrature = 0;
    for (std::size_t i = 0; i < v.size(); ++i) direct += v[i] * power[i] / 11;
    for (std::size_t i = 0; i < nodes.nodes.size(); ++i)
      quadrature += nodes.weights[i] * std::pow(nodes.nodes[i], k);
    CAPTURE(k);
    CHECK(quadrature == Approx(direct).epsilon(1e-10).margin(1e-10));
    std::vector<double> next(11);
    product_with(matrix)(power, next);
    power = next;
  }
  // Within its residual of each node there is an eigenvalue, and no node lies beyond all of them.
  for (std::size_t i = 0; i < nodes.nodes.size(); ++i) {
    double nearest = INFINITY;
    for (const double value : values) nearest = std::min(nearest, std::abs(value - nodes.nodes[i]));
    CHECK(nearest <= nodes.residuals[i] + 1e-10);
    CHECK(nodes.residuals[i] > 0);
  }
  CHECK(nodes.nodes.back() <= *std::max_element(values.begin(), values.end()) + 1e-10);
  const SpectralNodes whole = spectral_nodes(product_with(matrix), 11, 50, 3, 2);  // the whole space
  CHECK(whole.nodes.size() == 11);
  for (std::size_t i = 0; i < 11; ++i) CHECK(whole.nodes[i] == Approx(values[i]).margin(1e-10));
  CHECK(whole.residuals == std::vector<double>(11));
}

TEST_CASE("lanczos: a matrix of zeros, one number, and sizes that make no sense") {
  const SymmetricProduct zero = [](std::span<const double>, std::span<double> out) {
    std::fill(out.begin(), out.end(), 0.0);
  };
  const auto found = extreme_eigenpairs(zero, 6, 3, SpectrumEnd::bottom, 1);
  CHECK(found.converged);
  REQUIRE(found.pairs.size() == 3);
  for (const EigenPair& pair : found.pairs) CHECK(pair.value == 0);
  CHECK(extreme_eigenpairs(zero, 6, 6, SpectrumEnd::top, 1).pairs.size() == 6);
  const SymmetricProduct seven = [](std::span<const double> in, std::span<double> out) {
    out[0] = 7 * in[0];
  };
  for (const SpectrumEnd end : {SpectrumEnd::top, SpectrumEnd::bottom})
    CHECK(extreme_eigenpairs(seven, 1, 1, end, 1).pairs.front().value == Approx(7));
  CHECK_THROWS_AS(extreme_eigenpairs(zero, 3, 4, SpectrumEnd::top, 1), ShapeError);
  CHECK_THROWS_AS(extreme_eigenpairs(zero, 3, 0, SpectrumEnd::top, 1), ShapeError);
  CHECK_THROWS_AS(spectral_nodes(zero, 3, 0, 1, 0), ShapeError);
  const SymmetricProduct broken = [](std::span<const double>, std::span<double> out) {
    std::fill(out.begin(), out.end(), NAN);
  };
  CHECK_THROWS_AS(extreme_eigenpairs(broken, 3, 1, SpectrumEnd::top, 1), NumericError);
}
