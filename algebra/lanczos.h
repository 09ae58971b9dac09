// Eigenvalues of symmetric matrices that are known by their products alone: Lanczos' method with full
// reorthogonalisation, restarted with the best Ritz vectors (Wu and Simon, "Thick-restart Lanczos", 2000).
// From one start vector a multiple eigenvalue comes up once, so what has converged is put aside and the method
// starts again beside it, with a new random vector, until nothing new comes up.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/choice.h"

namespace qmse {

// out = A in, both of the matrix' size.
using SymmetricProduct = std::function<void(std::span<const double> in, std::span<double> out)>;

struct EigenPair {
  double value = 0;
  double residual = 0;  // ||A v - value v||, computed: within it of the value there is an eigenvalue
  std::vector<double> vector;
};

enum class SpectrumEnd { top, bottom };
constexpr std::array<Choice<SpectrumEnd>, 2> choices(SpectrumEnd) {
  return {{{SpectrumEnd::top, "top"}, {SpectrumEnd::bottom, "bottom"}}};
}

struct LanczosRule {
  // Vectors that are kept at most, at least 2 * count + 10. 0: 300, or as many as 256 MiB hold, but 60. The
  // crowded lower end of a Hessian wants many.
  std::int64_t basis = 0;
  std::int64_t products = 5000;  // in all, but for the residuals'
  double tolerance = 1e-8;       // of a residual, in units of the matrix' norm as far as it has been seen
};

struct ExtremeEigenpairs {
  std::vector<EigenPair> pairs;  // from the end inwards, of unit vectors, multiple ones as often as they are
  bool converged = false;  // all of them, and nothing else came up beside them; else products were too few
  std::int64_t products = 0;
};

// The `count` largest or smallest eigenvalues; fewer where the products were spent before there were so many.
// What has not converged is there too, and its residual says so. ShapeError unless 1 <= count <= size,
// NumericError where a product is not finite.
ExtremeEigenpairs extreme_eigenpairs(const SymmetricProduct& product, std::int64_t size, std::int64_t count,
                                     SpectrumEnd end, std::uint64_t seed, const LanczosRule& rule = {});

// What one random start vector says of the density of eigenvalues (stochastic Lanczos quadrature): nodes, and
// weights that sum to 1: the squares of the first components of the tridiagonal matrix' eigenvectors. The mean
// over starts of sum_i w_i f(node_i) is tr f(A) / size.
// The outermost nodes are near the outermost eigenvalues: within its residual of each node there is one.
struct SpectralNodes {
  std::vector<double> nodes, weights;  // nodes ascending
  std::vector<double> residuals;       // ||A x - node x|| of each node's Ritz vector x
};
// The start is a vector of random signs of this seed and number.
SpectralNodes spectral_nodes(const SymmetricProduct& product, std::int64_t size, std::int64_t steps,
                             std::uint64_t seed, std::uint32_t number);

}  // namespace qmse
