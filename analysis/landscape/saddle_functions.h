// The two functions on which the saddle experiment knows every answer.
#pragma once

#include <cstdint>

namespace qmse {

// f(x, y) = x^2 / 2 - y^2 / 2 + y^4 / 4: minima at (0, +-1), a strict saddle at (0, 0), and no bound on the
// curvature far away.
enum class PlaneEnd { minimum, saddle, diverged };
// Where gradient descent with this step ends; `saddle` is what is at neither after 5,000 steps.
PlaneEnd descend_in_plane(double x, double y, double step);
// Steps from (0, y) until |y| >= 1/2, at most `most`.
std::int64_t steps_to_leave(double y, double step, std::int64_t most);

// phi with phi'(y) = -y for |y| <= 1/2 and y / jump for |y| >= 1, a cubic between that is C^1: 0 is a
// maximum, and the curvature is at most lipschitz(). One step of length `jump` lands exactly on 0 from every
// |y| >= 1.
class JumpFunction {
 public:
  explicit JumpFunction(double jump) : jump_(jump) {}
  double slope(double y) const;
  double lipschitz() const;

 private:
  double jump_;
};

}  // namespace qmse
