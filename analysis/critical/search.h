// Finding critical points of any index, and minima, of small smooth networks.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/mlp/mlp.h"

namespace qmse {

struct SearchRule {
  std::int64_t iterations = 150;
  double target = 1e-11;  // ||gradient|| at which it ends
};

struct SearchEnd {
  std::vector<double> weights;
  double gradient = 0;
  std::int64_t iterations = 0;
};

// Levenberg-Marquardt on ||gradient||^2: steps -H (H^2 + mu I)^-1 gradient, which do not care whether the
// point they go to is a minimum. Ends at the target, after the iterations, or where no step
// lowers ||gradient||^2.
SearchEnd find_critical_point(Mlp& network, std::vector<double> start, const SearchRule& rule = {});

// Newton steps on the loss with negative curvature reflected and short steps where the loss does not fall:
// goes to a local minimum, quadratically at its end.
SearchEnd find_minimum(Mlp& network, std::vector<double> start, const SearchRule& rule = {});

}  // namespace qmse
