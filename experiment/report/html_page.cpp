#include "experiment/report/html_page.h"

#include <sstream>

#include "base/build_config.h"
#include "data/sha256.h"
#include "experiment/report/html.h"
#include "experiment/report/report_script.h"
#include "experiment/report/report_style.h"

namespace qmse {

std::string HtmlPage::heading(const std::string& text) {
  headings_.push_back(escape_html(text));
  return "<h2 id=\"s" + std::to_string(headings_.size()) + "\">" + headings_.back() + "</h2>\n";
}

std::string HtmlPage::warning(const std::string& text) {
  std::string html;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    html += (html.empty() ? "" : "<br />\n") + escape_html(line);
  return "<p class=\"warning\">" + html + "</p>\n";
}

std::string HtmlPage::paragraph(const std::string& text) { return "<p>" + escape_html(text) + "</p>\n"; }

namespace {

// The bytes of hexadecimal digits.
std::string bytes_of(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

std::string key(const CurveStyle& style) {
  const std::string colour = colour_text(style.colour);
  switch (style.mark) {
    case CurveMark::dots:
      return "<circle cx=\"17\" cy=\"5\" r=\"3\" fill=\"" + colour + "\" />";
    case CurveMark::circles:
      return "<circle cx=\"17\" cy=\"5\" r=\"4\" fill=\"none\" stroke=\"" + colour + "\" />";
    case CurveMark::line:
      break;
  }
  return "<path d=\"M0 5H34\" stroke-width=\"2.5\" stroke=\"" + colour + "\" stroke-dasharray=\"" +
         dash_text(style.dash) + "\" />";
}

// The curves of a panel with how each is drawn; the page's script makes switches of them.
std::string legend(const DrawnPanel& panel) {
  if (panel.labels.empty() || (panel.labels.size() == 1 && panel.labels.front().empty())) return "";
  std::string html = "<ul class=\"legend\">\n";
  for (std::size_t i = 0; i < panel.labels.size(); ++i) {
    html += "<li data-curve=\"" + std::to_string(i) + "\"><svg viewBox=\"0 0 34 10\" aria-hidden=\"true\">" +
            key(panel.styles[i]) + "</svg> " + escape_html(panel.labels[i]) + "</li>\n";
  }
  return html + "</ul>\n";
}

}  // namespace

std::string HtmlPage::figure(const Figure& figure) {
  std::string html = "<figure>\n";
  if (!figure.title.empty()) html += "<p class=\"figure-title\">" + escape_html(figure.title) + "</p>\n";
  html += "<div class=\"panels\" style=\"--columns: " + std::to_string(figure.columns) + "\">\n";
  for (const DrawnPanel& panel : draw_panels(figure, "p" + std::to_string(++figures_))) {
    html += "<div class=\"panel\" data-numbers=\"" + escape_html(panel.numbers) + "\">\n" + legend(panel) +
            panel.svg + "</div>\n";
  }
  html += "</div>\n";
  if (!figure.caption.empty()) html += "<figcaption>" + escape_html(figure.caption) + "</figcaption>\n";
  return html + "</figure>\n";
}

std::string HtmlPage::section(const ReportSection& section) {
  std::string html = "<section>\n" + heading(section.title);
  if (!section.warning.empty()) html += warning(section.warning);
  for (const std::string& text : section.paragraphs) html += paragraph(text);
  for (const ReportTable& table : section.tables) html += html_table(table);
  for (const Figure& each : section.figures) html += figure(each);
  return html + "</section>\n";
}

std::string HtmlPage::contents() const {
  std::string html = "<nav><ul>\n";
  for (std::size_t i = 0; i < headings_.size(); ++i)
    html += "<li><a href=\"#s" + std::to_string(i + 1) + "\">" + headings_[i] + "</a></li>\n";
  return html + "</ul></nav>\n";
}

std::string HtmlPage::html(const std::string& title, const std::string& summary,
                           const std::string& sections) const {
  const std::string name = escape_html(title);
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n"
         "<meta name=\"color-scheme\" content=\"light dark\" />\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
         "style-src 'unsafe-inline'; script-src 'sha256-" +
         base64(bytes_of(sha256(kReportScript))) + "'\" />\n<title>" + name + "</title>\n<style>\n" +
         kReportStyle + "</style>\n</head>\n<body>\n<main>\n<header><h1>" + name + "</h1>\n" + summary +
         contents() + "</header>\n" + sections + "<footer>Written by qmse " + escape_html(QMSE_VERSION) +
         ". This page is one file and loads nothing.</footer>\n</main>\n<script>" + kReportScript +
         "</script>\n</body>\n</html>\n";
}

}  // namespace qmse
