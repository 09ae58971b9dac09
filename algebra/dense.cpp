#include "algebra/dense.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"

namespace qmse {
namespace {

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstRows = Eigen::Map<const Rows>;

void check(std::span<const double> matrix, std::int64_t rows, std::int64_t columns) {
  if (rows < 1 || columns < 1 || matrix.size() != static_cast<std::size_t>(rows * columns)) {
    throw ShapeError("a matrix of " + std::to_string(rows) + " x " + std::to_string(columns) + " was given " +
                     std::to_string(matrix.size()) + " numbers");
  }
  if (!std::all_of(matrix.begin(), matrix.end(), [](double value) { return std::isfinite(value); }))
    throw NumericError("a matrix has an element that is not finite");
}

}  // namespace

SymmetricEigen symmetric_eigen(std::span<const double> matrix, std::int64_t n, bool with_vectors) {
  check(matrix, n, n);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(
      ConstRows(matrix.data(), n, n), with_vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
  if (solver.info() != Eigen::Success) throw NumericError("the eigenvalues of a matrix did not converge");
  SymmetricEigen result{{solver.eigenvalues().begin(), solver.eigenvalues().end()}, {}};
  if (with_vectors) result.vectors.assign(solver.eigenvectors().data(), solver.eigenvectors().data() + n * n);
  return result;
}

std::vector<double> gram_matrix(std::span<const double> matrix, std::int64_t rows, std::int64_t columns,
                                ThreadPool& threads) {
  check(matrix, rows, columns);
  constexpr std::int64_t kBlock = 64;
  const ConstRows all(matrix.data(), rows, columns);
  std::vector<double> gram(static_cast<std::size_t>(rows * rows));
  Eigen::Map<Rows> result(gram.data(), rows, rows);
  // The blocks on and below the diagonal; those above are their transposes.
  const std::int64_t blocks = (rows + kBlock - 1) / kBlock;
  threads.run(blocks * (blocks + 1) / 2, [&](std::int64_t task, int) {
    std::int64_t row = 0;
    while ((row + 1) * (row + 2) / 2 <= task) ++row;
    const std::int64_t column = task - row * (row + 1) / 2;
    const std::int64_t first = row * kBlock, second = column * kBlock;
    const std::int64_t height = std::min(kBlock, rows - first), width = std::min(kBlock, rows - second);
    const Eigen::MatrixXd block = all.middleRows(first, height) * all.middleRows(second, width).transpose();
    if (row == column) {
      result.block(first, second, height, width) = Eigen::MatrixXd(block.selfadjointView<Eigen::Lower>());
    } else {
      result.block(first, second, height, width) = block;
      result.block(second, first, width, height) = block.transpose();
    }
  });
  return gram;
}

// Golub and Kahan, "Calculating the singular values and pseudo-inverse of a matrix", 1965: by reflections to an
// upper bidiagonal matrix of diagonal d and superdiagonal e; the symmetric tridiagonal matrix of diagonal zero
// and subdiagonal d_1, e_1, d_2, ..., d_n has its singular values and their negatives as eigenvalues. Eigen's
// BDCSVD (3.4.0) reads beyond its arrays at some matrices of low rank, and its JacobiSVD is far slower where
// there are hundreds of columns.
std::vector<double> singular_values(std::span<const double> matrix, std::int64_t rows, std::int64_t columns) {
  check(matrix, rows, columns);
  const ConstRows given(matrix.data(), rows, columns);
  const double largest = given.cwiseAbs().maxCoeff();
  const Eigen::Index n = std::min(rows, columns);
  if (largest == 0) return std::vector<double>(static_cast<std::size_t>(n));
  Eigen::MatrixXd m = rows >= columns ? Eigen::MatrixXd(given) : Eigen::MatrixXd(given.transpose());
  m /= largest;  // so that no square overflows or is lost
  if (m.rows() > n) {
    const Eigen::HouseholderQR<Eigen::Ref<Eigen::MatrixXd>> in_place(m);
    m = Eigen::MatrixXd(m.topRows(n).triangularView<Eigen::Upper>());
  }
  Eigen::VectorXd subdiagonal(2 * n - 1), workspace(n);
  double factor = 0;
  for (Eigen::Index k = 0; k < n; ++k) {
    const Eigen::Index height = n - k, width = n - k - 1;
    m.col(k).tail(height).makeHouseholderInPlace(factor, subdiagonal[2 * k]);
    m.bottomRightCorner(height, width)
        .applyHouseholderOnTheLeft(m.col(k).tail(height - 1), factor, workspace.data());
    if (width == 0) break;
    m.row(k).tail(width).makeHouseholderInPlace(factor, subdiagonal[2 * k + 1]);
    m.bottomRightCorner(width, width)
        .applyHouseholderOnTheRight(m.row(k).tail(width - 1).transpose(), factor, workspace.data());
  }
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver;
  solver.computeFromTridiagonal(Eigen::VectorXd::Zero(2 * n), subdiagonal, Eigen::EigenvaluesOnly);
  if (solver.info() != Eigen::Success) throw NumericError("the singular values of a matrix did not converge");
  const Eigen::VectorXd descending = largest * solver.eigenvalues().tail(n).reverse().cwiseMax(0.0);
  return {descending.begin(), descending.end()};
}

std::int64_t numerical_rank(std::span<const double> singular_values) {
  if (singular_values.empty()) return 0;
  return std::count_if(singular_values.begin(), singular_values.end(),
                       [&](double value) { return value > 1e-10 * singular_values.front(); });
}

std::vector<double> least_squares(std::span<const double> a, std::int64_t rows, std::int64_t columns,
                                  std::span<const double> b) {
  check(a, rows, columns);
  check(b, rows, 1);
  const Eigen::VectorXd x = ConstRows(a.data(), rows, columns)
                                .completeOrthogonalDecomposition()
                                .solve(-Eigen::Map<const Eigen::VectorXd>(b.data(), rows));
  return {x.begin(), x.end()};
}

BoundedLeastSquares bounded_least_squares(std::span<const double> a, std::int64_t rows, std::int64_t columns,
                                          std::span<const double> b, std::span<const double> low,
                                          std::span<const double> high) {
  check(a, rows, columns);
  check(b, rows, 1);
  check(low, columns, 1);
  check(high, columns, 1);
  const ConstRows matrix(a.data(), rows, columns);
  const Eigen::Map<const Eigen::VectorXd> start(b.data(), rows), lower(low.data(), columns),
      upper(high.data(), columns);
  enum class State { at_low, at_high, free };
  std::vector<State> state(static_cast<std::size_t>(columns), State::at_low);
  Eigen::VectorXd x = lower;
  Eigen::VectorXd residual = matrix * x + start;
  const double scale = matrix.norm() * (start.norm() + matrix.norm() * (lower.norm() + upper.norm()));
  Eigen::Index refused = -1;  // freed in vain a moment ago, by rounding
  for (std::int64_t round = 0; round < 10 * columns + 10; ++round) {
    // The bound whose release gains most, by the gradient.
    const Eigen::VectorXd gradient = matrix.transpose() * residual;
    double most = 1e-14 * scale;
    Eigen::Index chosen = -1;
    for (Eigen::Index j = 0; j < columns; ++j) {
      if (state[static_cast<std::size_t>(j)] == State::free || j == refused || lower[j] == upper[j]) continue;
      const double gain = state[static_cast<std::size_t>(j)] == State::at_low ? -gradient[j] : gradient[j];
      if (gain > most) {
        most = gain;
        chosen = j;
      }
    }
    if (chosen < 0) break;
    state[static_cast<std::size_t>(chosen)] = State::free;
    refused = -1;
    // The minimum over the free ones; where it is outside, as far as the first bound, which then holds.
    while (true) {
      std::vector<Eigen::Index> free;
      for (Eigen::Index j = 0; j < columns; ++j) {
        if (state[static_cast<std::size_t>(j)] == State::free) free.push_back(j);
      }
      if (free.empty()) break;
      Eigen::MatrixXd part(rows, static_cast<Eigen::Index>(free.size()));
      for (std::size_t f = 0; f < free.size(); ++f)
        part.col(static_cast<Eigen::Index>(f)) = matrix.col(free[f]);
      const Eigen::VectorXd move = part.completeOrthogonalDecomposition().solve(-residual);
      double reach = 1;
      std::size_t blocking = free.size();
      for (std::size_t f = 0; f < free.size(); ++f) {
        const double by = move[static_cast<Eigen::Index>(f)];
        const double room = (by > 0 ? upper[free[f]] : lower[free[f]]) - x[free[f]];
        if (std::abs(room) < reach * std::abs(by)) {
          reach = room / by;
          blocking = f;
        }
      }
      for (std::size_t f = 0; f < free.size(); ++f) x[free[f]] += reach * move[static_cast<Eigen::Index>(f)];
      if (blocking < free.size()) {
        const Eigen::Index j = free[blocking];
        const bool up = move[static_cast<Eigen::Index>(blocking)] > 0;
        state[static_cast<std::size_t>(j)] = up ? State::at_high : State::at_low;
        x[j] = up ? upper[j] : lower[j];
        if (j == chosen && reach == 0) refused = j;
      }
      residual = matrix * x + start;
      if (blocking == free.size()) break;
    }
  }
  return {{x.begin(), x.end()}, residual.norm()};
}

}  // namespace qmse
