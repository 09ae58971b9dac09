// The curve of runs that differ in their seeds.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "experiment/report/figure.h"

namespace qmse {

// Values of one run over x.
struct RunLine {
  std::vector<double> x, y;
  bool whole = true;  // false: it ended early, and a mean that loses it half-way would change without reason
};

// The mean of the whole lines, which are of one length, with a band of their standard deviation where there
// are two; each of the others is a strand. A run without a value leaves a gap: a mean over the others would
// hide it.
Curve mean_curve(const std::string& label, std::span<const RunLine> lines);

// "Mean over 2 to 3 seeds; bands: standard deviation." of curves that are means of so many; "No curve is a
// mean." where none is, "One seed for each curve." where none is of more.
std::string seeds_caption(std::span<const std::size_t> seeds);

// A sentence that explains strands.
inline constexpr const char* kStrandsCaption =
    "Thin lines with a cross: single runs that ended early, up to where they did; they are not in the mean.";

}  // namespace qmse
