// The table of tuned settings as it is printed.
#pragma once

#include <filesystem>
#include <string>

#include "experiment/report/tuning_report.h"

namespace qmse::app {

// As text and markdown with its notes and warnings.
std::string tuning_text(const Tuning& tuning, TableFormat format);

// Of all runs in `folder`, as text; empty where there is nothing to compare yet: fewer than two settings, or
// none that finished.
std::string tuning_text(const std::filesystem::path& folder);

}  // namespace qmse::app
