// What a point in parameter space is: critical or not, and of which kind. "||gradient|| is small" is not
// enough: where the gradient is small because the Hessian maps it to nothing, a search comes to rest at
// points that are not critical (Frye et al. 2021), and zero eigenvalues need a gap to be counted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "analysis/mlp/mlp.h"

namespace qmse {

struct CriticalTolerance {
  double gradient = 1e-10;        // of a critical point
  double flatness = 1e-3;         // below it a point that is not critical is gradient-flat
  double zero_eigenvalue = 1e-8;  // in units of ||H||
  double certain_gap = 1e3;       // between the eigenvalues that count as zero and the others
};

struct CriticalCertificate {
  double loss = 0, gradient = 0;
  double newton_distance = 0;  // ||H+ gradient||: how far the critical point is, to first order
  double flatness = 0;         // ||H gradient|| / (||H|| ||gradient||)
  bool critical = false, gradient_flat = false;
  std::int64_t index = 0,
               nullity = 0;  // eigenvalues below -tau, and within tau of 0, tau = zero_eigenvalue ||H||
  double tau = 0;
  double largest_zero = 0,
         smallest_other = 0;     // absolute values on either side of tau; 0 where there is none
  bool uncertain = false;        // they are not certain_gap apart
  std::vector<double> spectrum;  // ascending

  bool is_minimum() const { return critical && index == 0; }
};

// From the whole Hessian: for networks of up to some 2,000 parameters, whose loss is smooth at w.
CriticalCertificate certify(Mlp& network, std::span<const double> w, const CriticalTolerance& tolerance = {});

}  // namespace qmse
