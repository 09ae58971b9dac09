// A page of sections with a list of them at its head: one HTML file that needs nothing else, no network, no
// other file.
#pragma once

#include <string>
#include <vector>

#include "experiment/report/report.h"

namespace qmse {

// The parts in the order in which they are asked for; headings are numbered through.
class HtmlPage {
 public:
  // Of a section; the page lists it at its head.
  std::string heading(const std::string& text);
  // Any text; both escape it.
  static std::string warning(const std::string& text);  // of one line or several
  static std::string paragraph(const std::string& text);
  std::string figure(const Figure& figure);
  std::string section(const ReportSection& section);

  // The whole file. `summary` and `sections` are HTML, made by the functions above.
  std::string html(const std::string& title, const std::string& summary, const std::string& sections) const;

 private:
  std::string contents() const;

  std::vector<std::string> headings_;
  std::size_t figures_ = 0;
};

}  // namespace qmse
