#include "experiment/report/html_page.h"

#include "base/build_config.h"
#include "experiment/report/html.h"
#include "experiment/report/report_style.h"

namespace qmse {

std::string HtmlPage::heading(const std::string& text) {
  headings_.push_back(escape_html(text));
  return "<h2 id=\"s" + std::to_string(headings_.size()) + "\">" + headings_.back() + "</h2>\n";
}

std::string HtmlPage::warning(const std::string& text) {
  return "<p class=\"warning\">" + escape_html(text) + "</p>\n";
}

std::string HtmlPage::paragraph(const std::string& text) { return "<p>" + escape_html(text) + "</p>\n"; }

std::string HtmlPage::figure(const Figure& figure) {
  std::string html = "<figure>\n";
  if (!figure.title.empty()) html += "<p class=\"figure-title\">" + escape_html(figure.title) + "</p>\n";
  html += "<div class=\"panels\" style=\"--columns: " + std::to_string(figure.columns) + "\">\n";
  const std::vector<std::string> pictures = draw_panels(figure);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const Panel& panel = figure.panels[i];
    html += inline_image("image/svg+xml", pictures[i],
                         panel.title + ": " + panel.y_label + " over " + panel.x_label) +
            "\n";
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
         "style-src 'unsafe-inline'\" />\n<title>" +
         name + "</title>\n<style>\n" + kReportStyle + "</style>\n</head>\n<body>\n<main>\n<header><h1>" +
         name + "</h1>\n" + summary + contents() + "</header>\n" + sections + "<footer>Written by qmse " +
         escape_html(QMSE_VERSION) +
         ". This page is one file and loads nothing.</footer>\n</main>\n</body>\n</html>\n";
}

}  // namespace qmse
