#include "experiment/report/run_summary.h"

#include <algorithm>
#include <cmath>

#include "experiment/report/run_curves.h"

namespace qmse {

std::string spread_text(std::span<const double> values, const MetricUnit& unit) {
  if (values.empty()) return "–";
  const double center = mean(values);
  if (!std::isfinite(center)) return "not finite";
  const std::optional<double> deviation = standard_deviation(values);
  return value_text(unit, center) + (deviation ? " ± " + value_text(unit, *deviation) : "");
}

std::string difference_text(std::span<const double> pairs, const std::optional<Interval>& interval,
                            const MetricUnit& unit) {
  if (pairs.empty()) return "–";
  const auto shown = [&](double value) { return difference_text(unit, value); };
  return shown(mean(pairs)) + (interval ? " (" + shown(interval->low) + " to " + shown(interval->high) + ")"
                                        : " (one pair: no interval)");
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
  ReportTable table;
  table.header = {"runs", "how they ended"};
  const auto any_has = [&](const std::string& key) {
    return std::any_of(groups.begin(), groups.end(), [&](const RunGroup& group) {
      return std::any_of(group.runs.begin(), group.runs.end(), [&](const RunRecord& run) {
        return !run.epochs.empty() && run.epochs.back().contains(key);
      });
    });
  };
  // Accuracies, and R² where a run has one.
  std::vector<std::string> scores;
  if (any_has("test_accuracy") || !any_has("test_r2"))
    scores = {train_accuracy_measure(groups), "test_accuracy"};
  if (any_has("test_r2")) scores.insert(scores.end(), {"train_r2", "test_r2"});
  for (const std::string& score : scores) {
    table.header.push_back("final " + measure_heading(score));
    table.header.push_back("best " + measure_heading(score));
  }
  table.header.insert(table.header.end(), {"final training ‖r‖²", "final test ‖r‖²"});
  for (const RunGroup& group : groups) {
    const std::string label = describe_settings(group.settings, names);
    std::vector<const RunRecord*> finished;
    for (const RunRecord& run : group.runs) {
      if (run.finished) finished.push_back(&run);
    }
    const std::string missing = missing_text(group.runs);
    const auto cell = [&](const auto& value, const std::string& key) {
      std::vector<double> values;
      for (const RunRecord* run : finished) values.push_back(value(run->epochs, key));
      return spread_text(values, unit_of(key));
    };
    std::vector<std::string> row = {
        label.empty() ? describe_settings(group.settings, {"loss"}) : label,
        missing.empty() ? std::to_string(finished.size()) + " finished" : missing};
    for (const std::string& score : scores) {
      row.push_back(cell(final_value, score));
      row.push_back(cell(best_value, score));
    }
    row.push_back(cell(final_value, "train_residual_sq"));
    row.push_back(cell(final_value, "test_residual_sq"));
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace qmse
