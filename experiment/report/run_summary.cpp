#include "experiment/report/run_summary.h"

#include <cmath>

#include "base/number_text.h"
#include "experiment/report/run_curves.h"
#include "experiment/report/statistics.h"
#include "experiment/run/epoch_record.h"

namespace qmse {

std::string spread_text(std::span<const double> values, int decimals) {
  if (values.empty()) return "–";
  const double center = mean(values);
  if (!std::isfinite(center)) return "not finite";
  const std::optional<double> deviation = standard_deviation(values);
  return fixed_text(center, decimals) + (deviation ? " ± " + fixed_text(*deviation, decimals) : "");
}

double final_value(std::span<const Json> epochs, std::string_view key) {
  return number_of(epochs.back(), key);
}

double best_value(std::span<const Json> epochs, std::string_view key) {
  double best = number_of(epochs.front(), key);
  for (const Json& epoch : epochs) best = std::fmax(best, number_of(epoch, key));
  return best;
}

ReportTable summary_table(const std::vector<RunGroup>& groups) {
  const std::vector<std::string> names = telling_names(groups, differing_settings(groups));
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
      for (const RunRecord* run : finished) values.push_back(scale * value(run->epochs, key));
      return spread_text(values, decimals);
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
