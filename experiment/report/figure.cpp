#include "experiment/report/figure.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "experiment/report/figure_script.h"
#include "experiment/report/gnuplot.h"
#include "experiment/report/html.h"

namespace qmse {
namespace {

// Okabe and Ito's colours, orange and sky blue darker than theirs, for contrast; with the dashes, which change
// at another pace, 42 styles that also differ in black and white print.
constexpr std::array<const char*, kColours> kColourTexts = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                            "#b8860b", "#2a8fd0", "#555555"};
constexpr std::array<const char*, kDashes> kDashTexts = {"", "9,3", "3,3", "9,3,2,3", "16,4", "2,2,2,6"};

void check(const Figure& figure) {
  if (figure.panels.empty() || figure.columns < 1) throw ShapeError("a figure needs panels and columns");
  for (const Panel& panel : figure.panels) {
    for (const Curve& curve : panel.curves) {
      const std::size_t count = curve.x.size();
      const auto fits = [&](const std::vector<double>& band) { return band.empty() || band.size() == count; };
      if (curve.mean.size() != count || !fits(curve.low) || !fits(curve.high) ||
          curve.low.empty() != curve.high.empty()) {
        throw ShapeError("curve " + in_quotes(curve.label) + " has " + std::to_string(count) + " x, " +
                         std::to_string(curve.mean.size()) + " values and a band of " +
                         std::to_string(curve.low.size()) + " and " + std::to_string(curve.high.size()));
      }
      for (const Strand& strand : curve.strands) {
        if (strand.x.size() != strand.y.size())
          throw ShapeError("a strand of curve " + in_quotes(curve.label) + " has " +
                           std::to_string(strand.x.size()) + " x and " + std::to_string(strand.y.size()) +
                           " values");
      }
    }
    if (panel.inset && (panel.log_x || panel.log_y)) throw ShapeError("an inset needs linear axes");
    if (panel.inset && !(panel.inset->x_low < panel.inset->x_high)) {
      throw ShapeError("the inset of panel " + in_quotes(panel.title) + " is empty");
    }
  }
}

// A picture without its end is not one: gnuplot can fail to write, and say nothing.
void check_end(const std::string& picture, std::string_view end) {
  if (!std::string_view(picture).ends_with(end))
    throw Error("gnuplot has not written the end of its picture; is there memory left?");
}

std::string draw_svg(const FigureScript& script) {
  std::string svg = run_gnuplot(script.svg());
  svg.erase(svg.find_last_not_of(" \r\n") + 1);
  check_end(svg, "</svg>");
  // gnuplot leaves a > in text as it is, which XML allows but here.
  for (std::size_t at = 0; (at = svg.find("]]>", at)) != std::string::npos;) svg.replace(at, 3, "]]&gt;");
  return svg + "\n";
}

void replace_all(std::string& text, std::string_view from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// What a browser shows where the pointer rests, and readers hear: words in place of gnuplot's names.
void name_parts(std::string& svg, const std::string& title, const std::vector<std::string>& owners,
                const std::vector<std::string>& numbered) {
  const std::size_t begin = svg.find("<title>"), end = svg.find("</desc>");
  if (begin < end && end != std::string::npos)
    svg.replace(begin, end + 7 - begin, "<title>" + escape_html(title) + "</title>");
  constexpr std::string_view kPlot = "<g id=\"gnuplot_plot_", kTitleEnd = "</title>";
  std::size_t plot = 0;
  for (std::size_t at = 0; (at = svg.find(kPlot, at)) != std::string::npos; ++plot) {
    const std::size_t last = svg.find(kTitleEnd, at);
    if (last == std::string::npos) break;
    const std::string owner = plot < owners.size() ? owners[plot] : "";
    const auto number = std::find(numbered.begin(), numbered.end(), owner) - numbered.begin();
    const std::string named = owner.empty() ? "<g>"
                                            : "<g class=\"curve\" data-curve=\"" + std::to_string(number) +
                                                  "\"><title>" + escape_html(owner) + "</title>";
    svg.replace(at, last + kTitleEnd.size() - at, named);
    at += named.size();
  }
}

std::string title_of(const Panel& panel) {
  return panel.title + ": " + panel.y_label + " over " + panel.x_label;
}

std::string draw_png(const FigureScript& script) {
  std::string png = run_gnuplot(script.png());
  check_end(png, std::string_view("\0\0\0\0IEND\xae\x42\x60\x82", 12));  // an empty chunk, with its CRC
  return png;
}

}  // namespace

const char* colour_text(std::size_t colour) { return kColourTexts[colour % kColours]; }
const char* dash_text(std::size_t dash) { return kDashTexts[dash % kDashes]; }

DrawnFigure draw_figure(const Figure& figure) {
  check(figure);
  const FigureScript script = script_of(figure);
  std::string svg = draw_svg(script);
  name_parts(svg, figure.title.empty() ? title_of(figure.panels.front()) : figure.title, script.owners,
             labels_of(figure));
  return {std::move(svg), draw_png(script)};
}

std::vector<DrawnPanel> draw_panels(const Figure& figure, const std::string& id) {
  check(figure);
  std::vector<DrawnPanel> panels;
  for (const Panel& panel : figure.panels) {
    const auto [script, styles, numbers] = script_of(panel, figure);
    DrawnPanel drawn;
    drawn.labels = labels_of({"", {panel}});
    for (const std::string& label : drawn.labels) drawn.styles.push_back(styles.at(label));
    drawn.numbers = numbers.dump();
    drawn.svg = draw_svg(script);
    name_parts(drawn.svg, title_of(panel), script.owners, drawn.labels);
    // A page has one space of names, and other sizes than the picture's own.
    drawn.svg.erase(0, drawn.svg.find("<svg"));
    const std::string prefix = id + "-" + std::to_string(panels.size() + 1) + "-";
    for (const char* name : {"gp", "textbox", "greybox"}) {
      replace_all(drawn.svg, std::string("id='") + name, "id='" + prefix + name);
      replace_all(drawn.svg, std::string("'#") + name, "'#" + prefix + name);
    }
    replace_all(drawn.svg, "<g id=\"gnuplot_canvas\">", "<g>");
    const std::size_t size = drawn.svg.find("width=\""), box = drawn.svg.find("viewBox");
    if (size < box) drawn.svg.erase(size, box - size);
    panels.push_back(std::move(drawn));
  }
  return panels;
}

void write_figure(const Figure& figure, const std::filesystem::path& stem) {
  const DrawnFigure picture = draw_figure(figure);
  for (const auto& [ending, bytes] : {std::pair(".svg", &picture.svg), std::pair(".png", &picture.png)}) {
    std::filesystem::path file = stem;
    file += ending;
    write_file_atomically(file, *bytes);
  }
}

}  // namespace qmse
