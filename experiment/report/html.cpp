#include "experiment/report/html.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "experiment/run/plain_text.h"

namespace qmse {

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view three = bytes.substr(at, 3);
    unsigned bits = 0;
    for (std::size_t i = 0; i < 3; ++i)
      bits = bits << 8 | (i < three.size() ? static_cast<unsigned char>(three[i]) : 0U);
    for (std::size_t i = 0; i < 4; ++i) text += i <= three.size() ? kDigits[bits >> (18 - 6 * i) & 63] : '=';
  }
  return text;
}

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

namespace {

// An interval on a line of its own, so that the columns are narrow.
std::string cell_content(const std::string& cell) {
  std::string html = escape_html(cell);
  if (const std::size_t at = html.find(" ("); is_number_cell(cell) && at != std::string::npos)
    html.replace(at, 1, "<br />");
  return html;
}

std::string cell_class(const std::string& cell) {
  constexpr std::size_t kShort = 12;  // "100 of 100" stays on one line
  if (cell.starts_with("[") && is_number_cell(cell.substr(1))) return " class=\"short\"";
  if (!is_number_cell(cell)) return "";
  const bool words = cell.size() > kShort && cell.find(" of ") != std::string::npos;
  return words ? " class=\"number words\"" : " class=\"number\"";
}

}  // namespace

std::string html_table(const ReportTable& table) {
  std::string html = table.caption.empty() ? "" : "<h3>" + escape_html(table.caption) + "</h3>\n";
  // Sentences in columns are hard to read on a narrow screen: there each is below the other, with its header.
  const bool sentences =
      table.header.size() > 2 && std::any_of(table.rows.begin(), table.rows.end(), [](const auto& row) {
        return std::any_of(row.begin(), row.end(), [](const std::string& cell) { return cell.size() > 100; });
      });
  html += std::string("<div class=\"wide\" tabindex=\"0\"><table") +
          (sentences ? " class=\"sentences\"" : "") + ">\n<thead><tr>";
  for (std::size_t column = 0; column < table.header.size(); ++column) {
    const bool numbers = std::any_of(table.rows.begin(), table.rows.end(), [&](const auto& row) {
      return column < row.size() && is_number_cell(row[column]);
    });
    html += std::string("<th scope=\"col\"") + (numbers ? " class=\"number\"" : "") + ">" +
            escape_html(table.header[column]) + "</th>";
  }
  html += "</tr></thead>\n<tbody>\n";
  const auto style = [&](std::size_t row, std::size_t column) -> std::string {
    if (row >= table.shades.size() || column >= table.shades[row].size()) return "";
    const double shade = table.shades[row][column];
    return std::isnan(shade) ? "" : " style=\"--shade: " + fixed_text(shade, 2) + "\"";
  };
  const auto content = [&](std::size_t row, std::size_t column) {
    const std::string text = cell_content(table.rows[row][column]);
    if (column > 0 || row >= table.links.size() || table.links[row].empty()) return text;
    return "<a href=\"" + escape_html(table.links[row]) + "\">" + text + "</a>";
  };
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    const std::vector<std::string>& row = table.rows[r];
    if (row.size() != table.header.size()) {
      throw ShapeError("a table with " + std::to_string(table.header.size()) + " columns has a row of " +
                       std::to_string(row.size()) + (row.empty() ? "" : ", " + in_quotes(row.front())));
    }
    html += "<tr>";
    for (std::size_t column = 0; column < row.size(); ++column) {
      html += "<td" + cell_class(row[column]) + style(r, column) +
              (sentences ? " data-header=\"" + escape_html(table.header[column]) + "\"" : "") + ">" +
              content(r, column) + "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string inline_image(const std::string& type, const std::string& bytes, const std::string& description) {
  return "<img alt=\"" + escape_html(description) + "\" src=\"data:" + type + ";base64," + base64(bytes) +
         "\" />";
}

}  // namespace qmse
