// Planes through a point of parameter space on which a loss is drawn, and what they show of a path.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "analysis/critical/matching.h"

namespace qmse {

struct Plane {
  std::vector<double> first, second;  // directions; of a trajectory's orthonormal, random ones have w's scale
};

// Random directions with each unit's incoming weights (a row, a filter) scaled to the norm that they have at
// w, biases 0 (Li et al., "Visualizing the loss landscape of neural nets", 2018). `rows`: where each unit's
// weights begin and how many they are.
struct WeightRow {
  std::int64_t begin = 0, size = 0;
};
Plane filter_normalised_plane(std::span<const double> w, const std::vector<WeightRow>& rows,
                              std::uint64_t seed);

// The two directions with the largest second moments of the path's points about its last one.
struct PathPlane {
  Plane plane;
  std::vector<double> explained;  // shares of the sum of squared distances to the last point, all directions,
                                  // descending
  std::vector<double> along_first, along_second;  // the points' coordinates in the plane, from the last one
  // ||what the plane does not show|| / ||distance to the last point||, for each; 0 for the last one.
  std::vector<double> projection_error;
};
// `path`: at least three points, the last one that of the plane. ShapeError for fewer, or where all are equal.
PathPlane path_plane(const std::vector<std::vector<double>>& path);

// The lines on which a function, known on a grid of columns x rows (row by row), has this level, as pairs of
// points: marching squares. Squares with a corner that is not finite are left out.
struct ContourSegment {
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // in units of the grid, from 0 to columns - 1 and rows - 1
};
std::vector<ContourSegment> contour(std::span<const double> values, std::int64_t columns, std::int64_t rows,
                                    double level);

}  // namespace qmse
