#include "experiment/report/tuning.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/words.h"
#include "experiment/report/run_curves.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/metric_text.h"

namespace qmse {
namespace {

using Names = std::vector<std::string>;

bool has(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// "test_accuracy" -> "validation_accuracy"; empty for what has none.
std::string validation_twin(const std::string& measure) {
  for (const std::string_view split : {"test_", "train_"}) {
    if (!measure.starts_with(split)) continue;
    const std::string twin = "validation_" + measure.substr(split.size());
    if (find_metric(twin) != nullptr) return twin;
  }
  return measure.starts_with("validation_") ? measure : "";
}

bool all_have(const std::vector<RunGroup>& groups, const std::string& measure) {
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      if (run.finished && !run.epochs.back().contains(measure)) return false;
    }
  }
  return true;
}

void check_measure(const std::vector<RunGroup>& groups, const std::string& measure, const char* option) {
  Names known;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      if (run.epochs.empty()) continue;
      if (run.epochs.back().contains(measure)) return;
      for (const auto& [key, value] : run.epochs.back().items()) {
        if ((value.is_number() || value.is_null()) && !has(known, key)) known.push_back(key);
      }
    }
  }
  if (known.empty()) throw DataError("these runs have no epoch yet: nothing to compare");
  throw ConfigError(std::string(option) + ": no run has " + in_quotes(measure) + "; they have " +
                    join(known, ", "));
}

void check_setting(const std::string& name, const char* option) {
  if (name == "seed" || name.starts_with("seed_"))
    throw ConfigError(std::string(option) + ": runs that differ in " + name +
                      " alone are what means are over, and not compared");
  if (find_field(name) != nullptr) return;
  throw ConfigError(std::string(option) + ": unknown setting " + in_quotes(name) +
                    did_you_mean(name, names_of(config_fields())) +
                    "; settings are the options of qmse train, spelt with underscores");
}

// The choice that a setting belongs to, as momentum to optimizer; empty where it belongs to none.
std::string choice_of(const std::string& setting) {
  const ConfigField* field = find_field(setting);
  return field != nullptr && field->rule.only_with ? std::string(field->rule.only_with->setting) : "";
}

// Which of the settings that differ are compared, tuned, and part the rest.
void sort_settings(const std::vector<RunGroup>& groups, const TuningRequest& request, Tuning& tuning) {
  tuning.by = request.by;
  if (request.best_over) tuning.best_over = *request.best_over;
  for (const std::string& name : tuning.by) check_setting(name, "--by");
  for (const std::string& name : tuning.best_over) {
    check_setting(name, "--best-over");
    if (has(tuning.by, name))
      throw ConfigError("--best-over and --by both name " + in_quotes(name) +
                        ": what is compared cannot be tuned");
  }
  for (const std::string& name : differing_settings(groups)) {
    if (has(tuning.by, name) || has(tuning.best_over, name)) continue;
    const ConfigField* field = find_field(name);
    const std::string choice = choice_of(name);
    if (!choice.empty() && has(tuning.by, choice)) {
      tuning.by.push_back(name);
    } else if (!request.best_over ? field != nullptr && is_tuned(*field)
                                  : !choice.empty() && has(tuning.best_over, choice)) {
      tuning.best_over.push_back(name);
    } else {
      tuning.around.push_back(name);
    }
  }
}

Json only(const Json& settings, const Names& names) {
  Json some = Json::object();
  for (const std::string& name : names) {
    if (settings.contains(name)) some[name] = settings[name];
  }
  return some;
}

// The epoch whose figures count.
const Json& epoch_of(const RunRecord& run, const Tuning& tuning) {
  const Json* best = &run.epochs.back();
  if (!tuning.best_epoch) return *best;
  best = &run.epochs.front();
  for (const Json& epoch : run.epochs) {
    const double value = number_of(epoch, tuning.choose), so_far = number_of(*best, tuning.choose);
    if (std::isnan(so_far) || is_better(tuning.choose, value, so_far)) best = &epoch;
  }
  return *best;
}

TunedSetting setting_of(const RunGroup& group, const Tuning& tuning) {
  TunedSetting setting{group.settings, {}, missing_text(group.runs)};
  std::size_t wrong = 0;
  for (const RunRecord& run : group.runs) {
    setting.eliminated = setting.eliminated || (!run.finished && run.outcome.end == RunEnd::eliminated);
    if (!run.finished) continue;
    const Json& epoch = epoch_of(run, tuning);
    const TunedRun measured{seeds_of(run), number_of(epoch, tuning.choose), number_of(epoch, tuning.metric)};
    if (std::isfinite(measured.choose) && std::isfinite(measured.metric)) {
      setting.runs.push_back(measured);
    } else {
      ++wrong;
    }
  }
  if (wrong > 0) {
    setting.missing += (setting.missing.empty() ? "" : ", ") + std::to_string(wrong) + " of " +
                       std::to_string(group.runs.size()) + " not finite";
  }
  return setting;
}

// A mean that lost its worst run is no reason to choose a setting.
bool comes_before(const TunedSetting& a, const TunedSetting& b, const std::string& choose) {
  if (a.missing.empty() != b.missing.empty()) return a.missing.empty();
  if (a.runs.empty() || b.runs.empty()) return !a.runs.empty() && b.runs.empty();
  return is_better(choose, mean(values_of(a, &TunedRun::choose)), mean(values_of(b, &TunedRun::choose)));
}

// Whether two runs have the seeds that both draw on in common: MSE has no seed of v.
bool are_pair(const Json& a, const Json& b) {
  for (const auto& [name, seed] : a.items()) {
    if (b.contains(name) && b[name] != seed) return false;
  }
  return true;
}

TunedDifference difference_of(const TunedSetting& of, const TunedSetting& to) {
  TunedDifference difference;
  std::vector<bool> used(to.runs.size(), false);
  for (const TunedRun& run : of.runs) {
    for (std::size_t i = 0; i < to.runs.size(); ++i) {
      if (used[i] || !are_pair(run.seeds, to.runs[i].seeds)) continue;
      used[i] = true;
      difference.pairs.push_back(run.metric - to.runs[i].metric);
      break;
    }
  }
  difference.interval = student_t_interval(difference.pairs);
  difference.p = student_t_p_value(difference.pairs);
  return difference;
}

std::size_t reference_of(const TunedPart& part, const Tuning& tuning, const std::string& against) {
  const std::string wanted = against.empty() ? "mse" : against;
  for (std::size_t i = 0; i < part.rows.size(); ++i) {
    if (json_words(part.rows[i].settings.value(tuning.by.front(), Json())) == wanted) return i;
  }
  if (against.empty()) return 0;
  throw ConfigError("--against: no run has " + tuning.by.front() + " " + in_quotes(against) + "; they have " +
                    join(part.rows, ", ", [&](const TunedRow& row) {
                      return json_words(row.settings.value(tuning.by.front(), Json()));
                    }));
}

void compare_rows(Tuning& tuning, const std::string& against) {
  std::vector<TunedDifference*> tested;
  for (TunedPart& part : tuning.parts) {
    part.reference = reference_of(part, tuning, against);
    for (std::size_t i = 0; i < part.rows.size(); ++i) {
      if (i == part.reference) continue;
      part.rows[i].difference =
          difference_of(part.rows[i].tried.front(), part.rows[part.reference].tried.front());
      if (part.rows[i].difference->p) tested.push_back(&*part.rows[i].difference);
    }
  }
  std::vector<double> p_values;
  for (const TunedDifference* each : tested) p_values.push_back(*each->p);
  const std::vector<double> corrected = holm_corrected(p_values);
  for (std::size_t i = 0; i < tested.size(); ++i) tested[i]->p_corrected = corrected[i];
}

}  // namespace

bool is_better(const std::string& measure, double value, double other) {
  const Metric* metric = find_metric(measure);
  return metric != nullptr && higher_is_better(*metric) ? value > other : value < other;
}

std::vector<double> values_of(const TunedSetting& setting, double TunedRun::*member) {
  std::vector<double> values;
  for (const TunedRun& run : setting.runs) values.push_back(run.*member);
  return values;
}

Tuning tune(const std::vector<RunGroup>& groups, const TuningRequest& request) {
  Tuning tuning;
  tuning.metric = request.metric.empty() ? usual_measures(groups).back() : request.metric;
  tuning.best_epoch = request.best_epoch;
  check_measure(groups, tuning.metric, "--metric");
  tuning.choose = request.choose;
  if (tuning.choose.empty()) {
    const std::string twin = validation_twin(tuning.metric);
    tuning.choose = !twin.empty() && all_have(groups, twin) ? twin : tuning.metric;
  }
  check_measure(groups, tuning.choose, "--choose-by");
  sort_settings(groups, request, tuning);
  std::map<std::string, std::size_t> parts, rows;
  for (const RunGroup& group : groups) {
    const Json around = only(group.settings, tuning.around), by = only(group.settings, tuning.by);
    const auto [part, new_part] = parts.emplace(around.dump(), tuning.parts.size());
    if (new_part) tuning.parts.push_back({around, {}, 0});
    std::vector<TunedRow>& all = tuning.parts[part->second].rows;
    const auto [row, new_row] = rows.emplace(around.dump() + by.dump(), all.size());
    if (new_row) all.push_back({by, {}, {}});
    all[row->second].tried.push_back(setting_of(group, tuning));
  }
  for (TunedPart& part : tuning.parts) {
    for (TunedRow& row : part.rows) {
      std::stable_sort(row.tried.begin(), row.tried.end(), [&](const TunedSetting& a, const TunedSetting& b) {
        return comes_before(a, b, tuning.choose);
      });
    }
  }
  std::vector<RunGroup> settings;
  for (const TunedPart& part : tuning.parts) settings.push_back({part.settings, {}, {}});
  tuning.telling = telling_names(settings, tuning.around);
  compare_rows(tuning, request.against);
  return tuning;
}

}  // namespace qmse
