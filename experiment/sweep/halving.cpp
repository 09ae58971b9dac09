#include "experiment/sweep/halving.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "base/error.h"
#include "base/in_quotes.h"
#include "data/registry.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/epoch_record.h"
#include "experiment/run/metric_text.h"
#include "experiment/run/plain_text.h"
#include "experiment/sweep/sweep_spec.h"

namespace qmse {
namespace {

constexpr const char* kExample = R"({"after": [2, 6], "factor": 3, "metric": "validation_accuracy"})";
constexpr std::size_t kMaxRungs = 16;

TrainConfig config_of(const SweepSpec& spec, const SweepMember& member) {
  TrainConfig config = spec.config(member);
  resolve_defaults(config);
  return config;
}

// Whether settings may be chosen by it: not by the test images, which would flatter those that are left.
bool chooses(const Metric& metric) {
  return metric.kind != MetricKind::time &&
         (metric.key.starts_with("validation_") || metric.key.starts_with("train_"));
}

void check_metric(const std::string& name, const std::string& label) {
  const Metric* metric = find_metric(name);
  if (metric != nullptr && chooses(*metric)) return;
  std::string known;
  for (const Metric& each : metrics()) {
    if (chooses(each)) known += (known.empty() ? "" : ", ") + std::string(each.key);
  }
  const bool tested = metric != nullptr && metric->key.starts_with("test_");
  throw ConfigError(label + ": 'metric' cannot be " + in_quotes(name) +
                    (tested ? ": what is chosen by the test images looks too good on them" : "") +
                    "; one of " + known);
}

// What tells one setting from another (`setting`), and those that it does not compete with (`bracket`).
struct Keys {
  std::string bracket, setting;
};
Keys keys_of(const TrainConfig& config) {
  Json all = to_json(config);
  for (const char* machine : {"device", "threads", "note"}) all.erase(machine);
  for (const ConfigField& field : config_fields()) {
    if (field.group == ConfigGroup::random) all.erase(std::string(field.name));
  }
  Json around = all;
  for (const ConfigField& field : config_fields()) {
    if (is_tuned(field)) around.erase(std::string(field.name));
  }
  const auto text = [](const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  return {text(around), text(all)};
}

std::size_t kept_of(std::size_t count, std::int64_t factor) {
  const auto by = static_cast<std::size_t>(factor);
  return (count + by - 1) / by;
}

HalvingRung::Setting measured(const std::vector<std::size_t>& members, const std::vector<RungValues>& values,
                              std::size_t rung) {
  HalvingRung::Setting setting{.members = members};
  double sum = 0, count = 0;
  for (const std::size_t member : members) {
    const double value = values[member][rung];
    if (!std::isfinite(value)) {
      setting.whole = false;
      continue;
    }
    sum += value;
    ++count;
  }
  setting.value = count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
  return setting;
}

std::string value_text(const Metric& metric, double value) {
  if (!std::isfinite(value)) return "not finite";
  return figure_in_words(metric.key, value);
}

}  // namespace

Halving parse_halving(const Json& json, const std::string& label) {
  if (!json.is_object()) throw ConfigError(label + " must be an object, " + kExample);
  Halving halving;
  for (const auto& [key, value] : json.items()) {
    if (key == "after") {
      if (!value.is_array() || value.empty() || value.size() > kMaxRungs)
        throw ConfigError(label + ": 'after' must be a list of 1 to " + std::to_string(kMaxRungs) +
                          " epochs, not " + value.dump());
      for (const Json& epoch : value) {
        if (!epoch.is_number_unsigned() || epoch < 1 || epoch > std::numeric_limits<std::int32_t>::max() ||
            (!halving.after.empty() && epoch <= halving.after.back()))
          throw ConfigError(label + ": 'after' must be whole numbers from 1 up, each larger than the one " +
                            "before, not " + value.dump());
        halving.after.push_back(epoch.get<std::int64_t>());
      }
    } else if (key == "factor") {
      if (!value.is_number_unsigned() || value < 2 || value > 1000)
        throw ConfigError(label + ": 'factor' must be a whole number from 2 to 1000, not " + value.dump() +
                          ": of so many settings one goes on");
      halving.factor = value.get<std::int64_t>();
    } else if (key == "metric") {
      if (!value.is_string()) throw ConfigError(label + ": 'metric' must be a text, not " + value.dump());
      halving.metric = value.get<std::string>();
      check_metric(halving.metric, label);
    } else {
      throw ConfigError(label + ": unknown key " + in_quotes(key) + "; known keys: after, factor, metric");
    }
  }
  if (halving.after.empty()) throw ConfigError(label + ": 'after' is missing: " + kExample);
  return halving;
}

Json to_json(const Halving& halving) {
  return {{"after", halving.after}, {"factor", halving.factor}, {"metric", halving.metric}};
}

void complete(Halving& halving, const SweepSpec& spec, const std::string& label) {
  for (const SweepMember& member : spec.members) {
    const TrainConfig config = config_of(spec, member);
    const bool table = dataset_info(config.dataset).table;
    if (halving.metric.empty()) halving.metric = table ? "validation_r2" : "validation_accuracy";
    const std::string who = label + ": member " + in_quotes(member.name);
    if (config.epochs <= halving.after.back()) {
      throw ConfigError(who + " has " + counted(config.epochs, "epoch") +
                        ": 'after' must name fewer, and not " + std::to_string(halving.after.back()));
    }
    const Metric& metric = *find_metric(halving.metric);
    if (metric.key.starts_with("validation_") && config.validation == 0) {
      throw ConfigError(who + " has no " + halving.metric +
                        R"(: give "validation", such as 0.1, in 'base', or 'metric' one of training)");
    }
    if (metric.key.ends_with("_full") && !config.evaluate_train)
      throw ConfigError(who + " has no " + halving.metric + ": give \"evaluate_train\" in 'base'");
    if (metric.kind == (table ? MetricKind::accuracy : MetricKind::r2))
      throw ConfigError(who + " has no " + halving.metric + ": its data set is " + config.dataset);
  }
}

HalvingBrackets::HalvingBrackets(const SweepSpec& spec) : rule_(*spec.halving) {
  std::vector<std::size_t> by_name(spec.members.size());
  std::iota(by_name.begin(), by_name.end(), std::size_t{0});
  std::sort(by_name.begin(), by_name.end(),
            [&](std::size_t a, std::size_t b) { return spec.members[a].name < spec.members[b].name; });
  std::map<std::string, std::size_t> brackets;
  std::map<std::string, std::pair<std::size_t, std::size_t>> settings;  // bracket, place in it
  epochs_.resize(spec.members.size());
  for (const std::size_t i : by_name) {
    const TrainConfig config = config_of(spec, spec.members[i]);
    epochs_[i] = config.epochs;
    const Keys keys = keys_of(config);
    const auto bracket = brackets.emplace(keys.bracket, brackets_.size());
    if (bracket.second) brackets_.emplace_back();
    std::vector<Setting>& all = brackets_[bracket.first->second];
    const auto setting = settings.emplace(keys.setting, std::pair(bracket.first->second, all.size()));
    if (setting.second) all.emplace_back();
    all[setting.first->second.second].push_back(i);
  }
}

HalvingState HalvingBrackets::judge(const std::vector<RungValues>& values) const {
  HalvingState state;
  state.members.resize(epochs_.size());
  const bool higher = higher_is_better(*find_metric(rule_.metric));
  for (const std::vector<Setting>& bracket : brackets_) {
    std::vector<Setting> left = bracket;
    std::size_t rung = 0;
    for (; rung < rule_.after.size() && left.size() > 1; ++rung) {
      const bool all_there = std::all_of(left.begin(), left.end(), [&](const Setting& setting) {
        return std::all_of(setting.begin(), setting.end(),
                           [&](std::size_t member) { return values[member].size() > rung; });
      });
      if (!all_there) break;
      HalvingRung compared{.after = rule_.after[rung], .settings = {}};
      for (const Setting& setting : left) compared.settings.push_back(measured(setting, values, rung));
      std::stable_sort(compared.settings.begin(), compared.settings.end(), [&](const auto& a, const auto& b) {
        if (a.whole != b.whole) return a.whole;
        if (std::isnan(a.value) || std::isnan(b.value)) return !std::isnan(a.value) && std::isnan(b.value);
        return higher ? a.value > b.value : a.value < b.value;
      });
      const std::size_t kept = kept_of(left.size(), rule_.factor);
      left.clear();
      for (std::size_t place = 0; place < compared.settings.size(); ++place) {
        HalvingRung::Setting& setting = compared.settings[place];
        setting.goes_on = place < kept && !std::isnan(setting.value);
        if (setting.goes_on) left.push_back(setting.members);
        for (const std::size_t member : setting.members) {
          if (setting.goes_on) continue;
          HalvingPlace& out = state.members[member];
          out = {.epochs = compared.after, .eliminated = true, .rung = state.rungs.size(), .position = place};
          out.expected = static_cast<double>(compared.after);
        }
      }
      // By name again, as they came: of equals the first is to be the same after every comparison.
      std::sort(left.begin(), left.end(), [&](const Setting& a, const Setting& b) {
        return std::find(bracket.begin(), bracket.end(), a) < std::find(bracket.begin(), bracket.end(), b);
      });
      state.rungs.push_back(std::move(compared));
    }
    const bool open = left.size() > 1 && rung < rule_.after.size();
    for (const Setting& setting : left) {
      for (const std::size_t member : setting) {
        HalvingPlace& place = state.members[member];
        place.epochs = open ? rule_.after[rung] : epochs_[member];
        place.waits = open && values[member].size() > rung;
        place.expected = static_cast<double>(place.epochs);
        double share = 1;
        std::size_t count = left.size();
        for (std::size_t next = rung; open && next < rule_.after.size(); ++next) {
          const std::size_t kept = kept_of(count, rule_.factor);
          share *= static_cast<double>(kept) / static_cast<double>(count);
          count = kept;
          const std::int64_t to = next + 1 < rule_.after.size() ? rule_.after[next + 1] : epochs_[member];
          place.expected += share * static_cast<double>(to - rule_.after[next]);
        }
      }
    }
  }
  return state;
}

std::string elimination_text(const Halving& rule, const HalvingState& state, std::size_t member) {
  const HalvingPlace& place = state.members[member];
  const HalvingRung& rung = state.rungs[place.rung];
  const HalvingRung::Setting& setting = rung.settings[place.position];
  const Metric& metric = *find_metric(rule.metric);
  const auto kept = std::count_if(rung.settings.begin(), rung.settings.end(),
                                  [](const HalvingRung::Setting& each) { return each.goes_on; });
  return "place " + std::to_string(place.position + 1) + " of " + std::to_string(rung.settings.size()) +
         " by " + std::string(metric.label) + ", " + value_text(metric, setting.value) +
         (setting.members.size() > 1 ? " on average" : "") + ", after epoch " + std::to_string(rung.after) +
         "; " + std::to_string(kept) + (kept == 1 ? " goes on" : " go on");
}

Json halving_record(const SweepSpec& spec, const HalvingState& state) {
  Json record = to_json(*spec.halving);
  record["rungs"] = Json::array();
  for (const HalvingRung& rung : state.rungs) {
    Json settings = Json::array();
    for (const HalvingRung::Setting& setting : rung.settings) {
      Json names = Json::array();
      for (const std::size_t member : setting.members) names.push_back(spec.members[member].name);
      settings.push_back({{"members", std::move(names)},
                          {"value", std::isfinite(setting.value) ? Json(setting.value) : Json()},
                          {"goes_on", setting.goes_on}});
    }
    record["rungs"].push_back({{"after", rung.after}, {"settings", std::move(settings)}});
  }
  return record;
}

}  // namespace qmse
