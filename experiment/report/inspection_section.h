// What `qmse inspect` found of weights (analysis/inspect/inspection.h), as a part of a page.
#pragma once

#include <filesystem>
#include <string>

#include "experiment/report/report.h"
#include "experiment/run/config.h"

namespace qmse {

// Where an inspection of a run's weights is kept, within its directory.
inline constexpr const char* kInspectionFolder = "inspection";
inline constexpr const char* kInspectionFile = "inspection.json";

// The picture: the eigenvalues of D D^T, and every image's kappa against its ||r||^2 with the limits beyond
// which its visit does not contract.
Figure inspection_figure(const Json& inspection);

// Its sentences, a table of its units and the picture. DataError, beginning with `source`, where it is not
// what inspect() makes.
ReportSection inspection_section(const Json& inspection, const std::string& title, const std::string& source);

}  // namespace qmse
