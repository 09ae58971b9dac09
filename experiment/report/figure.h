// Pictures of curves, drawn by gnuplot.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace qmse {

// A single run beside a mean that it is no part of: a thin line up to where it ends, there a cross.
struct Strand {
  std::vector<double> x, y;
};

// Values over x. A value that is not finite is a gap. Curves with the same label look the same in all panels
// of a figure, and have one entry in its legend.
struct Curve {
  std::string label;
  std::vector<double> x, mean;
  std::vector<double> low = {}, high = {};  // a band around the mean; empty: none
  std::vector<Strand> strands = {};
  bool cloud = false;  // points that no line joins
};

// So many curves look different from each other.
inline constexpr std::size_t kMaxStyles = 28;

// A small plot in the panel that shows x_low <= x <= x_high enlarged.
struct Inset {
  double x_low = 0, x_high = 0;
};

struct Panel {
  std::string title, x_label, y_label;
  std::vector<Curve> curves;
  std::optional<Inset> inset = {};
  std::string note = {};              // below the title: what a reader must know of these curves
  bool log_x = false, log_y = false;  // logarithmic axes, on which values of 0 and below are gaps
};

struct Figure {
  std::string title;
  std::vector<Panel> panels;  // row after row
  int columns = 1;
  std::string caption = {};  // below the panels; broken into lines
};

struct DrawnFigure {
  std::string svg, png;  // the bytes of the files
};

// Any text is shown as it stands: nothing in it is markup or a command. Throws ShapeError where the sizes do
// not fit together, ConfigError where the picture would be larger than gnuplot draws, Error where gnuplot is
// missing or fails.
DrawnFigure draw_figure(const Figure& figure);

// Each panel as an SVG file of its own, without the figure's title and caption.
std::vector<std::string> draw_panels(const Figure& figure);

// Writes <stem>.svg and <stem>.png, each completely or not at all.
void write_figure(const Figure& figure, const std::filesystem::path& stem);

}  // namespace qmse
