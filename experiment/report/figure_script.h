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

// The parts of two scripts, of pictures that look the same.
struct FigureScript {
  std::string data, svg_terminal, png_terminal, drawing;
  std::vector<std::string>
      owners;  // the label that each of gnuplot's plots is of, in its order; empty: of none
  std::string svg() const;
  std::string png() const;
};

// ConfigError where the picture would be larger than gnuplot draws.
FigureScript script_of(const Figure& figure);

// What DrawnPanel needs.
struct PanelScript {
  FigureScript script;
  std::map<std::string, CurveStyle> styles;  // of each label of the whole
  Json numbers;                              // DrawnPanel's
};

// A panel by itself, without a legend. Its curves look as they do in `whole`, and its title takes as much room.
PanelScript script_of(const Panel& panel, const Figure& whole);

}  // namespace qmse
