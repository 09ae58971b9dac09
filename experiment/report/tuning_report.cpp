#include "experiment/report/tuning_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/number_text.h"
#include "base/words.h"
#include "experiment/report/run_summary.h"
#include "experiment/run/metric_text.h"

namespace qmse {
namespace {

using Names = std::vector<std::string>;

std::size_t compared(const Tuning& tuning) {
  std::size_t count = 0;
  for (const TunedPart& part : tuning.parts) count += part.rows.size() - 1;
  return count;
}

// How many settings halving has ended, and how many there are.
std::pair<std::size_t, std::size_t> eliminated_of(const Tuning& tuning) {
  std::size_t ended = 0, all = 0;
  for (const TunedPart& part : tuning.parts) {
    for (const TunedRow& row : part.rows) {
      for (const TunedSetting& setting : row.tried) ended += setting.eliminated ? 1 : 0;
      all += row.tried.size();
    }
  }
  return {ended, all};
}

std::string label_of(const TunedRow& row, const Tuning& tuning) {
  return describe_settings(row.settings, tuning.by);
}

std::string spread(const TunedSetting& setting, double TunedRun::*member, const std::string& measure) {
  return spread_text(values_of(setting, member), unit_of(measure));
}

// "97.91 to 98.32"; Student's, of the mean over the seeds.
std::string interval_text(const TunedSetting& setting, const std::string& measure) {
  const std::optional<Interval> interval = student_t_interval(values_of(setting, &TunedRun::metric));
  if (!interval) return "–";
  const MetricUnit unit = unit_of(measure);
  return value_text(unit, interval->low) + " to " + value_text(unit, interval->high);
}

bool has_intervals(const Tuning& tuning) {
  return std::any_of(tuning.parts.begin(), tuning.parts.end(), [](const TunedPart& part) {
    return std::any_of(part.rows.begin(), part.rows.end(),
                       [](const TunedRow& row) { return row.tried.front().runs.size() > 1; });
  });
}

std::string p_text(const std::optional<double>& p) {
  if (!p) return "–";
  return *p < 0.0001 ? "< 0.0001" : fixed_text(*p, 4);
}

// The values of a number that were tried for a row.
std::set<double> values_tried(const TunedRow& row, const std::string& name) {
  std::set<double> values;
  for (const TunedSetting& setting : row.tried) {
    const Json value = setting.settings.value(name, Json());
    if (value.is_number()) values.insert(value.get<double>());
  }
  return values;
}

// All values of a setting that were tried for a row, numbers by their size.
std::vector<Json> all_values(const TunedRow& row, const std::string& name) {
  std::vector<Json> values;
  for (const TunedSetting& setting : row.tried) {
    const auto value = setting.settings.find(name);
    if (value != setting.settings.end() && std::find(values.begin(), values.end(), *value) == values.end())
      values.push_back(*value);
  }
  std::stable_sort(values.begin(), values.end(), [](const Json& a, const Json& b) {
    return a.is_number() && b.is_number() ? a.get<double>() < b.get<double>() : json_words(a) < json_words(b);
  });
  return values;
}

// The best of those that were tried with these values; null where there is none.
const TunedSetting* best_with(const TunedRow& row, const std::map<std::string, Json>& values) {
  for (const TunedSetting& setting : row.tried) {
    const bool all = std::all_of(values.begin(), values.end(), [&](const auto& each) {
      return setting.settings.value(each.first, Json()) == each.second;
    });
    if (all) return &setting;
  }
  return nullptr;
}

std::string swept_number(const Tuning& tuning) {
  for (const std::string& name : tuning.best_over) {
    for (const TunedPart& part : tuning.parts) {
      for (const TunedRow& row : part.rows) {
        if (values_tried(row, name).size() > 1) return name;
      }
    }
  }
  return "";
}

Curve curve_over(const TunedRow& row, const Tuning& tuning, const std::string& name, double TunedRun::*member,
                 const std::string& measure) {
  Curve curve{label_of(row, tuning), {}, {}};
  for (const double x : values_tried(row, name)) {
    const auto best = std::find_if(row.tried.begin(), row.tried.end(), [&](const TunedSetting& setting) {
      const Json value = setting.settings.value(name, Json());
      return value.is_number() && value.get<double>() == x && !setting.runs.empty();
    });
    if (best == row.tried.end()) continue;
    const std::vector<double> values = values_of(*best, member);
    const double factor = unit_of(measure).factor, center = factor * mean(values),
                 reach = factor * standard_deviation(values).value_or(0);
    curve.x.push_back(x);
    curve.mean.push_back(center);
    curve.low.push_back(center - reach);
    curve.high.push_back(center + reach);
  }
  return curve;
}

bool is_validated(const Tuning& tuning) { return tuning.choose.starts_with("validation_"); }

}  // namespace

ReportTable tuning_table(const Tuning& tuning) {
  ReportTable table;
  const bool several = tuning.parts.size() > 1, differences = compared(tuning) > 0;
  const bool tuned = !tuning.best_over.empty(), chosen = tuning.choose != tuning.metric;
  if (several) table.header.emplace_back("where");
  table.header.emplace_back("compared");
  if (tuned) table.header.insert(table.header.end(), {"best setting", "tried"});
  table.header.emplace_back("runs");
  if (chosen) table.header.push_back(measure_heading(tuning.choose));
  table.header.push_back(measure_heading(tuning.metric));
  const bool intervals = has_intervals(tuning);
  if (intervals) table.header.emplace_back("95 % interval of its mean");
  if (differences) table.header.insert(table.header.end(), {"difference", "p"});
  for (const TunedPart& part : tuning.parts) {
    for (std::size_t i = 0; i < part.rows.size(); ++i) {
      const TunedRow& row = part.rows[i];
      const TunedSetting& best = row.tried.front();
      std::vector<std::string> cells;
      if (several) cells.push_back(describe_settings(part.settings, tuning.telling));
      cells.push_back(label_of(row, tuning));
      if (tuned) {
        cells.push_back(best.runs.empty() ? "none finished"
                                          : describe_settings(best.settings, tuning.best_over));
        cells.push_back(std::to_string(row.tried.size()));
      }
      cells.push_back(best.missing.empty() ? std::to_string(best.runs.size()) : best.missing);
      if (chosen) cells.push_back(spread(best, &TunedRun::choose, tuning.choose));
      cells.push_back(spread(best, &TunedRun::metric, tuning.metric));
      if (intervals) cells.push_back(interval_text(best, tuning.metric));
      if (differences) {
        const auto& difference = row.difference;
        cells.push_back(difference
                            ? difference_text(difference->pairs, difference->interval, unit_of(tuning.metric))
                            : "");
        cells.push_back(difference ? p_text(difference->p_corrected) : "");
      }
      table.rows.push_back(std::move(cells));
    }
  }
  return table;
}

std::vector<ReportTable> tuning_maps(const Tuning& tuning, std::size_t most) {
  std::vector<ReportTable> maps;
  for (const TunedPart& part : tuning.parts) {
    for (const TunedRow& row : part.rows) {
      Names axes;
      for (const std::string& name : tuning.best_over) {
        if (axes.size() < 2 && all_values(row, name).size() > 1) axes.push_back(name);
      }
      if (axes.size() < 2 || maps.size() == most) continue;
      const std::vector<Json> across = all_values(row, axes[0]), down = all_values(row, axes[1]);
      ReportTable map;
      map.caption = (tuning.parts.size() > 1 ? describe_settings(part.settings, tuning.telling) + ", " : "") +
                    label_of(row, tuning) + ": " + measure_heading(tuning.choose);
      map.header = {setting_words(axes[1]) + " (down), " + setting_words(axes[0]) + " (across)"};
      for (const Json& value : across) map.header.push_back(json_words(value));
      double worst = NAN, best = NAN;
      for (const Json& y : down) {
        map.rows.push_back({json_words(y)});
        map.shades.push_back({NAN});
        for (const Json& x : across) {
          const TunedSetting* const setting = best_with(row, {{axes[0], x}, {axes[1], y}});
          const bool any = setting != nullptr && !setting->runs.empty();
          const double value = any ? mean(values_of(*setting, &TunedRun::choose)) : NAN;
          map.rows.back().push_back(any                  ? spread(*setting, &TunedRun::choose, tuning.choose)
                                    : setting != nullptr ? setting->missing
                                                         : "–");
          map.shades.back().push_back(value);
          if (!any) continue;
          if (std::isnan(best) || is_better(tuning.choose, value, best)) best = value;
          if (std::isnan(worst) || is_better(tuning.choose, worst, value)) worst = value;
        }
      }
      for (std::vector<double>& shades : map.shades) {
        for (double& shade : shades) shade = best == worst ? NAN : (shade - worst) / (best - worst);
      }
      maps.push_back(std::move(map));
    }
  }
  return maps;
}

ReportTable tuning_numbers(const Tuning& tuning) {
  ReportTable table;
  for (const Names* names : {&tuning.around, &tuning.by, &tuning.best_over})
    table.header.insert(table.header.end(), names->begin(), names->end());
  const Names figures = {"rank",
                         "runs",
                         "missing",
                         tuning.choose + " mean",
                         tuning.choose + " deviation",
                         tuning.metric + " mean",
                         tuning.metric + " deviation",
                         tuning.metric + " low",
                         tuning.metric + " high",
                         "pairs",
                         "difference",
                         "low",
                         "high",
                         "p",
                         "p corrected"};
  table.header.insert(table.header.end(), figures.begin(), figures.end());
  const auto number = [](const std::optional<double>& value) { return value ? shortest_text(*value) : ""; };
  for (const TunedPart& part : tuning.parts) {
    for (const TunedRow& row : part.rows) {
      for (std::size_t rank = 0; rank < row.tried.size(); ++rank) {
        const TunedSetting& setting = row.tried[rank];
        std::vector<std::string> cells;
        for (const Names* names : {&tuning.around, &tuning.by, &tuning.best_over}) {
          for (const std::string& name : *names)
            cells.push_back(setting.settings.contains(name) ? json_words(setting.settings[name]) : "");
        }
        cells.push_back(std::to_string(rank + 1));
        cells.push_back(std::to_string(setting.runs.size()));
        cells.push_back(setting.missing);
        for (const auto member : {&TunedRun::choose, &TunedRun::metric}) {
          const std::vector<double> values = values_of(setting, member);
          cells.push_back(values.empty() ? "" : shortest_text(mean(values)));
          cells.push_back(number(standard_deviation(values)));
        }
        const std::optional<Interval> of_mean = student_t_interval(values_of(setting, &TunedRun::metric));
        cells.push_back(of_mean ? shortest_text(of_mean->low) : "");
        cells.push_back(of_mean ? shortest_text(of_mean->high) : "");
        if (rank == 0 && row.difference && !row.difference->pairs.empty()) {
          const TunedDifference& difference = *row.difference;
          const auto& interval = difference.interval;
          cells.push_back(std::to_string(difference.pairs.size()));
          cells.push_back(shortest_text(mean(difference.pairs)));
          cells.push_back(interval ? shortest_text(interval->low) : "");
          cells.push_back(interval ? shortest_text(interval->high) : "");
          cells.push_back(number(difference.p));
          cells.push_back(number(difference.p_corrected));
        } else {
          cells.insert(cells.end(), 6, "");
        }
        table.rows.push_back(std::move(cells));
      }
    }
  }
  return table;
}

std::vector<std::string> tuning_notes(const Tuning& tuning) {
  std::string text = "Mean ± standard deviation over the seeds of finished runs, ";
  text += tuning.best_epoch ? "each after its epoch with the best " + measure_name(tuning.choose)
                            : "after the last epoch";
  text += ".";
  if (!tuning.best_over.empty() && is_validated(tuning)) {
    text += " A row has the setting with the best mean " + measure_name(tuning.choose) + " of those tried; " +
            measure_name(tuning.metric) + " had no part in the choice.";
  }
  if (has_intervals(tuning)) text += " The interval is Student's, of the mean over the seeds.";
  std::vector<std::string> notes = {text};
  if (const auto [ended, all] = eliminated_of(tuning); ended > 0) {
    notes.push_back("Of " + std::to_string(all) + " settings " + std::to_string(ended) +
                    (ended == 1 ? " was" : " were") +
                    " eliminated on the way, by the sweep's halving, and not trained to the end; the list of "
                    "runs says after which epoch, and by which figure.");
  }
  if (const std::size_t count = compared(tuning); count > 0) {
    std::set<std::string> references;
    for (const TunedPart& part : tuning.parts) references.insert(label_of(part.rows[part.reference], tuning));
    std::string difference = "Difference in " + measure_name(tuning.metric) + " to ";
    difference += references.size() == 1 ? *references.begin() : "the row without one";
    difference +=
        ": pairs of runs with the same seeds, with Student's 95 % interval of their mean; p is that of the "
        "paired t test";
    notes.push_back(
        difference +
        (count > 1 ? ", corrected for " + std::to_string(count) + " comparisons by Holm's method." : "."));
  }
  return notes;
}

std::vector<std::string> tuning_warnings(const Tuning& tuning) {
  std::vector<std::string> warnings;
  const bool any_choice = std::any_of(tuning.parts.begin(), tuning.parts.end(), [](const TunedPart& part) {
    return std::any_of(part.rows.begin(), part.rows.end(),
                       [](const TunedRow& row) { return row.tried.size() > 1; });
  });
  if ((any_choice || tuning.best_epoch) && tuning.choose == tuning.metric && !is_validated(tuning)) {
    warnings.push_back("The settings were chosen by " + measure_name(tuning.metric) +
                       " itself, which makes it too good; train with --validation, and they are chosen by "
                       "images kept apart.");
  }
  const std::string name = swept_number(tuning);
  for (const TunedPart& part : tuning.parts) {
    for (const TunedRow& row : part.rows) {
      const std::string label =
          (tuning.parts.size() > 1 ? describe_settings(part.settings, tuning.telling) + ", " : "") +
          label_of(row, tuning);
      const TunedSetting& best = row.tried.front();
      if (!best.missing.empty() && row.tried.size() > 1)
        warnings.push_back(label + ": no setting has all its runs finished; the best has " + best.missing +
                           ".");
      if (name.empty() || best.runs.empty() || !best.settings.contains(name)) continue;
      const std::set<double> tried = values_tried(row, name);
      const double at = best.settings[name].is_number() ? best.settings[name].get<double>() : NAN;
      if (tried.size() < 2 || (at != *tried.begin() && at != *tried.rbegin())) continue;
      warnings.push_back(label + ": its best " + describe_settings(best.settings, {name}) + " is the " +
                         (at == *tried.begin() ? "smallest" : "largest") +
                         " tried; the best may lie beyond.");
    }
  }
  return warnings;
}

Figure tuning_figure(const Tuning& tuning) {
  Figure figure;
  const std::string name = swept_number(tuning);
  if (name.empty()) return figure;
  std::vector<std::pair<std::string, double TunedRun::*>> measures = {{tuning.metric, &TunedRun::metric}};
  if (tuning.choose != tuning.metric) measures.insert(measures.begin(), {tuning.choose, &TunedRun::choose});
  const std::string words = setting_words(name);
  figure.title = "Over the " + words;
  figure.columns = static_cast<int>(measures.size());
  for (const TunedPart& part : tuning.parts) {
    std::set<double> all;
    for (const TunedRow& row : part.rows) {
      for (const double value : values_tried(row, name)) all.insert(value);
    }
    if (all.size() < 2) continue;
    const std::string where = describe_settings(part.settings, tuning.telling);
    for (const auto& [measure, member] : measures) {
      Panel panel;
      panel.title = capitalised(measure_name(measure)) + (where.empty() ? "" : ", " + where);
      panel.x_label = words;
      panel.y_label = measure_axis(measure);
      panel.log_x = *all.begin() > 0 && *all.rbegin() >= 10 * *all.begin();
      bool any_line = false;  // else the table says all there is
      for (const TunedRow& row : part.rows) {
        panel.curves.push_back(curve_over(row, tuning, name, member, measure));
        any_line = any_line || panel.curves.back().x.size() > 1;
      }
      if (any_line) figure.panels.push_back(std::move(panel));
    }
  }
  figure.caption = "Points: the mean over the seeds that finished; bands: their standard deviation.";
  if (tuning.best_over.size() > 1)
    figure.caption += " Of the other settings that were tried each point has the best.";
  return figure;
}

}  // namespace qmse
