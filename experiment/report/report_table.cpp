#include "experiment/report/report_table.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/in_quotes.h"
#include "experiment/run/plain_text.h"

namespace qmse {
namespace {

using Row = std::vector<std::string>;

void check(const ReportTable& table) {
  for (const Row& row : table.rows) {
    if (row.size() == table.header.size()) continue;
    throw ShapeError("a table with " + std::to_string(table.header.size()) + " columns has a row of " +
                     std::to_string(row.size()) + (row.empty() ? "" : ", " + in_quotes(row.front())));
  }
}

// Whether most of a column's cells are numbers.
bool is_number_column(const ReportTable& table, std::size_t column) {
  const auto numbers = std::count_if(table.rows.begin(), table.rows.end(),
                                     [&](const Row& row) { return is_number_cell(row[column]); });
  return 2 * static_cast<std::size_t>(numbers) > table.rows.size();
}

// Columns count characters, not the bytes of UTF-8.
std::vector<std::size_t> widths_of(const ReportTable& table) {
  std::vector<std::size_t> widths;
  for (const std::string& cell : table.header) widths.push_back(text_length(cell));
  for (const Row& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], text_length(row[i]));
  }
  return widths;
}

std::string padded(const std::string& cell, std::size_t width, bool right) {
  const std::string room(width - text_length(cell), ' ');
  return right ? room + cell : cell + room;
}

std::string plain_lines(const ReportTable& table) {
  const std::vector<std::size_t> widths = widths_of(table);
  std::string text;
  const auto add = [&](const Row& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += (i == 0 ? "" : "  ") + padded(row[i], widths[i], is_number_column(table, i));
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add(table.header);
  for (const Row& row : table.rows) add(row);
  return text;
}

std::string markdown_lines(const ReportTable& table) {
  const auto escaped = [](std::string cell) {
    for (std::size_t at = 0; (at = cell.find('|', at)) != std::string::npos; at += 2) cell.insert(at, "\\");
    return cell;
  };
  ReportTable safe = table;
  for (Row& row : safe.rows) std::transform(row.begin(), row.end(), row.begin(), escaped);
  const std::vector<std::size_t> widths = widths_of(safe);
  std::string text;
  const auto add = [&](const Row& row) {
    text += "|";
    for (std::size_t i = 0; i < row.size(); ++i) text += " " + padded(row[i], widths[i], false) + " |";
    text += "\n";
  };
  add(safe.header);
  Row rule;
  for (const std::size_t width : widths) rule.emplace_back(width, '-');
  add(rule);
  for (const Row& row : safe.rows) add(row);
  return text;
}

std::string csv_lines(const ReportTable& table) {
  std::string text;
  const auto add = [&](const Row& row) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) text += ',';
      if (row[i].find_first_of(",\"\n\r") == std::string::npos) {
        text += row[i];
        continue;
      }
      text += '"';
      for (const char c : row[i]) text += c == '"' ? "\"\"" : std::string(1, c);
      text += '"';
    }
    text += '\n';
  };
  add(table.header);
  for (const Row& row : table.rows) add(row);
  return text;
}

std::string latex_cell(const std::string& cell) {
  // What our tables have beside letters and digits; the rest of UTF-8 LaTeX reads as it is.
  static constexpr std::pair<std::string_view, std::string_view> kSymbols[] = {{"\\", "\\textbackslash{}"},
                                                                               {"&", "\\&"},
                                                                               {"%", "\\%"},
                                                                               {"$", "\\$"},
                                                                               {"#", "\\#"},
                                                                               {"_", "\\_"},
                                                                               {"{", "\\{"},
                                                                               {"}", "\\}"},
                                                                               {"~", "\\textasciitilde{}"},
                                                                               {"^", "\\textasciicircum{}"},
                                                                               {"±", "$\\pm$"},
                                                                               {"−", "$-$"},
                                                                               {"–", "--"},
                                                                               {"×", "$\\times$"},
                                                                               {"‖r‖²", "$\\|r\\|^2$"},
                                                                               {"R²", "$R^2$"}};
  std::string text;
  for (std::size_t at = 0; at < cell.size();) {
    const auto* const symbol = std::find_if(std::begin(kSymbols), std::end(kSymbols), [&](const auto& each) {
      return cell.compare(at, each.first.size(), each.first) == 0;
    });
    if (symbol == std::end(kSymbols)) {
      text += cell[at++];
    } else {
      text += symbol->second;
      at += symbol->first.size();
    }
  }
  return text;
}

std::string latex_lines(const ReportTable& table) {
  std::string text = "\\begin{tabular}{";
  for (std::size_t i = 0; i < table.header.size(); ++i) text += is_number_column(table, i) ? 'r' : 'l';
  text += "}\n\\hline\n";
  const auto add = [&](const Row& row) {
    for (std::size_t i = 0; i < row.size(); ++i) text += (i == 0 ? "" : " & ") + latex_cell(row[i]);
    text += " \\\\\n";
  };
  add(table.header);
  text += "\\hline\n";
  for (const Row& row : table.rows) add(row);
  return text + "\\hline\n\\end{tabular}\n";
}

}  // namespace

ReportTable fitted(ReportTable table, std::size_t width) {
  constexpr std::size_t kNarrowest = 8;
  check(table);
  while (!table.header.empty()) {
    const std::vector<std::size_t> widths = widths_of(table);
    std::size_t all = 2 * (widths.size() - 1);
    for (const std::size_t each : widths) all += each;
    const auto widest =
        static_cast<std::size_t>(std::max_element(widths.begin(), widths.end()) - widths.begin());
    if (all <= width || widths[widest] <= kNarrowest) return table;
    const std::size_t most = std::max(kNarrowest, widths[widest] - std::min(widths[widest], all - width));
    // No further than to the next widest: they share the shortening.
    std::size_t next = kNarrowest;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (i != widest) next = std::max(next, std::min(widths[i], widths[widest] - 1));
    }
    const std::size_t length = std::max(most, next);
    table.header[widest] = shorten(table.header[widest], length);
    for (Row& row : table.rows) row[widest] = shorten(row[widest], length);
  }
  return table;
}

bool is_number_cell(const std::string& cell) {
  // "0.5 (0.4 to 0.6)" and "3 of 5 runs" are numbers; a sentence that begins with one is not.
  constexpr std::size_t kMaxLength = 48;
  if (cell.size() > kMaxLength) return false;
  const std::size_t first = cell.find_first_not_of("+- ");
  return cell == "–" || (first != std::string::npos && cell[first] >= '0' && cell[first] <= '9') ||
         cell.starts_with("−");
}

std::string table_text(const ReportTable& table, TableFormat format) {
  check(table);
  switch (format) {
    case TableFormat::text:
      return plain_lines(table);
    case TableFormat::markdown:
      return markdown_lines(table);
    case TableFormat::csv:
      return csv_lines(table);
    case TableFormat::latex:
      return latex_lines(table);
  }
  return "";
}

}  // namespace qmse
