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

// Lines join values; dots and circles stand alone, and a circle hides no dot.
enum class CurveMark { line, dots, circles };

// One of so many colours and one of so many dashes.
struct CurveStyle {
  std::size_t colour = 0, dash = 0;
  CurveMark mark = CurveMark::line;
};
inline constexpr std::size_t kColours = 7, kDashes = 6;
// Its colour as "#0072b2"; told apart by colour-blind readers, with a contrast of 3:1 and more on white and, as
// report_style.css turns it, on dark pages.
const char* colour_text(std::size_t colour);
// The lengths of strokes and gaps: "9,3"; empty: a solid line.
const char* dash_text(std::size_t dash);

// Values over x. A value that is not finite is a gap. Curves with the same label look the same in all panels
// of a figure, and have one entry in its legend; where curves with different labels look the same, each row of
// panels has a legend of its own.
struct Curve {
  std::string label;
  std::vector<double> x, mean;
  std::vector<double> low = {}, high = {};  // a band around the mean; empty: none
  std::vector<Strand> strands = {};
  CurveMark mark = CurveMark::line;      // measurements are dots, what theory says beside them circles
  std::optional<CurveStyle> style = {};  // not given: that of its label's place among those of the figure
};

// So many curves look different from each other.
inline constexpr std::size_t kMaxStyles = kColours * kDashes;

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

// A panel for a page: an <svg> element without the figure's title, legend and caption, whose curves are groups
// of class "curve" with their number in data-curve; and the numbers in it, as JSON:
// {"x": [left, right, low, high, logarithmic], "y": [bottom, top, ...], "curves": [{"label", "x", "y"}, ...]},
// places in the picture's own units.
struct DrawnPanel {
  std::string svg, numbers;
  std::vector<std::string> labels;  // of the curves, and how each is drawn
  std::vector<CurveStyle> styles;
};
// `id` begins the names within the pictures: another one for each figure of a page.
std::vector<DrawnPanel> draw_panels(const Figure& figure, const std::string& id);

// Writes <stem>.svg and <stem>.png, each completely or not at all.
void write_figure(const Figure& figure, const std::filesystem::path& stem);

}  // namespace qmse
