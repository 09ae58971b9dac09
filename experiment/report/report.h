// A page that shows what is in a folder of runs to someone who has never seen the project.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiment/report/figure.h"
#include "experiment/report/report_table.h"

namespace qmse {

// Text, then tables, then figures. All text is plain: the page shows it as it stands.
struct ReportSection {
  std::string title;
  std::vector<std::string> paragraphs = {};
  std::vector<ReportTable> tables = {};
  std::vector<Figure> figures = {};  // each panel becomes a picture of its own, so that phones can show it
  std::string warning = {};          // shown first: what a reader must know before the numbers
};

struct ReportRequest {
  std::filesystem::path folder = {};         // of runs, at any depth
  std::filesystem::path out = {};            // the file; empty: report.html in the folder
  std::string title = {};                    // empty: the folder's name
  std::vector<ReportSection> sections = {};  // shown first, before what every report has
  bool own_results = false;  // the sections have the results: no table and curves of all groups after them
};

// Writes one HTML file that needs nothing else: no network, no other file. Runs that are not finished or
// cannot be read are listed as such. Throws DataError where the folder holds no run, IoError, and Error where
// gnuplot is missing or fails.
void write_report(const ReportRequest& request);

}  // namespace qmse
