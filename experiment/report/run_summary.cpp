#include "experiment/report/run_summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "experiment/report/run_curves.h"

namespace qmse {
namespace {

double measure(const ConfigJson& epoch, const std::string& key) {
  const auto value = epoch.find(key);
  return value != epoch.end() && value->is_number() ? value->get<double>()
                                                    : std::numeric_limits<double>::quiet_NaN();
}

double final_value(const RunRecord& run, const std::string& key) { return measure(run.epochs.back(), key); }

double best_value(const RunRecord& run, const std::string& key) {
  double best = std::numeric_limits<double>::quiet_NaN();
  for (const ConfigJson& epoch : run.epochs) best = std::fmax(best, measure(epoch, key));
  return best;
}

std::string fixed(double value, int decimals) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

}  // namespace

Spread spread(const std::vector<double>& values) {
  Spread result{values.size(), 0, 0};
  if (values.empty()) return result;
  const auto count = static_cast<double>(values.size());
  for (const double value : values) result.mean += value / count;
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / (count - 1));
  return result;
}

std::string spread_text(const Spread& spread, int decimals) {
  if (spread.count == 0) return "–";
  if (!std::isfinite(spread.mean)) return "not finite";
  return fixed(spread.mean, decimals) + (spread.count == 1 ? "" : " ± " + fixed(spread.deviation, decimals));
}

ReportTable summary_table(const std::vector<RunGroup>& groups) {
  const std::vector<std::string> names = differing_settings(groups);
  const std::string train = train_accuracy_measure(groups);
  ReportTable table;
  table.header = {"runs",
                  "how they ended",
                  "final training accuracy, %",
                  "best training accuracy, %",
                  "final test accuracy, %",
                  "best test accuracy, %",
                  "final training ‖r‖²",
                  "final test ‖r‖²"};
  for (const RunGroup& group : groups) {
    const std::string label = describe_settings(group.settings, names);
    std::vector<const RunRecord*> finished;
    for (const RunRecord& run : group.runs) {
      if (run.finished) finished.push_back(&run);
    }
    const std::string missing = missing_text(group.runs);
    const auto cell = [&](const auto& value, const std::string& key, double scale, int decimals) {
      std::vector<double> values;
      for (const RunRecord* run : finished) values.push_back(scale * value(*run, key));
      return spread_text(spread(values), decimals);
    };
    table.rows.push_back(
        {label.empty() ? describe_settings(group.settings, {"loss"}) : label,
         missing.empty() ? std::to_string(finished.size()) + " finished" : missing,
         cell(final_value, train, 100, 2), cell(best_value, train, 100, 2),
         cell(final_value, "test_accuracy", 100, 2), cell(best_value, "test_accuracy", 100, 2),
         cell(final_value, "train_residual_sq", 1, 4), cell(final_value, "test_residual_sq", 1, 4)});
  }
  return table;
}

}  // namespace qmse
