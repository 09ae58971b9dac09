#include "experiment/report/figure_script.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/number_text.h"
#include "experiment/report/axes.h"
#include "experiment/report/gnuplot.h"
#include "experiment/run/plain_text.h"

namespace qmse {
namespace {

constexpr const char* kInk = "#333333";
constexpr const char* kGrid = "#d4d4d4";
constexpr const char* kPaper = "#ffffff";

// Lengths in pixels of the SVG.
constexpr double kPanelWidth = 460, kPanelHeight = 334;
constexpr double kLeft = 66, kRight = 18, kTop = 34, kBottom = 58;  // within a panel
constexpr double kEdge = 14;                                        // around everything
constexpr double kTitleHeight = 30, kTitleRow = 18, kNoteRow = 15, kLegendHeight = 22, kCaptionHeight = 17;
constexpr double kKeyLength = 34;     // a line in the legend
constexpr double kMaxPixels = 32767;  // cairo's, in each direction
constexpr double kFont = 13, kTitleFont = 16, kSmallFont = 11;
constexpr double kLetter = 0.6;         // mean width of a character, in font sizes
constexpr std::size_t kFewPoints = 24;  // so few are marked one by one

std::string number(double value) { return shortest_text(value); }

std::string pair(double x, double y) { return number(x) + "," + number(y); }

std::string font(double size) { return " font '," + number(size) + "'"; }

bool finite(const Strand& strand, std::size_t i) {
  return std::isfinite(strand.x[i]) && std::isfinite(strand.y[i]);
}

// Up to its last finite value.
std::size_t finite_length(const Strand& strand) {
  std::size_t length = strand.x.size();
  while (length > 0 && !finite(strand, length - 1)) --length;
  return length;
}

// A figure as a gnuplot script. Everything is placed by hand, so that both formats look the same.
class Script {
 public:
  // Curves look as they do in `whole`, which `figure` is a part of, and titles take as much room.
  Script(const Figure& figure, const Figure& whole, bool legend)
      : figure_(figure), labels_(labels_of(figure)) {
    const std::vector<std::string> all = labels_of(whole);
    for (std::size_t i = 0; i < all.size(); ++i) styles_[all[i]] = {i % kColours, i % kDashes};
    for (const Panel& panel : whole.panels) {
      for (const Curve& curve : panel.curves) {
        if (curve.style) styles_[curve.label] = *curve.style;
        styles_[curve.label].mark = curve.mark;
      }
    }
    columns_ = std::min(figure.columns, static_cast<int>(figure.panels.size()));
    for (const Panel& panel : whole.panels) {
      title_rows_ = std::max(title_rows_, title_of(panel).size());
      note_rows_ = std::max(note_rows_, note_of(panel).size());
    }
    panel_height_ = kPanelHeight + static_cast<double>(title_rows_ - 1) * kTitleRow +
                    static_cast<double>(note_rows_) * kNoteRow;
    const int rows = (static_cast<int>(figure.panels.size()) + columns_ - 1) / columns_;
    width_ = columns_ * kPanelWidth + 2 * kEdge;
    legend_above_.resize(static_cast<std::size_t>(rows));
    if (legend) place_legend();
    caption_ = wrap_text(plain_text(figure.caption), letters(width_ - 3 * kEdge, kSmallFont));
    if (!figure.title.empty()) head_ += kTitleHeight;
    head_ += kEdge;
    const double foot = caption_.empty() ? 0 : static_cast<double>(caption_.size()) * kCaptionHeight + 8;
    height_ = head_ + top_of(static_cast<std::size_t>(rows)) + foot + kEdge;
    if (std::max(2 * width_, 2 * height_) > kMaxPixels) {
      throw ConfigError("a picture of " + std::to_string(figure.panels.size()) + " panels and " +
                        counted(labels_.size(), "curve") +
                        " is too large to be drawn: draw fewer measures or runs at a time");
    }
  }

  const std::map<std::string, CurveStyle>& styles() const { return styles_; }

  // {"x": [left, right, low, high, logarithmic], ...} of the only panel; see DrawnPanel.
  Json numbers() const {
    const Panel& panel = figure_.panels.front();
    const Frame at = frame_of(0);
    const AxisRange x = x_range(panel), y = y_range(panel, x);
    Json json = {{"x", {at.x0, at.x1, x.low, x.high, panel.log_x}},
                 {"y", {at.y0, at.y1, y.low, y.high, panel.log_y}}};
    json["curves"] = Json::array();
    for (const Curve& curve : panel.curves) {
      Json values = {{"label", plain_text(curve.label)}, {"x", Json::array()}, {"y", Json::array()}};
      for (std::size_t i = 0; i < curve.x.size(); ++i) {
        if (!std::isfinite(curve.x[i]) || !std::isfinite(curve.mean[i])) continue;
        values["x"].push_back(curve.x[i]);
        values["y"].push_back(curve.mean[i]);
      }
      json["curves"].push_back(std::move(values));
    }
    return json;
  }

  FigureScript parts() const {
    return {data(), "set terminal svg size " + pair(width_, height_) + look() + "\n",
            "set terminal pngcairo size " + pair(2 * width_, 2 * height_) + look() +
                " fontscale 1.5 linewidth 2 pointscale 2\n",
            drawing(), owners()};
  }

 private:
  // Which label each of gnuplot's plots is of, in its order; empty: of none.
  std::vector<std::string> owners() const {
    std::vector<std::string> all = {""};  // the page's
    for (const Panel& panel : figure_.panels) {
      for (int times = panel.inset ? 2 : 1; times > 0; --times) {
        Plots plots = plots_of(panel);
        for (auto* each : {&plots.bands, &plots.lines, &plots.crosses})
          all.insert(all.end(), each->begin(), each->end());
        all.emplace_back();
      }
    }
    return all;
  }

  static std::size_t letters(double width, double font_size) {
    return static_cast<std::size_t>(width / (kLetter * font_size));
  }

  static std::string look() {
    return " noenhanced font 'sans-serif," + number(kFont) + "' background rgb '" + kPaper + "'";
  }

  static std::vector<std::string> title_of(const Panel& panel) {
    return wrap_text(plain_text(panel.title), letters(kPanelWidth - kLeft - kRight, kFont + 1));
  }

  static std::vector<std::string> note_of(const Panel& panel) {
    return wrap_text(plain_text(panel.note), letters(kPanelWidth - kLeft - kRight, kSmallFont));
  }

  // Columns as wide as the longest label needs.
  void place_legend() {
    if (labels_.empty() || (labels_.size() == 1 && labels_.front().empty())) return;
    std::size_t longest = 0;
    for (const std::string& label : labels_) longest = std::max(longest, text_length(plain_text(label)));
    const double room = width_ - 4 * kEdge;
    legend_width_ = std::min(room, kKeyLength + 28 + static_cast<double>(longest) * kLetter * kFont);
    const auto count = static_cast<double>(labels_.size());
    legend_columns_ = static_cast<std::size_t>(std::min(count, std::floor(room / legend_width_)));
    legend_above_.front() = labels_;
    // Where different curves look alike, each row of panels has those of its own above it.
    std::set<std::tuple<std::size_t, std::size_t, CurveMark>> looks;
    for (const std::string& label : labels_) {
      const CurveStyle& style = styles_.at(label);
      looks.emplace(style.colour, style.dash, style.mark);
    }
    if (looks.size() == labels_.size()) return;
    for (std::size_t row = 0; row < legend_above_.size(); ++row) {
      const auto columns = static_cast<std::size_t>(columns_);
      Figure part;
      for (std::size_t p = row * columns; p < std::min((row + 1) * columns, figure_.panels.size()); ++p)
        part.panels.push_back(figure_.panels[p]);
      legend_above_[row] = labels_of(part);
    }
  }

  double legend_height(std::size_t row) const {
    const std::size_t count = legend_above_[row].size();
    return count == 0 ? 0 : static_cast<double>((count - 1) / legend_columns_ + 1) * kLegendHeight;
  }
  // Where a row of panels begins, its legend with it, below the head.
  double top_of(std::size_t row) const {
    double top = static_cast<double>(row) * panel_height_;
    for (std::size_t before = 0; before < row; ++before) top += legend_height(before);
    return top;
  }

  // Where a panel's axes are: left, bottom, right, top.
  struct Frame {
    double x0, y0, x1, y1;
  };
  Frame frame_of(std::size_t p) const {
    const auto columns = static_cast<std::size_t>(columns_);
    const double left = kEdge + static_cast<double>(p % columns) * kPanelWidth;
    const std::size_t row = p / columns;
    const double bottom = head_ + top_of(row) + legend_height(row) + panel_height_ - kBottom;
    return {left + kLeft, bottom, left + kPanelWidth - kRight, bottom - (kPanelHeight - kBottom - kTop)};
  }

  // Whose bands, lines with their points, and crosses a panel has, in the order in which they are drawn.
  struct Plots {
    std::vector<std::string> bands, lines, crosses;
  };
  static Plots plots_of(const Panel& panel) {
    Plots plots;
    for (const Curve& curve : panel.curves) {
      const auto strands =
          static_cast<std::size_t>(std::count_if(curve.strands.begin(), curve.strands.end(),
                                                 [](const Strand& each) { return finite_length(each) > 0; }));
      plots.lines.insert(plots.lines.end(), strands, curve.label);
      plots.crosses.insert(plots.crosses.end(), strands, curve.label);
      if (curve.x.empty()) continue;
      if (!curve.low.empty()) plots.bands.push_back(curve.label);
      plots.lines.insert(plots.lines.end(),
                         curve.mark == CurveMark::line && curve.x.size() <= kFewPoints ? 2 : 1, curve.label);
    }
    return plots;
  }

  // Positions as gnuplot has them: shares of the whole, from the lower left.
  std::string at(double x, double y) const { return pair(x / width_, 1 - y / height_); }

  std::string style(const std::string& label) const {
    return std::string(" lc rgb '") + colour_text(styles_.at(label).colour) + "'";
  }
  // Few dots are large enough to be found, many small enough to be told apart.
  static std::string symbol(CurveMark mark, std::size_t count) {
    if (mark == CurveMark::circles) return " pt 6 ps 0.75 lw 1.2";
    const double size = count <= 100 ? 0.55 : count <= 300 ? 0.45 : 0.35;
    return " pt 7 ps " + number(size);
  }
  std::string dashes(const std::string& label) const {
    const std::string lengths = dash_text(styles_.at(label).dash);
    return lengths.empty() ? " dt solid" : " dt (" + lengths + ")";
  }

  static std::string block(std::size_t panel, std::size_t curve) {
    return "$d" + std::to_string(panel) + "_" + std::to_string(curve);
  }

  static std::string block(std::size_t panel, std::size_t curve, std::size_t strand) {
    return block(panel, curve) + "_" + std::to_string(strand);
  }

  // A gap is an empty line: it breaks lines and bands alike.
  std::string data() const {
    std::string text;
    for (std::size_t p = 0; p < figure_.panels.size(); ++p) {
      const Panel& panel = figure_.panels[p];
      const AxisRange y = unplaced(y_range(panel, x_range(panel)), panel.log_y);
      for (std::size_t c = 0; c < panel.curves.size(); ++c) {
        const Curve& curve = panel.curves[c];
        for (std::size_t k = 0; k < curve.strands.size(); ++k) {
          const Strand& strand = curve.strands[k];
          text += block(p, c, k) + " << EOD\n";
          for (std::size_t i = 0; i < strand.x.size(); ++i) {
            if (finite(strand, i)) text += number(strand.x[i]) + ' ' + number(strand.y[i]);
            text += '\n';
          }
          text += "EOD\n";
          const std::size_t end = finite_length(strand);
          text += block(p, c, k) + "e << EOD\n";
          // Where it has left the picture, at its edge.
          if (end > 0) {
            text +=
                number(strand.x[end - 1]) + ' ' + number(std::clamp(strand.y[end - 1], y.low, y.high)) + '\n';
          }
          text += "EOD\n";
        }
        text += block(p, c) + " << EOD\n";
        bool gap = true;
        for (std::size_t i = 0; i < curve.x.size(); ++i) {
          const double low = curve.low.empty() ? curve.mean[i] : curve.low[i];
          const double high = curve.high.empty() ? curve.mean[i] : curve.high[i];
          if (std::isfinite(placed(curve.x[i], panel.log_x)) &&
              std::isfinite(placed(curve.mean[i], panel.log_y)) && std::isfinite(placed(low, panel.log_y)) &&
              std::isfinite(high)) {
            text += number(curve.x[i]) + ' ' + number(curve.mean[i]) + ' ' + number(low) + ' ' +
                    number(high) + '\n';
            gap = false;
          } else if (!gap) {
            text += '\n';
            gap = true;
          }
        }
        text += "EOD\n";
      }
    }
    return text;
  }

  std::string drawing() const {
    std::string text = "set multiplot\n" + page();
    for (std::size_t p = 0; p < figure_.panels.size(); ++p) text += panel(p);
    return text + "unset multiplot\nunset output\n";  // which writes the picture's end
  }

  // Title, legend and caption, with a plot of nothing behind them.
  std::string page() const {
    std::string text = "reset\nunset key\nunset border\nunset tics\nset margins 0,0,0,0\n";
    const std::string ink = std::string(" tc rgb '") + kInk + "'\n";
    double y = kEdge;
    if (!figure_.title.empty()) {
      const std::string title = shorten(plain_text(figure_.title), letters(width_ - 2 * kEdge, kTitleFont));
      text += "set label " + gnuplot_string(title) + " at screen " + at(width_ / 2, y + 11) + " center" +
              font(kTitleFont) + ink;
      y += kTitleHeight;
    }
    const double left = (width_ - static_cast<double>(legend_columns_) * legend_width_) / 2 + 10;
    for (std::size_t row = 0; row < legend_above_.size(); ++row) {
      const std::vector<std::string>& labels = legend_above_[row];
      if (labels.empty()) continue;
      const std::size_t longest = letters(legend_width_ - kKeyLength - 18, kFont);
      for (std::size_t i = 0; i < labels.size(); ++i) {
        const double x = left + static_cast<double>(i % legend_columns_) * legend_width_;
        const double middle =
            y + top_of(row) + (static_cast<double>(i / legend_columns_) + 0.5) * kLegendHeight;
        const CurveMark mark = styles_.at(labels[i]).mark;
        if (mark == CurveMark::line) {
          // In SVG gnuplot makes one path, with the dashes of the first, of keys of one colour and width.
          text += "set arrow from screen " + at(x, middle) + " to screen " + at(x + kKeyLength, middle) +
                  " nohead lw " + (i % 2 == 0 ? "2.2" : "2.201") + style(labels[i]) + dashes(labels[i]) +
                  "\n";
        } else {
          text += "set label '' at screen " + at(x + kKeyLength / 2, middle) + " point" + symbol(mark, 1) +
                  style(labels[i]) + "\n";
        }
        text += "set label " + gnuplot_string(shorten(plain_text(labels[i]), longest)) + " at screen " +
                at(x + kKeyLength + 8, middle) + " left" + ink;
      }
    }
    for (std::size_t i = 0; i < caption_.size(); ++i) {
      const double from_below = static_cast<double>(caption_.size() - i) - 0.5;
      text += "set label " + gnuplot_string(caption_[i]) + " at screen " +
              at(2 * kEdge, height_ - kEdge - from_below * kCaptionHeight) + " left" + font(kSmallFont) + ink;
    }
    return text + "plot [0:1] [0:1] 2 notitle\n";
  }

  std::string panel(std::size_t p) const {
    const Panel& panel = figure_.panels[p];
    const auto [x0, y0, x1, y1] = frame_of(p);
    const double left = x0 - kLeft;

    const AxisRange x = x_range(panel), y = y_range(panel, x);
    std::string text = frame(x0, y0, x1, y1, kFont - 1);
    text += "set border 3 lc rgb '" + std::string(kInk) + "' lw 0.8\n";
    text += axes(unplaced(x, panel.log_x), unplaced(y, panel.log_y), x_tics(panel, x), y_tics(panel, y));
    if (panel.log_x) text += "set logscale x 10\n";
    if (panel.log_y) text += "set logscale y 10\n";
    const std::string ink = std::string(" tc rgb '") + kInk + "'\n";
    const std::vector<std::string> title = title_of(panel);
    const std::vector<std::string> note = note_of(panel);
    for (std::size_t i = 0; i < note.size(); ++i) {
      const double above = 12 + static_cast<double>(note.size() - 1 - i) * kNoteRow;
      text += "set label " + gnuplot_string(note[i]) + " at screen " + at((x0 + x1) / 2, y1 - above) +
              " center" + font(kSmallFont) + ink;
    }
    const double noted = static_cast<double>(note.size()) * kNoteRow;
    for (std::size_t i = 0; i < title.size(); ++i) {
      const double above = 18 + noted + static_cast<double>(title.size() - 1 - i) * kTitleRow;
      text += "set label " + gnuplot_string(title[i]) + " at screen " + at((x0 + x1) / 2, y1 - above) +
              " center" + font(kFont + 1) + ink;
    }
    text += "set label " + gnuplot_string(plain_text(panel.x_label)) + " at screen " +
            at((x0 + x1) / 2, y0 + 42) + " center" + ink;
    text += "set label " + gnuplot_string(plain_text(panel.y_label)) + " at screen " +
            at(left + 8, (y0 + y1) / 2) + " center rotate by 90" + ink;
    if (!panel.inset) return text + curves(p, 2.0);

    const AxisRange zoom{panel.inset->x_low, panel.inset->x_high};
    const AxisRange zoom_y = y_range(panel, zoom);
    text += "set object 1 rectangle from " + pair(zoom.low, zoom_y.low) + " to " +
            pair(zoom.high, zoom_y.high) + " front fillstyle empty border lc rgb '" + kInk + "' lw 0.6\n";
    text += curves(p, 2.0);

    // The corner with fewer of the curves' points in it.
    const auto points_between = [&](double bottom, double above) {
      std::size_t count = 0;
      for (const Curve& curve : panel.curves) {
        for (std::size_t i = 0; i < curve.x.size(); ++i) {
          const double across = (curve.x[i] - x.low) / x.span(), up = (curve.mean[i] - y.low) / y.span();
          count += across > 0.4 && up > bottom && up < above;
        }
      }
      return count;
    };
    const double bottom = points_between(0.03, 0.6) <= points_between(0.4, 0.97) ? 0.14 : 0.5;
    const double w = x1 - x0, h = y0 - y1;
    text += frame(x0 + 0.53 * w, y0 - bottom * h, x0 + 0.96 * w, y0 - (bottom + 0.4) * h, kSmallFont - 1);
    text += "set border 15 lc rgb '" + std::string(kInk) + "' lw 0.6\n";
    text +=
        "set object 1 rectangle from graph -0.24,-0.22 to graph 1.05,1.07 behind fillstyle solid noborder fc "
        "rgb '" +
        std::string(kPaper) + "'\n";
    text += axes(zoom, zoom_y, linear_tics(zoom.span() / 2), linear_tics(zoom_y.span() / 2));
    return text + curves(p, 1.5);
  }

  std::string frame(double x0, double y0, double x1, double y1, double font_size) const {
    return "reset\nunset key\nset lmargin at screen " + number(x0 / width_) + "\nset rmargin at screen " +
           number(x1 / width_) + "\nset bmargin at screen " + number(1 - y0 / height_) +
           "\nset tmargin at screen " + number(1 - y1 / height_) + "\nset tics out nomirror scale 0.5" +
           font(font_size) + " tc rgb '" + kInk + "'\nset grid lc rgb '" + kGrid + "' lw 0.7 dt solid\n";
  }

  static std::string axes(const AxisRange& x, const AxisRange& y, const std::string& x_tics,
                          const std::string& y_tics) {
    return "set xrange [" + number(x.low) + ":" + number(x.high) + "]\nset yrange [" + number(y.low) + ":" +
           number(y.high) + "]\nset xtics " + x_tics + " format '%g'\nset ytics " + y_tics + " format '%g'\n";
  }

  // Bands first, so that no band covers a line.
  std::string curves(std::size_t p, double line_width) const {
    const std::vector<Curve>& curves = figure_.panels[p].curves;
    std::string bands, lines, crosses;
    for (std::size_t c = 0; c < curves.size(); ++c) {
      const Curve& curve = curves[c];
      const std::string colour = style(curve.label);
      for (std::size_t k = 0; k < curve.strands.size(); ++k) {
        const Strand& strand = curve.strands[k];
        if (finite_length(strand) == 0) continue;
        lines += block(p, c, k) + " using 1:2 with lines lw " + number(line_width / 2) + colour +
                 dashes(curve.label) + " notitle, \\\n  ";
        crosses += block(p, c, k) + "e using 1:2 with points pt 2 ps 1 lw 1.5" + colour + " notitle, \\\n  ";
      }
      if (curve.x.empty()) continue;
      if (!curve.low.empty()) {
        bands += block(p, c) + " using 1:3:4 with filledcurves" + colour +
                 " fillstyle transparent solid 0.18 noborder notitle, \\\n  ";
      }
      if (curve.mark != CurveMark::line) {
        lines += block(p, c) + " using 1:2 with points" + symbol(curve.mark, curve.x.size()) + colour +
                 " notitle, \\\n  ";
        continue;
      }
      lines += block(p, c) + " using 1:2 with lines lw " + number(line_width) + colour + dashes(curve.label) +
               " notitle, \\\n  ";
      if (curve.x.size() <= kFewPoints) {
        lines += block(p, c) + " using 1:2 with points pt 7 ps 0.4" + colour + " notitle, \\\n  ";
      }
    }
    return "plot " + bands + lines + crosses + "NaN notitle\n";
  }

  const Figure figure_;
  std::map<std::string, CurveStyle> styles_;
  std::vector<std::string> labels_, caption_;
  int columns_ = 1;
  std::size_t legend_columns_ = 0;
  std::vector<std::vector<std::string>> legend_above_;  // of each row of panels, the labels above it
  std::size_t title_rows_ = 1, note_rows_ = 0;          // of the panels
  double width_ = 0, height_ = 0, panel_height_ = 0, head_ = 0, legend_width_ = 0;
};

}  // namespace

std::vector<std::string> labels_of(const Figure& figure) {
  std::vector<std::string> labels;
  for (const Panel& panel : figure.panels) {
    for (const Curve& curve : panel.curves) {
      if (std::find(labels.begin(), labels.end(), curve.label) == labels.end()) labels.push_back(curve.label);
    }
  }
  return labels;
}

std::string FigureScript::svg() const { return "set encoding utf8\n" + data + svg_terminal + drawing; }
std::string FigureScript::png() const { return "set encoding utf8\n" + data + png_terminal + drawing; }

FigureScript script_of(const Figure& figure) { return Script(figure, figure, true).parts(); }

PanelScript script_of(const Panel& panel, const Figure& whole) {
  const Script script({"", {panel}}, whole, false);
  return {script.parts(), script.styles(), script.numbers()};
}

}  // namespace qmse
