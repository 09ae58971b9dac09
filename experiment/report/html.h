// Pieces of HTML.
#pragma once

#include <string>

#include "experiment/report/report.h"

namespace qmse {

// Any text as the content of an element or of an attribute in double quotes.
std::string escape_html(const std::string& text);

// Cells with numbers stand right. Throws ShapeError for a row that is longer or shorter than the header.
std::string html_table(const ReportTable& table);

// An SVG file as an element of a page that holds several: without the file's head, with ids of its own,
// colours that the page can change (custom properties --plot-rrggbb) and `description` for those who do not
// see it.
std::string inline_svg(const std::string& file, const std::string& prefix, const std::string& description);

}  // namespace qmse
