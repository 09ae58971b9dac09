#include "experiment/report/html.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/error.h"
#include "base/in_quotes.h"
#include "experiment/run/plain_text.h"

namespace qmse {
namespace {

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

// "rgb(  0, 114, 178)" -> "var(--plot-0072b2,#0072b2)", so that the page's style can give another colour.
void name_colours(std::string& tag) {
  for (std::size_t at = 0; (at = tag.find("rgb(", at)) != std::string::npos;) {
    std::array<int, 3> rgb{};
    std::array<char, 64> named;
    int length = 0;
    if (std::sscanf(tag.c_str() + at, "rgb(%d,%d,%d)%n", &rgb[0], &rgb[1], &rgb[2], &length) != 3 ||
        length == 0) {
      at += 4;
      continue;
    }
    const int size =
        std::snprintf(named.data(), named.size(), "var(--plot-%02x%02x%02x,#%02x%02x%02x)", rgb[0] & 255,
                      rgb[1] & 255, rgb[2] & 255, rgb[0] & 255, rgb[1] & 255, rgb[2] & 255);
    tag.replace(at, static_cast<std::size_t>(length), named.data(), static_cast<std::size_t>(size));
    at += static_cast<std::size_t>(size);
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
  for (std::size_t column = 0; column < table.header.size(); ++column) {
    const bool numbers = std::any_of(table.rows.begin(), table.rows.end(), [&](const auto& row) {
      return column < row.size() && is_number(row[column]);
    });
    html += std::string("<th scope=\"col\"") + (numbers ? " class=\"number\"" : "") + ">" +
            escape_html(table.header[column]) + "</th>";
  }
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
  std::string svg;
  std::size_t at = file.find("<svg");
  while (at < file.size()) {
    const std::size_t end = file.find('>', at);
    if (end == std::string::npos) throw Error("gnuplot's SVG ends within a tag");
    std::string tag = file.substr(at, end + 1 - at);
    std::size_t text = end + 1;
    if (tag == "<title>" || tag == "<desc>") {  // names that browsers would show as hints
      text = file.find('>', text) + 1;
      tag = "";
    } else if (svg.empty()) {
      tag.insert(4, " role=\"img\" aria-label=\"" + escape_html(description) + "\"");
    }
    name_colours(tag);
    replace_all(tag, "\"#ffffff\"", "\"var(--plot-ffffff,#ffffff)\"");
    replace_all(tag, " id='", " id='" + prefix);
    if (const std::size_t name = tag.find(" id=\"gnuplot"); name != std::string::npos) {
      tag.erase(name, tag.find('"', name + 5) + 1 - name);  // not unique even within the file
    }
    replace_all(tag, "href='#", "href='#" + prefix);
    at = std::min(file.find('<', text), file.size());
    svg += tag + file.substr(text, at - text);
  }
  return svg;
}

}  // namespace qmse
