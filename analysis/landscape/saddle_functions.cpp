#include "analysis/landscape/saddle_functions.h"

#include <algorithm>
#include <cmath>

namespace qmse {

PlaneEnd descend_in_plane(double x, double y, double step) {
  for (int k = 0; k < 5000; ++k) {
    x -= step * x;
    y -= step * (y * y * y - y);
    if (!(std::abs(y) < 1e6)) return PlaneEnd::diverged;
    if (std::abs(std::abs(y) - 1) < 1e-9 && std::abs(x) < 1e-9) return PlaneEnd::minimum;
  }
  return PlaneEnd::saddle;
}

std::int64_t steps_to_leave(double y, double step, std::int64_t most) {
  std::int64_t k = 0;
  for (; k < most && std::abs(y) < 0.5; ++k) y -= step * (y * y * y - y);
  return k;
}

double JumpFunction::slope(double y) const {
  const double size = std::abs(y), sign = y < 0 ? -1.0 : 1.0;
  if (size <= 0.5) return -y;
  if (size >= 1) return y / jump_;
  // Hermite: values -1/2 and 1/jump, derivatives -1 and 1/jump, over an interval of length 1/2.
  const double t = 2 * size - 1, h = 0.5;
  const double h00 = (1 + 2 * t) * (1 - t) * (1 - t), h10 = t * (1 - t) * (1 - t), h01 = t * t * (3 - 2 * t),
               h11 = t * t * (t - 1);
  return sign * (-0.5 * h00 - h * h10 + h01 / jump_ + h * h11 / jump_);
}

double JumpFunction::lipschitz() const {
  double most = std::max(1.0, 1 / jump_);
  constexpr int kPoints = 20000;  // the derivative between is a parabola: the error is below 1e-7
  for (int i = 0; i < kPoints; ++i) {
    const double y = 0.5 + 0.5 * i / kPoints, d = 0.5 / kPoints;
    most = std::max(most, std::abs(slope(y + d) - slope(y)) / d);
  }
  return most;
}

}  // namespace qmse
