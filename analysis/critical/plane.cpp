#include "analysis/critical/plane.h"

#include <algorithm>
#include <cmath>

#include "algebra/dense.h"
#include "base/error.h"
#include "random/random_stream.h"

namespace qmse {
namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

Plane filter_normalised_plane(std::span<const double> w, const std::vector<WeightRow>& rows,
                              std::uint64_t seed) {
  Plane plane;
  std::uint32_t number = 0;
  for (std::vector<double>* direction : {&plane.first, &plane.second}) {
    RandomStream random(seed, RandomPurpose::probe, ++number);
    direction->assign(w.size(), 0.0);
    for (const WeightRow& row : rows) {
      double ours = 0, theirs = 0;
      for (auto i = static_cast<std::size_t>(row.begin); i < static_cast<std::size_t>(row.begin + row.size);
           ++i) {
        (*direction)[i] = random.normal();
        ours += (*direction)[i] * (*direction)[i];
        theirs += w[i] * w[i];
      }
      const double factor = ours > 0 ? std::sqrt(theirs / ours) : 0;
      for (auto i = static_cast<std::size_t>(row.begin); i < static_cast<std::size_t>(row.begin + row.size);
           ++i)
        (*direction)[i] *= factor;
    }
  }
  return plane;
}

PathPlane path_plane(const std::vector<std::vector<double>>& path) {
  if (path.size() < 3) throw ShapeError("a plane is laid through a path of at least three points");
  const std::vector<double>& last = path.back();
  std::vector<std::vector<double>> away;  // from the last point
  for (const std::vector<double>& point : path) {
    if (point.size() != last.size()) throw ShapeError("a path's points have the same number of parameters");
    away.push_back(point);
    for (std::size_t i = 0; i < last.size(); ++i) away.back()[i] -= last[i];
  }
  // X X^T is small; eigenvectors u of it are X^T u / sqrt(value) of X^T X.
  const std::size_t count = path.size();
  std::vector<double> moments(count * count);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j <= i; ++j)
      moments[i * count + j] = moments[j * count + i] = dot(away[i], away[j]);
  }
  const SymmetricEigen eigen = symmetric_eigen(moments, static_cast<std::int64_t>(count));
  double total = 0;
  for (std::size_t i = 0; i < count; ++i) total += moments[i * count + i];
  if (!(total > 0)) throw ShapeError("a plane is laid through a path whose points are not all the same");
  PathPlane result;
  for (std::size_t e = count; e-- > 0;) result.explained.push_back(std::max(eigen.values[e], 0.0) / total);
  int number = 0;
  for (std::vector<double>* direction : {&result.plane.first, &result.plane.second}) {
    direction->assign(last.size(), 0.0);
    const std::size_t e = count - 1 - static_cast<std::size_t>(number++);
    // A path on a line has no second direction: one of length 0, so that the picture shows the line.
    if (!(eigen.values[e] > 1e-14 * eigen.values.back())) continue;
    for (std::size_t p = 0; p < count; ++p) {
      const double factor = eigen.vectors[e * count + p] / std::sqrt(eigen.values[e]);
      for (std::size_t i = 0; i < last.size(); ++i) (*direction)[i] += factor * away[p][i];
    }
  }
  for (std::size_t p = 0; p < count; ++p) {
    const double x = dot(away[p], result.plane.first), y = dot(away[p], result.plane.second),
                 distance = moments[p * count + p];
    result.along_first.push_back(x);
    result.along_second.push_back(y);
    result.projection_error.push_back(
        distance > 0 ? std::sqrt(std::max(distance - x * x - y * y, 0.0) / distance) : 0);
  }
  return result;
}

std::vector<ContourSegment> contour(std::span<const double> values, std::int64_t columns, std::int64_t rows,
                                    double level) {
  if (columns < 2 || rows < 2 || values.size() != static_cast<std::size_t>(columns * rows))
    throw ShapeError("a contour is drawn on a grid of at least 2 x 2 values");
  std::vector<ContourSegment> segments;
  for (std::int64_t row = 0; row + 1 < rows; ++row) {
    for (std::int64_t column = 0; column + 1 < columns; ++column) {
      // Corners counter-clockwise, and where the level is crossed on the edge to the next one.
      const double x[] = {0, 1, 1, 0}, y[] = {0, 0, 1, 1};
      double corner[4], middle = 0;
      bool finite = true;
      for (int c = 0; c < 4; ++c) {
        corner[c] = values[static_cast<std::size_t>((row + static_cast<std::int64_t>(y[c])) * columns +
                                                    column + static_cast<std::int64_t>(x[c]))];
        finite = finite && std::isfinite(corner[c]);
        middle += corner[c] / 4;
      }
      if (!finite) continue;
      double crossing_x[4], crossing_y[4];
      int count = 0;
      for (int c = 0; c < 4; ++c) {
        const int next = (c + 1) % 4;
        if ((corner[c] > level) == (corner[next] > level)) continue;
        const double t = (level - corner[c]) / (corner[next] - corner[c]);
        crossing_x[count] = static_cast<double>(column) + x[c] + t * (x[next] - x[c]);
        crossing_y[count] = static_cast<double>(row) + y[c] + t * (y[next] - y[c]);
        ++count;
      }
      const auto join = [&](int a, int b) {
        segments.push_back({crossing_x[a], crossing_y[a], crossing_x[b], crossing_y[b]});
      };
      if (count == 2) join(0, 1);
      if (count == 4) {  // a saddle: the value in the middle says which corners belong together
        const bool together = (middle > level) == (corner[0] > level);
        join(0, together ? 1 : 3);
        join(together ? 2 : 1, together ? 3 : 2);
      }
    }
  }
  return segments;
}

}  // namespace qmse
