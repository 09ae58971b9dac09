#include "experiment/report/figure.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/json.h"
#include "experiment/report/gnuplot.h"
#include "experiment/run/plain_text.h"
#include "tests/support/error_message.h"
#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
  return found;
}

Curve line(const std::string& label, const std::vector<double>& values) {
  Curve curve{label, {}, values};
  for (std::size_t i = 0; i < values.size(); ++i) curve.x.push_back(static_cast<double>(i + 1));
  return curve;
}

Panel panel(const std::vector<Curve>& curves) { return {"Panel", "epoch", "accuracy", curves}; }

// A folder with a `gnuplot` that is this shell script.
std::string fake_gnuplot(const TempDirectory& folder, const std::string& script) {
  write_bytes(folder / "gnuplot", "#!/bin/sh\n" + script + "\n");
  std::filesystem::permissions(folder / "gnuplot", std::filesystem::perms::owner_all);
  return folder.path().string();
}

}  // namespace

TEST_CASE("figure: two files, an SVG and a PNG of twice its size") {
  if (!has_program("gnuplot")) return;
  const TempDirectory folder;
  const Panel one = panel({line("a", {1, 2, 3}), line("b", {2, 3, 1})});
  write_figure({"Title", {one, one, one}, 2, "Caption"}, folder / "my figure");
  const std::string svg = read_bytes(folder / "my figure.svg");
  CHECK(svg.rfind("<?xml", 0) == 0);
  CHECK(contains(svg, "</svg>"));
  for (const char* text : {">Title<", ">Caption<", ">Panel<", ">epoch<", ">accuracy<", ">a<", ">b<"}) {
    CAPTURE(text);
    CHECK(contains(svg, text));
  }
  // One legend for all panels; line and points of each are called by its name.
  CHECK(count(svg, ">a<") == 1 + count(svg, "<title>a</title>"));
  CHECK(count(svg, "<title>a</title>") == 6);
  const auto [width, height] = png_size(read_bytes(folder / "my figure.png"));
  CHECK(width > 1500);
  CHECK(height > 1200);
  CHECK(contains(
      svg, "width=\"" + std::to_string(width / 2) + "\" height=\"" + std::to_string(height / 2) + "\""));
}

TEST_CASE("figure: text is shown as it stands, and nothing in it is run") {
  if (!has_program("gnuplot")) return;
  const TempDirectory folder;
  const std::string touch = "touch " + (folder / "touched").string();
  for (const std::string& hostile :
       {std::string("it's `") + touch + "`", std::string("'\nsystem('") + touch + "')\n'",
        std::string("\"; system(\"") + touch + "\"); \"", std::string("<b onclick=\"x\">&amp;</b>"),
        std::string("@GPVAL_VERSION $HOME %s \\n {/Symbol a}_2^3"),
        std::string("bytes \xff\xfe and a bell \a"), std::string("\xef\xbf\xbe \xed\xa0\x80 \xc0\x80"),
        std::string("EOD ]]>"), std::string("\n\nEOD\n")}) {
    CAPTURE(hostile);
    const DrawnFigure picture =
        draw_figure({hostile, {{hostile, hostile, hostile, {line(hostile, {1, 2})}}}, 1, hostile});
    CHECK_FALSE(std::filesystem::exists(folder / "touched"));
    CHECK_FALSE(contains(picture.svg, "<b"));
    CHECK_FALSE(contains(picture.svg, "]]>"));
    CHECK(png_size(picture.png).first > 0);
  }
  const std::string svg = draw_figure({"{/Symbol a}_2 <x> & `y` @z", {panel({line("a", {1, 2})})}, 1}).svg;
  CHECK(contains(svg, "{/Symbol a}_2 &lt;x> &amp; `y` @z"));
}

TEST_CASE("figure: values that are not finite are gaps") {
  if (!has_program("gnuplot")) return;
  // How many strokes the curve has: M begins one
  const auto strokes = [](const std::vector<double>& values) {
    std::vector<double> many = values;
    many.resize(30, 1.0);  // without marks
    const std::string svg = draw_figure({"", {panel({line("", many)})}, 1}).svg;
    const std::size_t path = svg.find("<path stroke='rgb(  0, 114, 178)'");
    return count(svg.substr(path, svg.find("/>", path) - path), "M");
  };
  CHECK(strokes({1, 2, 3, 2, 5, 6}) == 1);
  CHECK(strokes({1, 2, NAN, 2, 5, 6}) == 2);
  CHECK(strokes({1, 2, INFINITY, 2, 5, NAN, NAN, 1, 6}) == 3);
}

TEST_CASE("figure: one point, flat curves, no point at all and an empty panel can be drawn") {
  if (!has_program("gnuplot")) return;
  for (const Panel& odd : {panel({line("a", {1})}), panel({line("a", {0, 0, 0})}),
                           panel({line("a", {NAN, NAN})}), panel({line("a", {})}), panel({}),
                           panel({line("a", {1e300, -1e300})}), panel({line("a", {5e-324, 0})})}) {
    CHECK(png_size(draw_figure({"", {odd}, 3}).png).first > 0);
  }
  Panel zoomed = panel({line("a", std::vector<double>(100, 0.5))});
  zoomed.inset = Inset{80, 100};
  CHECK(png_size(draw_figure({"", {zoomed}, 1}).png).first > 0);
  zoomed.inset = Inset{200, 300};
  CHECK(png_size(draw_figure({"", {zoomed}, 1}).png).first > 0);
}

TEST_CASE("figure: strands are thin lines of the curve's colour with a cross at their last finite value") {
  if (!has_program("gnuplot")) return;
  Curve curve = line("a", std::vector<double>(30, 1.0));
  curve.strands = {{{1, 2, 3}, {0.5, 0.25, NAN}}, {{1}, {0.75}}, {{1, 2}, {NAN, NAN}}, {}};
  Panel noted = panel({curve});
  noted.note = "a: 4 of 5 <diverged>";
  const std::string svg = draw_figure({"", {noted}, 1}).svg;
  CHECK(contains(svg, "a: 4 of 5 &lt;diverged"));
  CHECK(count(svg, "xlink:href='#gpPt1'") == 2);  // the crosses
  // One that leaves the others' range does not flatten them; its cross is at the edge.
  curve.strands = {{{1, 2}, {1, 1e30}}};
  const std::string bounded = draw_figure({"", {panel({curve})}, 1}).svg;
  CHECK_FALSE(contains(bounded, "e+"));
  CHECK(count(bounded, "xlink:href='#gpPt1'") == 1);
  Curve alone = line("b", {});
  alone.strands = {{{1, 2}, {5, 7}}};
  CHECK(contains(draw_figure({"", {panel({alone})}, 1}).svg, "xlink:href='#gpPt1'"));
  curve.strands = {{{1, 2}, {1}}};
  CHECK(missing(message_of<ShapeError>([&] {
                  draw_figure({"", {panel({curve})}, 1});
                }),
                {"'a'", "2 x"}) == "");
}

TEST_CASE("figure: panels drawn one by one keep the figure's colours") {
  if (!has_program("gnuplot")) return;
  const Figure figure{"", {panel({line("a", {1, 2}), line("b", {1, 2})}), panel({line("b", {2, 1})})}, 2};
  const std::vector<DrawnPanel> drawn = draw_panels(figure, "x");
  REQUIRE(drawn.size() == 2);
  const std::vector<std::string> pictures = {drawn[0].svg, drawn[1].svg};
  CHECK(drawn[0].labels == std::vector<std::string>{"a", "b"});
  CHECK(drawn[1].labels == std::vector<std::string>{"b"});
  CHECK(drawn[1].styles[0].colour == 1);
  const std::string second = "rgb(213,  94,   0)";
  CHECK(contains(pictures[0], "rgb(  0, 114, 178)"));
  CHECK(contains(pictures[0], second));
  CHECK(contains(pictures[1], second));
  CHECK_FALSE(contains(pictures[1], "rgb(  0, 114, 178)"));
  CHECK_FALSE(contains(pictures[1], ">a<"));
}

TEST_CASE("figure: where curves of different names look alike, each row of panels has a legend of its own") {
  if (!has_program("gnuplot")) return;
  const auto curve = [](const char* label, std::size_t dash) {
    return Curve{.label = label, .x = {1, 2}, .mean = {1, 2}, .style = CurveStyle{0, dash}};
  };
  const auto drawn = [&](std::size_t last) {
    Figure figure;
    figure.panels = {
        {.title = "First row", .x_label = "x", .y_label = "y", .curves = {curve("one", 0), curve("two", 1)}},
        {.title = "Second row",
         .x_label = "x",
         .y_label = "y",
         .curves = {curve("three", 2), curve("four", last)}}};
    return draw_figure(figure).svg;
  };
  // How far down a text is.
  const auto height = [](const std::string& svg, const std::string& text) {
    const std::size_t end = svg.find(">" + text + "<"), at = svg.rfind("translate(", end);
    REQUIRE(end != std::string::npos);
    return std::stod(svg.substr(svg.find(',', at) + 1));
  };
  std::string svg = drawn(3);
  for (const char* label : {"one", "two", "three", "four"})
    CHECK(height(svg, label) < height(svg, "First row"));
  const double apart = height(svg, "Second row") - height(svg, "First row");
  svg = drawn(0);  // as "one"
  for (const char* label : {"one", "two"}) CHECK(height(svg, label) < height(svg, "First row"));
  for (const char* label : {"three", "four"}) {
    CHECK(height(svg, label) > height(svg, "First row"));
    CHECK(height(svg, label) < height(svg, "Second row"));
  }
  CHECK(height(svg, "Second row") - height(svg, "First row") > apart);
}

TEST_CASE("figure: parts are named in words, and the names within pictures of a page differ") {
  if (!has_program("gnuplot")) return;
  Curve first = line("QMSE <1>", {1, 2, 3});
  first.low = {0.5, 1.5, 2.5};
  first.high = {1.5, 2.5, 3.5};
  first.strands = {{{1, 2}, {4, 5}}};
  Figure figure{"Both & all", {panel({first, line("MSE", {3, 2, 1})}), panel({line("MSE", {1, 1, 2})})}, 2};
  figure.panels[0].inset = Inset{2, 3};
  const std::string svg = draw_figure(figure).svg;
  CHECK(contains(svg, "<title>Both &amp; all</title>"));
  CHECK_FALSE(contains(svg, "gnuplot_plot"));
  CHECK_FALSE(contains(svg, "Gnuplot"));
  // Band, line, points, strand and cross, twice; the other's line and points, twice, and in the second panel.
  CHECK(count(svg, "<title>QMSE &lt;1&gt;</title>") == 10);
  CHECK(count(svg, "<title>MSE</title>") == 6);

  const std::vector<DrawnPanel> panels = draw_panels(figure, "p7");
  CHECK(contains(panels[0].svg, "id='p7-1-gpPt6'"));
  CHECK(contains(panels[1].svg, "xlink:href='#p7-2-gpPt6'"));
  CHECK(panels[0].svg.starts_with("<svg"));
  CHECK(count(panels[0].svg, "class=\"curve\" data-curve=\"0\"") == 10);
  CHECK(count(panels[0].svg, "class=\"curve\" data-curve=\"1\"") == 4);
  const auto numbers = Json::parse(panels[1].numbers);
  CHECK(numbers["curves"][0]["label"] == "MSE");
  CHECK(numbers["curves"][0]["y"] == Json{1, 1, 2});
  // Where the first and the last point are drawn.
  const auto& x = numbers["x"];
  CHECK(x[0].get<double>() < x[1].get<double>());
  CHECK(x[2] == 1);
  CHECK(x[3] == 3);
}

TEST_CASE("figure: every colour has a contrast of 3:1 and more on white and on the page's dark ground") {
  // WCAG 2's contrast, and the filter functions of CSS: invert(.9), then hue-rotate(180deg).
  using Colour = std::array<double, 3>;
  const auto contrast = [](const Colour& a, const Colour& b) {
    const auto luminance = [](const Colour& colour) {
      const double weights[] = {0.2126, 0.7152, 0.0722};
      double sum = 0;
      for (std::size_t i = 0; i < 3; ++i) {
        const double c = colour[i];
        sum += weights[i] * (c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4));
      }
      return sum;
    };
    const auto [dark, light] = std::minmax({luminance(a), luminance(b)});
    return (light + 0.05) / (dark + 0.05);
  };
  const auto in_the_dark = [](const Colour& colour) {
    const double rotation[3][3] = {{-0.574, 1.43, 0.144}, {0.426, 0.43, 0.144}, {0.426, 1.43, -0.856}};
    Colour result{};
    for (std::size_t i = 0; i < 3; ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < 3; ++k) sum += rotation[i][k] * (0.9 - 0.8 * colour[k]);
      result[i] = std::clamp(sum, 0.0, 1.0);
    }
    return result;
  };
  const Colour white = {1, 1, 1};
  std::set<std::string> texts;
  for (std::size_t i = 0; i < kColours; ++i) {
    const std::string text = colour_text(i);
    texts.insert(text);
    Colour colour{};
    for (std::size_t k = 0; k < 3; ++k) colour[k] = std::stoi(text.substr(1 + 2 * k, 2), nullptr, 16) / 255.0;
    CAPTURE(text);
    CHECK(contrast(colour, white) >= 3);
    CHECK(contrast(in_the_dark(colour), in_the_dark(white)) >= 3);
    CHECK(contrast(in_the_dark(colour), {0x15 / 255.0, 0x18 / 255.0, 0x1c / 255.0}) >= 3);
  }
  CHECK(texts.size() == kColours);
}

TEST_CASE("figure: a logarithmic axis has at least three numbers, however little it shows") {
  // low, high, and numbers that must stand there
  const std::tuple<double, double, std::vector<const char*>> cases[] = {{1e-9, 1, {"1e-08", "0.0001", "1"}},
                                                                        {3, 150, {"5", "10", "20", "100"}},
                                                                        {0.12, 0.4, {"0.2", "0.3", "0.4"}},
                                                                        {3610, 4190, {"3800", "4000"}}};
  for (const auto& [low, high, expected] : cases) {
    CAPTURE(low, high);
    for (const bool along_x : {false, true}) {
      const std::vector<double> values = {low, high}, others = {0.5, 1.5};
      Figure figure{
          .title = "",
          .panels = {
              {.title = "t",
               .x_label = "x",
               .y_label = "y",
               .curves = {{.label = "", .x = along_x ? values : others, .mean = along_x ? others : values}},
               .log_x = along_x,
               .log_y = !along_x}}};
      const std::string svg = draw_figure(figure).svg;
      for (const char* number : expected) {
        CAPTURE(number);
        CHECK(svg.find(">" + std::string(number) + "<") != std::string::npos);
      }
    }
  }
}

TEST_CASE("figure: measurements are dots and theory circles, in the panel and in the legend") {
  const Curve fit{.label = "fit", .x = {1, 2}, .mean = {1, 2}};
  const Curve dots{.label = "measured", .x = {1, 2}, .mean = {2, 1}, .mark = CurveMark::dots};
  const Curve circles{.label = "predicted", .x = {1, 2}, .mean = {2, 1}, .mark = CurveMark::circles};
  const Figure figure{
      .title = "t",
      .panels = {{.title = "p", .x_label = "x", .y_label = "y", .curves = {fit, dots, circles}}}};
  const std::vector<DrawnPanel> panels = draw_panels(figure, "p");
  REQUIRE(panels.front().styles.size() == 3);
  CHECK(panels.front().styles[0].mark == CurveMark::line);
  CHECK(panels.front().styles[1].mark == CurveMark::dots);
  CHECK(panels.front().styles[2].mark == CurveMark::circles);
  // The legend of the whole figure has one of each more than the panel alone.
  const std::string svg = draw_figure(figure).svg;
  for (const char* symbol : {"gpPt5'", "gpPt6'"}) {
    CAPTURE(symbol);
    CHECK(count(panels.front().svg, symbol) >= 2);
    CHECK(count(svg, symbol) == count(panels.front().svg, symbol) + 1);
  }
}

TEST_CASE("figure: keys of one colour keep their dashes") {
  const auto dashed = [](const char* label, std::size_t dash) {
    return Curve{.label = label, .x = {1, 2}, .mean = {1, 2}, .style = CurveStyle{.colour = 0, .dash = dash}};
  };
  const std::string svg =
      draw_figure({.title = "t", .panels = {panel({dashed("a", 1), dashed("b", 2), dashed("c", 0)})}}).svg;
  CHECK(count(svg, "stroke-dasharray='9.9,3.3'") == 1);
  CHECK(count(svg, "stroke-dasharray='3.3,3.3'") == 1);
}

TEST_CASE("figure: sizes that do not fit together are a ShapeError") {
  Curve curve = line("short", {1, 2, 3});
  curve.x.pop_back();
  CHECK(missing(message_of<ShapeError>([&] {
                  draw_figure({"", {panel({curve})}, 1});
                }),
                {"'short'", "2 x"}) == "");
  curve = line("band", {1, 2});
  curve.low = {1, 2};
  CHECK(missing(message_of<ShapeError>([&] { draw_figure({"", {panel({curve})}, 1}); }), {"'band'"}) == "");
  CHECK_THROWS_AS(draw_figure({"", {}, 1}), ShapeError);
  CHECK_THROWS_AS(draw_figure({"", {panel({})}, 0}), ShapeError);
  Panel empty_inset = panel({line("a", {1, 2})});
  empty_inset.inset = Inset{2, 2};
  CHECK_THROWS_AS(draw_figure({"", {empty_inset}, 1}), ShapeError);
}

TEST_CASE("figure: a gnuplot that is missing, fails, dies or writes nothing is an error of one line") {
  const TempDirectory folder, target;
  const Figure figure{"", {panel({line("a", {1, 2})})}, 1};
  const auto message = [&] { return message_of<Error>([&] { write_figure(figure, target / "f"); }); };
  {
    const ScopedPath path(folder.path().string());
    CHECK(missing(message(), {"gnuplot", "not installed", "gnuplot-nox"}) == "");
  }
  const ScopedPath path(fake_gnuplot(folder, ""));
  CHECK(missing(message(), {"not written"}) == "");
  fake_gnuplot(folder,
               "printf '\\n set x\\n      ^\\n\"figure.gp\" line 3: no such thing\\n\\n' >&2; exit 4");
  CHECK(missing(message(), {"exit code 4", "line 3: no such thing"}) == "");
  fake_gnuplot(folder, "kill -9 $$");
  CHECK(missing(message(), {"signal 9"}) == "");
  CHECK(std::filesystem::is_empty(target.path()));
}

TEST_CASE("figure: a picture without its end is refused, and the former one kept") {
  const TempDirectory folder, target;
  const Figure figure{"", {panel({line("a", {1, 2})})}, 1};
  write_bytes(target / "f.png", "before");
  const std::string svg = "if ! grep -q pngcairo; then printf '<svg></svg>'; exit; fi; ";
  const std::string end = "printf '\\000\\000\\000\\000IEND\\256\\102\\140\\202'";
  const ScopedPath path(fake_gnuplot(folder, "") + ":" + std::getenv("PATH"));
  for (const std::string& script :
       {std::string("printf '<svg><path'"), svg + "printf '\\211PNG half'", svg + end + "; printf x"}) {
    CAPTURE(script);
    fake_gnuplot(folder, script);
    CHECK(missing(message_of<Error>([&] { write_figure(figure, target / "f"); }), {"end of its picture"}) ==
          "");
    CHECK(read_bytes(target / "f.png") == "before");
    CHECK_FALSE(std::filesystem::exists(target / "f.svg"));
  }
  fake_gnuplot(folder, svg + end);
  write_figure(figure, target / "f");
  CHECK(read_bytes(target / "f.png").size() == 12);
}

TEST_CASE("figure: gnuplot gets no folder of its own and does not speak the user's language") {
  const TempDirectory folder, temporary;
  const std::string svg = "env > '" + (folder / "env").string() + "'; ls -A '" + temporary.path().string() +
                          "' > '" + (folder / "ls").string() + "'; printf '<svg></svg>'";
  const ScopedPath path(fake_gnuplot(folder, svg) + ":" + std::getenv("PATH"));
  for (const char* name : {"LANG", "LC_NUMERIC", "LANGUAGE"}) ::setenv(name, "de_DE.UTF-8", 1);
  ::setenv("TMPDIR", temporary.path().c_str(), 1);
  CHECK(draw_panels({"", {panel({line("a", {1, 2})})}, 1}, "x").size() == 1);
  for (const char* name : {"LANG", "LC_NUMERIC", "LANGUAGE", "TMPDIR"}) ::unsetenv(name);
  const std::string variables = read_bytes(folder / "env");
  CHECK(contains(variables, "LC_ALL=C.UTF-8\n"));
  CHECK_FALSE(contains(variables, "de_DE"));
  CHECK(contains(variables, "PATH="));
  CHECK(read_bytes(folder / "ls") == "");
}

TEST_CASE("figure: more than can be drawn is a ConfigError that says so") {
  Figure figure{"", std::vector<Panel>(60, panel({line("a", {1, 2})})), 1};
  CHECK(missing(message_of<ConfigError>([&] { draw_figure(figure); }), {"60 panels", "too large", "fewer"}) ==
        "");
}

TEST_CASE("figure: a folder that is missing is an error, and nothing is left behind") {
  if (!has_program("gnuplot")) return;
  const TempDirectory folder;
  const Figure figure{"", {panel({line("a", {1, 2})})}, 1};
  CHECK(missing(message_of<IoError>([&] { write_figure(figure, folder / "none/f"); }), {"none"}) == "");
}

TEST_CASE("figure: the user's start-up files and the temporary folder's name change nothing") {
  if (!has_program("gnuplot")) return;
  const TempDirectory home;
  std::filesystem::create_directory(home / "a b'c");
  write_bytes(home / ".gnuplot", "exit status 9\n");
  const std::string old_home = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "/";
  ::setenv("HOME", home.path().c_str(), 1);
  ::setenv("TMPDIR", (home / "a b'c").c_str(), 1);
  const Figure figure{"", {panel({line("a", {1, 2})})}, 1};
  CHECK_NOTHROW(draw_figure(figure));
  CHECK(std::filesystem::is_empty(home / "a b'c"));
  ::unsetenv("TMPDIR");
  ::setenv("HOME", old_home.c_str(), 1);
}

TEST_CASE("plain text: control characters and broken UTF-8 are replaced, length counts characters") {
  CHECK(plain_text("a\nb\tc\x7f") == "a b c ");
  CHECK(plain_text("‖r‖² \"x\" \\") == "‖r‖² \"x\" \\");
  CHECK(plain_text("a\xff") == "a\xef\xbf\xbd");
  // Of UTF-8, but no characters of XML.
  CHECK(plain_text("a\xef\xbf\xbe\xef\xbf\xbf") == "a\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(text_length("‖r‖²") == 4);
  CHECK(shorten("‖r‖²", 4) == "‖r‖²");
  CHECK(shorten("‖r‖²x", 4) == "‖r‖…");
  CHECK(shorten("abc", 1) == "…");
  CHECK(wrap_text("aa bb cc", 5) == std::vector<std::string>{"aa bb", "cc"});
  CHECK(wrap_text("aaaaaaaa b", 5) == std::vector<std::string>{"aaaa…", "b"});
  CHECK(wrap_text("", 5).empty());
}

TEST_CASE("gnuplot: text is in single quotes, itself in double ones") {
  CHECK(gnuplot_string("'it's\n`x`") == "''.\"'\".'it'.\"'\".'s `x`'");
}

TEST_CASE("plain text: times are UTC with milliseconds, before 1970 too") {
  const auto text = [](std::int64_t milliseconds) {
    return utc_text(std::chrono::system_clock::time_point(std::chrono::milliseconds(milliseconds)));
  };
  CHECK(text(0) == "1970-01-01T00:00:00.000Z");
  CHECK(text(951'782'400'001) == "2000-02-29T00:00:00.001Z");
  CHECK(text(-1) == "1969-12-31T23:59:59.999Z");
  CHECK(text(-1000) == "1969-12-31T23:59:59.000Z");
  CHECK(text(-1500) == "1969-12-31T23:59:58.500Z");
  CHECK(utc_text(std::chrono::system_clock::time_point(std::chrono::nanoseconds(-1))) ==
        "1969-12-31T23:59:59.999Z");
}
