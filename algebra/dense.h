// Dense linear algebra of small matrices, by Eigen: compiled into the program for one instruction set, so
// that its bits, too, depend on the build alone. Matrices are arrays of rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"

namespace qmse {

struct SymmetricEigen {
  std::vector<double> values;   // ascending
  std::vector<double> vectors;  // row i: the unit vector of values[i]; empty where only values were asked for
};

// Of a symmetric matrix of n x n numbers. ShapeError for another size, NumericError where a number is
// not finite.
SymmetricEigen symmetric_eigen(std::span<const double> matrix, std::int64_t n, bool with_vectors = true);

// matrix matrix^T, of rows x columns numbers: the same bits for every number of threads. Errors as above.
std::vector<double> gram_matrix(std::span<const double> matrix, std::int64_t rows, std::int64_t columns,
                                ThreadPool& threads);

// Descending, min(rows, columns) of them. Errors as above.
std::vector<double> singular_values(std::span<const double> matrix, std::int64_t rows, std::int64_t columns);

// The number of singular values above 1e-10 of the largest.
std::int64_t numerical_rank(std::span<const double> singular_values);

// x that minimises ||a x + b||, rows x columns with rows >= 1, columns >= 1; of all such x the shortest.
std::vector<double> least_squares(std::span<const double> a, std::int64_t rows, std::int64_t columns,
                                  std::span<const double> b);

// x with low <= x <= high that minimises ||a x + b||, and the minimum: the active-set method of Stark and
// Parker
// ("Bounded-variable least-squares", 1995).
struct BoundedLeastSquares {
  std::vector<double> x;
  double norm = 0;
};
BoundedLeastSquares bounded_least_squares(std::span<const double> a, std::int64_t rows, std::int64_t columns,
                                          std::span<const double> b, std::span<const double> low,
                                          std::span<const double> high);

}  // namespace qmse
