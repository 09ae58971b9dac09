// The axes of a panel: what they show, and where they have numbers. A place is what is drawn at equal
// distances: the value, or on a logarithmic axis its logarithm to base 10.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "experiment/report/figure.h"

namespace qmse {

struct AxisRange {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();

  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  double span() const { return high - low; }
};

// NaN where a logarithmic axis has no place for the value.
double placed(double value, bool logarithmic);
// A range of places in the axis' own numbers.
AxisRange unplaced(const AxisRange& range, bool logarithmic);

// In places.
AxisRange x_range(const Panel& panel);
// Of what the curves and bands have at these x. Strands may double it on either side: the last values of a
// run that diverged must not make all others a flat line.
AxisRange y_range(const Panel& panel, const AxisRange& x);

// Where the axes have numbers, for a range of places: what gnuplot's `set xtics` takes, a step, a factor or a
// list. Whole x have whole numbers.
std::string x_tics(const Panel& panel, const AxisRange& range);
std::string y_tics(const Panel& panel, const AxisRange& range);
// At 1, 2 or 5 times a power of ten, at most so far apart.
std::string linear_tics(double most);

}  // namespace qmse
