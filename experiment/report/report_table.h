// A table of texts, and how it is written: for a terminal, documents, programs and papers.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/choice.h"

namespace qmse {

struct ReportTable {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  // as many cells as the header has
  // On a page alone: what stands above it, how much each cell is shaded, from 0 to 1 (NaN: not at all), and
  // where each row's first cell leads ("#s3"; none or empty: nowhere).
  std::string caption = {};
  std::vector<std::vector<double>> shades = {};
  std::vector<std::string> links = {};
};

enum class TableFormat { text, markdown, csv, latex };
constexpr std::array<Choice<TableFormat>, 4> choices(TableFormat) {
  return {{{TableFormat::text, "text"},
           {TableFormat::markdown, "markdown"},
           {TableFormat::csv, "csv"},
           {TableFormat::latex, "latex"}}};
}

// Lines, each with its end. text: aligned columns, numbers at the right; csv: RFC 4180's quotes, with plain
// line ends; latex: a tabular, in which every text shows as it stands. ShapeError for a row that is longer or
// shorter than the header.
std::string table_text(const ReportTable& table, TableFormat format);

// `table` with its widest cells shortened, the header's last, until a line of text has at most `width`
// characters; no column becomes narrower than 8.
ReportTable fitted(ReportTable table, std::size_t width);

// Whether a cell is to stand right: "98.1 ± 0.2", "–", "+1.5 (−0.2 to 3.2)".
bool is_number_cell(const std::string& cell);

}  // namespace qmse
