#include "experiment/report/run_groups.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <string_view>
#include <utility>

#include "base/number_text.h"
#include "base/words.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/digest.h"
#include "experiment/run/epoch_record.h"
#include "experiment/run/file_lock.h"

namespace qmse {
namespace {

using Words = std::vector<std::string_view>;

bool any_of(const Words& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

const Words kSeeds = {"seed", "seed_init", "seed_data", "seed_v"};
const Words kNoMatter = {"data",           "threads",   "checkpoint_every", "snapshot_every", "log_steps",
                         "evaluate_train", "keep_best", "diagnose",         "no_graph"};

// Whether a run uses this setting. Those that a record lacks have their defaults.
bool has_effect(std::string_view name, const Json& config) {
  const ConfigField* field = find_field(name);
  if (field == nullptr || !field->rule.only_with) return true;
  const ConfigCondition& condition = *field->rule.only_with;
  const auto given = config.find(condition.setting);
  return condition.holds(given != config.end() ? *given : get(TrainConfig{}, *find_field(condition.setting)));
}

bool matters(const std::string& name, const Json& config) {
  return !any_of(kSeeds, name) && !any_of(kNoMatter, name) && has_effect(name, config);
}

// Whether a comes before b: by the order of the table's choices where the setting has some.
bool before(const std::string& name, const Json& a, const Json& b) {
  const ConfigField* field = find_field(name);
  if (field != nullptr && a.is_string() && b.is_string()) {
    const auto& choices = field->rule.choices;
    const auto place = [&](const Json& value) {
      return std::find_if(choices.begin(), choices.end(),
                          [&](const NamedChoice& choice) {
                            return choice.name == value.get_ref<const std::string&>();
                          }) -
             choices.begin();
    };
    if (place(a) != place(b)) return place(a) < place(b);
  }
  return a < b;
}

std::string value_text(const Json& value) {
  if (!value.is_array()) return json_words(value);
  return value.empty() ? "none" : join(value, "-", value_text);
}

// As much of a hash as is shown.
constexpr std::size_t kDigestDigits = 12;

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The beginning of the hash that tells one set of images from another.
std::string data_name(const Json& trained_on) {
  if (trained_on == kNotRecorded) return kNotRecorded;
  return (trained_on.is_string() ? trained_on.get<std::string>() : short_digest(json_line(trained_on)))
      .substr(0, kDigestDigits);
}

std::string describe_setting(const std::string& name, const Json& value) {
  const std::string words = setting_words(name);
  if (value.is_boolean()) return (value.get<bool>() ? "" : "no ") + words;
  const std::string text = value_text(value);
  if (name == "data") return "data " + data_name(value);
  if (name == "init_from" && text.empty()) return "random first weights";
  if (name == "init_from") return "first weights " + (is_sha256(text) ? text.substr(0, kDigestDigits) : text);
  if (name == "epochs") return text + (text == "1" ? " epoch" : " epochs");
  if (name == "train_limit") return (text == "0" ? "all" : text) + " training images";
  const ConfigField* field = find_field(name);
  const std::string_view label = field != nullptr ? field->label(text) : "";
  if (!label.empty()) return std::string(label);
  return words + " " + text;
}

// In words where first weights are those of an epoch of one of these runs.
void name_first_weights(std::vector<RunGroup>& groups) {
  const auto begins = [](const RunGroup& group) {
    const Json start = group.settings.value("init_from", Json());
    return start.is_string() && start != "";
  };
  if (std::none_of(groups.begin(), groups.end(), begins)) return;
  std::map<std::string, std::string> ends;  // "epoch 5 of first", by the hash of the weights after it
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      for (const Json& epoch : run.epochs) {
        const Json hash = epoch.value("weights_sha256", Json());
        if (!hash.is_string()) continue;
        ends.emplace(hash.get<std::string>(),
                     "epoch " + epoch["epoch"].dump() + " of " + run.directory.filename().string());
      }
    }
  }
  for (RunGroup& group : groups) {
    if (!begins(group)) continue;
    const auto end = ends.find(group.settings["init_from"].get<std::string>());
    if (end != ends.end()) group.settings["init_from"] = end->second;
  }
}

}  // namespace

std::string setting_words(std::string_view name) {
  return name == "lr" ? "learning rate" : name == "mlp_widths" ? "widths" : with_spaces(name);
}

Json seeds_of(const RunRecord& run) {
  Json all = Json::object();
  for (const std::string_view name : kSeeds) {
    if (name == "seed" || !has_effect(name, run.config)) continue;
    all[std::string(name)] = run.config.value(std::string(name), run.config.value("seed", Json()));
  }
  return all;
}

Json result_settings(const RunRecord& run) {
  Json settings = Json::object();
  // In the table's order. A record older than a setting has its default; what
  // no table has any more comes last.
  TrainConfig defaults;
  defaults.optimizer = run.config.value("optimizer", defaults.optimizer);
  resolve_defaults(defaults);
  Json whole = Json::object();
  for (const ConfigField& field : config_fields()) {
    if (!field.rule.recorded) continue;
    const std::string name(field.name);
    Json value = run.config.contains(name) ? run.config[name] : get(defaults, field);
    if (!value.is_null()) whole[name] = std::move(value);
  }
  whole.update(run.config);
  for (const auto& [name, value] : whole.items()) {
    if (!matters(name, whole)) continue;
    settings[name] = value;
    // Which of several equal devices it was does not matter.
    if (name == "device" && value.is_string()) {
      const std::string device = value.get<std::string>();
      settings[name] = device.substr(0, device.find(':'));
    }
  }
  settings["data"] = trained_on(run.environment);
  if (const std::string start = started_from(run.environment);
      !start.empty() && !settings.value("init_from", "").empty())
    settings["init_from"] = start;
  return settings;
}

std::vector<RunGroup> group_runs(std::vector<RunRecord> runs) {
  std::vector<RunGroup> groups;
  std::map<std::string, std::size_t> places;       // of a group, by its settings
  std::map<std::string, std::size_t> seed_places;  // of a run in its group, by both settings and seeds
  for (RunRecord& run : runs) {
    const Json settings = result_settings(run);
    const std::string key = json_line(settings);
    const auto [place, fresh] = places.emplace(key, groups.size());
    if (fresh) groups.push_back(RunGroup{settings, {}, {}});
    RunGroup& group = groups[place->second];
    const auto [same, new_seeds] = seed_places.emplace(key + json_line(seeds_of(run)), group.runs.size());
    if (new_seeds) {
      group.runs.push_back(std::move(run));
    } else {
      RunRecord& counted = group.runs[same->second];
      if (counted.epochs.size() < run.epochs.size()) std::swap(counted, run);
      group.repeats.push_back(std::move(run));
    }
  }
  name_first_weights(groups);
  const std::vector<std::string> names = differing_settings(groups);
  std::stable_sort(groups.begin(), groups.end(), [&](const RunGroup& a, const RunGroup& b) {
    for (const std::string& name : names) {
      const Json left = a.settings.value(name, Json()), right = b.settings.value(name, Json());
      if (left != right) return before(name, left, right);
    }
    return false;
  });
  return groups;
}

std::vector<std::string> differing_settings(const std::vector<RunGroup>& groups) {
  struct Seen {
    const Json* value;
    bool differs;
  };
  std::map<std::string, Seen> seen;
  std::vector<std::string> order;
  for (const RunGroup& group : groups) {
    for (const auto& [name, value] : group.settings.items()) {
      const auto [entry, fresh] = seen.emplace(name, Seen{&value, false});
      if (fresh) order.push_back(name);
      if (!entry->second.differs) entry->second.differs = *entry->second.value != value;
    }
  }
  std::erase_if(order, [&](const std::string& name) { return !seen.at(name).differs; });
  const auto rank = [](const std::string& name) {
    return name == "dataset" ? 0 : name == "data" ? 1 : name == "loss" ? 2 : 3;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
  return order;
}

std::string missing_text(const std::vector<RunRecord>& runs) {
  std::string text;
  for (const RunEnd end :
       {RunEnd::diverged, RunEnd::failed, RunEnd::eliminated, RunEnd::stopped, RunEnd::none}) {
    const auto count = std::count_if(runs.begin(), runs.end(), [&](const RunRecord& run) {
      return !run.finished &&
             (run.outcome.end == end || (end == RunEnd::none && run.outcome.end == RunEnd::finished));
    });
    if (count == 0) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " of " + std::to_string(runs.size()) + " " +
            (end == RunEnd::none ? "not finished" : std::string(name(end)));
  }
  return text;
}

std::string state_text(const RunRecord& run) {
  const RunOutcome& outcome = run.outcome;
  const std::string done =
      std::to_string(run.epochs.size()) + " of " + run.config["epochs"].dump() + " epochs";
  if (run.finished) {
    const bool early =
        static_cast<std::int64_t>(run.epochs.size()) < run.config["epochs"].get<std::int64_t>();
    return early ? "finished early, after " + done : "finished";
  }
  switch (outcome.end) {
    case RunEnd::diverged:
      return "diverged in epoch " + std::to_string(outcome.epoch) + ", step " + std::to_string(outcome.step) +
             (outcome.layer.empty() ? "" : ", at " + outcome.layer);
    case RunEnd::failed:
      return "failed after " + done + ": " + outcome.reason;
    case RunEnd::eliminated:
      return "eliminated after " + done + ": " + outcome.reason;
    case RunEnd::stopped:
      return "stopped after " + done;
    case RunEnd::none:
    case RunEnd::finished:  // and asked for more epochs since
      break;
  }
  return (FileLock::is_held(run.directory / ".lock") ? "going on, " : "interrupted after ") + done;
}

Json panel_key(const RunGroup& group) {
  Json key = Json::array();
  for (const char* name : {"dataset", "data", "model", "momentum"})
    key.push_back(group.settings.value(name, Json()));
  return key;
}

std::vector<std::string> telling_names(const std::vector<RunGroup>& groups,
                                       const std::vector<std::string>& names) {
  std::vector<std::string> kept = names;
  const auto distinct = [&](const std::vector<std::string>& some) {
    std::set<std::string> texts;
    for (const RunGroup& group : groups) texts.insert(describe_settings(group.settings, some));
    return texts.size() - texts.count("");
  };
  const std::size_t all = distinct(kept);
  for (std::size_t i = kept.size(); i-- > 1;) {
    if (kept[i] == "model") continue;  // of which a width alone does not remind one
    std::vector<std::string> fewer = kept;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    if (distinct(fewer) == all) kept = std::move(fewer);
  }
  return kept;
}

std::vector<std::size_t> leading_groups(const std::vector<RunGroup>& groups, std::size_t most,
                                        const std::function<Json(const RunGroup&)>& key) {
  std::vector<std::size_t> chosen;
  if (groups.size() <= most) {
    chosen.resize(groups.size());
    std::iota(chosen.begin(), chosen.end(), std::size_t{0});
    return chosen;
  }
  std::vector<double> scores;
  std::map<std::string, std::vector<std::size_t>> panels;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    double sum = 0;
    for (const RunRecord& run : groups[i].runs) {
      if (run.epochs.empty()) continue;
      const Json& last = run.epochs.back();
      const double score = last.contains("test_accuracy") ? number_of(last, "test_accuracy")
                           : last.contains("test_r2")     ? number_of(last, "test_r2")
                                                          : -number_of(last, "test_loss");
      sum += std::isnan(score) ? 0 : score;
    }
    scores.push_back(sum / static_cast<double>(groups[i].runs.size()));
    panels[json_line(key(groups[i]))].push_back(i);
  }
  for (auto& [name, places] : panels) {
    std::stable_sort(places.begin(), places.end(),
                     [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  }
  for (std::size_t rank = 0; chosen.size() < most; ++rank) {
    for (const auto& [name, places] : panels) {
      if (rank < places.size() && chosen.size() < most) chosen.push_back(places[rank]);
    }
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::string describe_settings(const Json& settings, const std::vector<std::string>& names) {
  std::string text, usual;
  for (const std::string& name : names) {
    if (!settings.contains(name)) continue;
    const std::string words = describe_setting(name, settings[name]);
    if (name == "init_from" && settings[name] == "") {
      usual = words;  // which nobody misses where something else is said
    } else {
      text += (text.empty() ? "" : ", ") + words;
    }
  }
  return text.empty() ? usual : text;
}

}  // namespace qmse
