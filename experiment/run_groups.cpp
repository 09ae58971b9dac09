#include "experiment/run_groups.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "experiment/config_fields.h"

namespace qmse {
namespace {

using Words = std::vector<std::string_view>;

bool any_of(const Words& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

const Words kSeeds = {"seed", "seed_init", "seed_data", "seed_v"};
const Words kNoMatter = {"data",      "threads",        "checkpoint_every", "snapshot_every",
                         "log_steps", "evaluate_train", "no_graph"};

// Settings that only matter beside a certain value of another one.
struct Condition {
  std::string_view setting;
  std::string_view value;
  Words needed_by;
};
const std::array<Condition, 8> kConditions = {{
    {"loss", "qmse", {"v_distribution", "v_scope", "q_gradient"}},
    {"model", "cnn", {"conv_channels", "kernel_size", "fc_width"}},
    {"model", "mlp", {"mlp_widths", "activation"}},
    {"optimizer", "sgd", {"momentum", "nesterov"}},
    {"optimizer", "adam", {"beta1", "beta2", "epsilon"}},
    {"schedule", "step", {"schedule_step_size", "schedule_gamma"}},
    {"schedule", "cosine", {"schedule_total_steps", "schedule_final_fraction"}},
    {"schedule", "robbins_monro", {"schedule_tau", "schedule_power"}},
}};

bool matters(const std::string& name, const ConfigJson& config) {
  if (any_of(kSeeds, name) || any_of(kNoMatter, name)) return false;
  for (const Condition& condition : kConditions) {
    if (any_of(condition.needed_by, name) &&
        config.value(std::string(condition.setting), ConfigJson()) != condition.value) {
      return false;
    }
  }
  return true;
}

// The seeds that a run's loss draws on.
ConfigJson seeds(const ConfigJson& config) {
  ConfigJson all = ConfigJson::object();
  for (const std::string_view name : kSeeds) {
    if (name == "seed" || (name == "seed_v" && config.value("loss", ConfigJson()) != "qmse")) continue;
    all[std::string(name)] = config.value(std::string(name), config.value("seed", ConfigJson()));
  }
  return all;
}

// Whether a comes before b: by the order of the table's choices where the setting has some.
bool before(const std::string& name, const ConfigJson& a, const ConfigJson& b) {
  const ConfigField* field = find_field(name);
  if (field != nullptr && a.is_string() && b.is_string()) {
    const auto& choices = field->rule.choices;
    const auto place = [&](const ConfigJson& value) {
      return std::find(choices.begin(), choices.end(), value.get<std::string>()) - choices.begin();
    };
    if (place(a) != place(b)) return place(a) < place(b);
  }
  return a < b;
}

std::string value_text(const ConfigJson& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) {
    std::array<char, 32> text;
    const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value.get<double>());
    return {text.data(), end};
  }
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const ConfigJson& item : value) text += (text.empty() ? "" : "-") + value_text(item);
  return text.empty() ? "none" : text;
}

// Values whose name says what they are.
constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kProperNames = {{
    {"mse", "MSE"},
    {"qmse", "QMSE"},
    {"qmse_expected", "QMSE without its noise"},
    {"cross_entropy", "cross-entropy"},
    {"mnist", "MNIST"},
    {"fashion-mnist", "Fashion-MNIST"},
    {"cifar10", "CIFAR-10"},
    {"cifar100", "CIFAR-100"},
    {"cnn", "CNN"},
    {"mlp", "MLP"},
    {"batch_mean", "batch mean"},
    {"element_mean", "element mean"},
    {"sgd", "SGD"},
    {"adam", "Adam"},
}};

std::string describe_setting(const std::string& name, const ConfigJson& value) {
  std::string words = name == "lr" ? "learning rate" : name;
  std::replace(words.begin(), words.end(), '_', ' ');
  if (value.is_boolean()) return (value.get<bool>() ? "" : "no ") + words;
  const std::string text = value_text(value);
  if (name == "epochs") return text + (text == "1" ? " epoch" : " epochs");
  if (name == "train_limit") return (text == "0" ? "all" : text) + " training images";
  for (const auto& [known, proper] : kProperNames) {
    if (text == known) return std::string(proper);
  }
  return words + " " + text;
}

}  // namespace

ConfigJson result_settings(const ConfigJson& config) {
  ConfigJson settings = ConfigJson::object();
  ConfigJson whole = to_json(TrainConfig{});  // for records that are older than a setting
  whole.update(config);
  for (const auto& [name, value] : whole.items()) {
    if (!matters(name, whole)) continue;
    settings[name] = value;
    // Which of several equal devices it was does not matter.
    if (name == "device" && value.is_string()) {
      const std::string device = value.get<std::string>();
      settings[name] = device.substr(0, device.find(':'));
    }
  }
  return settings;
}

std::vector<RunGroup> group_runs(std::vector<RunRecord> runs) {
  std::vector<RunGroup> groups;
  for (RunRecord& run : runs) {
    const ConfigJson settings = result_settings(run.config);
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const RunGroup& each) { return each.settings == settings; });
    if (group == groups.end()) group = groups.insert(groups.end(), RunGroup{settings, {}, {}});
    const auto same = std::find_if(group->runs.begin(), group->runs.end(), [&](const RunRecord& each) {
      return seeds(each.config) == seeds(run.config);
    });
    if (same == group->runs.end()) {
      group->runs.push_back(std::move(run));
    } else {
      if (same->epochs.size() < run.epochs.size()) std::swap(*same, run);
      group->repeats.push_back(std::move(run));
    }
  }
  const std::vector<std::string> names = differing_settings(groups);
  std::stable_sort(groups.begin(), groups.end(), [&](const RunGroup& a, const RunGroup& b) {
    for (const std::string& name : names) {
      const ConfigJson left = a.settings.value(name, ConfigJson()),
                       right = b.settings.value(name, ConfigJson());
      if (left != right) return before(name, left, right);
    }
    return false;
  });
  return groups;
}

std::vector<std::string> differing_settings(const std::vector<RunGroup>& groups) {
  std::vector<std::pair<std::string, const ConfigJson*>> first;
  std::vector<std::string> differing;
  for (const RunGroup& group : groups) {
    for (const auto& [name, value] : group.settings.items()) {
      const auto seen = std::find_if(first.begin(), first.end(),
                                     [&, &key = name](const auto& each) { return each.first == key; });
      if (seen == first.end()) {
        first.emplace_back(name, &value);
      } else if (*seen->second != value &&
                 std::find(differing.begin(), differing.end(), name) == differing.end()) {
        differing.push_back(name);
      }
    }
  }
  std::vector<std::string> ordered;
  for (const auto& [name, value] : first) {
    if (std::find(differing.begin(), differing.end(), name) != differing.end()) ordered.push_back(name);
  }
  const auto rank = [](const std::string& name) { return name == "dataset" ? 0 : name == "loss" ? 1 : 2; };
  std::stable_sort(ordered.begin(), ordered.end(),
                   [&](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
  return ordered;
}

std::string describe_settings(const ConfigJson& settings, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    if (settings.contains(name)) text += (text.empty() ? "" : ", ") + describe_setting(name, settings[name]);
  }
  return text;
}

}  // namespace qmse
