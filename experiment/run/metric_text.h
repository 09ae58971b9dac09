// Figures of runs as people see them. Accuracies are fractions in everything that programs read (JSON, CSV),
// and per cent with two decimals on pages, in pictures, tables and lines; all else is the same in both.
#pragma once

#include <string>
#include <string_view>

#include "experiment/run/epoch_record.h"

namespace qmse {

struct MetricUnit {
  double factor = 1;             // what people see is the number times this
  int decimals = 4;              // where means and deviations stand below each other
  std::string_view symbol = "";  // "%"
};
MetricUnit unit_of(MetricKind kind);
MetricUnit unit_of(std::string_view key);  // of metrics.jsonl, as below

bool is_accuracy(std::string_view key);

std::string measure_name(std::string_view key);     // "training accuracy"
std::string measure_heading(std::string_view key);  // of a column: "training accuracy, %"
std::string measure_axis(std::string_view key);     // of a picture: "accuracy (%)", "training loss"

// "98.12", or of what is no accuracy four significant digits: "0.0312"; "–" for NaN.
std::string figure_text(std::string_view key, double value);
std::string figure_in_words(std::string_view key, double value);  // with its unit: "98.12 %", "0.0312"
// Below others of its kind: "98.12", "0.0312". A difference, in percentage points, has its sign: "+1.50".
std::string value_text(const MetricUnit& unit, double value);
std::string difference_text(const MetricUnit& unit, double difference);
std::string accuracy_text(double fraction);  // "98.12 %"

}  // namespace qmse
