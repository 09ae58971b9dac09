#include "experiment/html.h"

#include "engine/in_quotes.h"
#include "experiment/plain_text.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

// All parts that begin with `from` and end with the next `to`.
void remove_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos;) {
    const std::size_t end = text.find(to, at + from.size());
    text.erase(at, end == std::string::npos ? end : end + to.size() - at);
  }
}

bool is_number(const std::string& cell) {
  const std::size_t first = cell.find_first_not_of("+- ");
  return cell == "–" || (first != std::string::npos && cell[first] >= '0' && cell[first] <= '9') ||
         cell.starts_with("−");
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string escaped;
  for (const char c : plain_text(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string html_table(const ReportTable& table) {
  std::string html = "<div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr>";
  for (const std::string& cell : table.header) html += "<th scope=\"col\">" + escape_html(cell) + "</th>";
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    if (row.size() != table.header.size()) {
      throw ShapeError("a table with " + std::to_string(table.header.size()) + " columns has a row of " +
                       std::to_string(row.size()) + (row.empty() ? "" : ", " + in_quotes(row.front())));
    }
    html += "<tr>";
    for (const std::string& cell : row) {
      html += (is_number(cell) ? "<td class=\"number\">" : "<td>") + escape_html(cell) + "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string inline_svg(const std::string& file, const std::string& prefix, const std::string& description) {
  std::string svg = file.substr(file.find("<svg"));
  // Names of parts, which browsers would show as hints.
  remove_all(svg, "<title>", "</title>");
  remove_all(svg, "<desc>", "</desc>");
  remove_all(svg, " id=\"gnuplot", "\"");
  replace_all(svg, "id='gp", "id='" + prefix + "gp");
  replace_all(svg, "href='#gp", "href='#" + prefix + "gp");
  return "<svg role=\"img\" aria-label=\"" + escape_html(description) + "\"" + svg.substr(4);
}

}  // namespace qmse
