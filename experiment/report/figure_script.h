// A figure as gnuplot draws it: everything in its place, as scripts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "experiment/report/figure.h"

namespace qmse {

// Each label once, in the order in which they come.
std::vector<std::string> labels_of(const Figure& figure);

struct FigureScript {
  std::string svg, png;  // the two scripts, of pictures that look the same
  std::vector<std::string>
      owners;  // which label each plot of the SVG is of, in gnuplot's order; empty: of none
  std::map<std::string, CurveStyle> styles;  // of each label
  Json numbers;                              // DrawnPanel's, of a figure with one panel
};

// Curves look as they do in `whole`, which `figure` is a part of, and titles take as much room. ConfigError where
// the picture would be larger than gnuplot draws.
FigureScript script_of(const Figure& figure, const Figure& whole, bool legend = true);

}  // namespace qmse
