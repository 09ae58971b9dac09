// Numbers as an experiment's sentences and tables say them.
#pragma once

#include <optional>
#include <string>

#include "experiment/report/statistics.h"

namespace qmse {

// Three significant digits: "0.0173", "4.8e-05", "12", "–" for what is not finite.
std::string number_words(double value, int digits = 3);
// "0.45 [0.31, 0.60]"; without an interval the value alone.
std::string interval_words(double value, const std::optional<Interval>& interval, int digits = 3);

}  // namespace qmse
