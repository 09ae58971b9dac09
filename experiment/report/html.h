// Pieces of HTML.
#pragma once

#include <string>
#include <string_view>

#include "experiment/report/report_table.h"

namespace qmse {

// Any text as the content of an element or of an attribute in double quotes.
std::string escape_html(const std::string& text);

// RFC 4648, section 4.
std::string base64(std::string_view bytes);

// Cells with numbers stand right. Throws ShapeError for a row that is longer or shorter than the header.
std::string html_table(const ReportTable& table);

// An <img> element that holds the whole picture, `type` being "image/svg+xml" or "image/png"; `description`
// is for those who do not see it.
std::string inline_image(const std::string& type, const std::string& bytes, const std::string& description);

}  // namespace qmse
