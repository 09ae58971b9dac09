#include "experiment/run/metric_text.h"

#include <cmath>

#include "base/number_text.h"
#include "base/words.h"

namespace qmse {

MetricUnit unit_of(MetricKind kind) {
  if (kind == MetricKind::accuracy) return {.factor = 100, .decimals = 2, .symbol = "%"};
  return {};
}

MetricUnit unit_of(std::string_view key) {
  const Metric* metric = find_metric(key);
  return unit_of(metric != nullptr ? metric->kind : MetricKind::number);
}

bool is_accuracy(std::string_view key) {
  const Metric* metric = find_metric(key);
  return metric != nullptr && metric->kind == MetricKind::accuracy;
}

std::string measure_name(std::string_view key) {
  if (const Metric* metric = find_metric(key)) return std::string(metric->label);
  return with_spaces(key);
}

std::string measure_heading(std::string_view key) {
  const std::string_view symbol = unit_of(key).symbol;
  return measure_name(key) + (symbol.empty() ? "" : ", " + std::string(symbol));
}

std::string measure_axis(std::string_view key) {
  return is_accuracy(key) ? "accuracy (" + std::string(unit_of(key).symbol) + ")" : measure_name(key);
}

std::string figure_text(std::string_view key, double value) {
  if (std::isnan(value)) return "–";
  return is_accuracy(key) ? value_text(unit_of(key), value) : significant_text(value, 4);
}

std::string figure_in_words(std::string_view key, double value) {
  const std::string_view symbol = unit_of(key).symbol;
  return figure_text(key, value) + (symbol.empty() || std::isnan(value) ? "" : " " + std::string(symbol));
}

std::string value_text(const MetricUnit& unit, double value) {
  const std::string text = fixed_text(unit.factor * value, unit.decimals);
  return text.starts_with('-') ? "−" + text.substr(1) : text;  // as long as a plus
}

std::string difference_text(const MetricUnit& unit, double difference) {
  return signed_fixed_text(unit.factor * difference, unit.decimals);
}

std::string accuracy_text(double fraction) {
  const MetricUnit unit = unit_of(MetricKind::accuracy);
  return value_text(unit, fraction) + " " + std::string(unit.symbol);
}

}  // namespace qmse
