#include "experiment/sweep/sweep_spec.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <map>
#include <variant>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/name_text.h"
#include "base/number_text.h"
#include "base/parse_choice.h"
#include "base/words.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/digest.h"
#include "experiment/run/run_settings.h"
#include "experiment/run/weights_source.h"
#include "random/philox.h"

namespace qmse {
namespace {

constexpr std::size_t kMaxNameBytes = 120;
constexpr std::size_t kMaxMembers = 100000;

// What the sweep decides for its members.
constexpr std::string_view kOwnKeys[] = {"out", "resume", "resume_or_start"};

void check_keys(const Json& object, const std::string& source) {
  const std::vector<std::string> known = {"base", "grid", "sample", "members", "halving", "format"};
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw ConfigError(source + ": unknown key " + in_quotes(key) + did_you_mean(key, known) +
                      "; known keys: base, grid, sample, members, halving");
  }
}

void check_format(const Json& object, const std::string& source) {
  if (!object.contains("format")) return;
  const Json& format = object["format"];
  if (format.is_number_integer() && format >= 1 && format <= kSweepFormat) return;
  throw ConfigError(source + ": is of format " + format.dump() + "; this qmse knows 1 to " +
                    std::to_string(kSweepFormat) + ": use the version that wrote it, or a later one");
}

void check_settings(const Json& layer, const std::string& source) {
  check_layer(layer, source);
  for (const std::string_view key : kOwnKeys) {
    if (layer.contains(key)) {
      throw ConfigError(source + ": '" + std::string(key) +
                        "' is no setting of a member: the sweep gives each a run directory of its own");
    }
  }
}

// Every combination of the grid's values.
std::vector<Json> product(const Json& grid, const std::string& source) {
  if (!grid.is_object())
    throw ConfigError(source + ": 'grid' must be an object of lists, {\"lr\": [0.1, 0.01], ...}");
  if (grid.empty()) throw ConfigError(source + ": 'grid' is empty: give it lists of values, or leave it out");
  std::vector<Json> all = {Json::object()};
  for (const auto& [key, values] : grid.items()) {
    const std::string label = source + ": 'grid'";
    if (find_field(key) == nullptr) check_settings({{key, values}}, label);  // throws
    if (!values.is_array() || values.empty())
      throw ConfigError(label + ": '" + key + "' must be a list of values, not " + values.dump());
    if (values.size() > kMaxMembers / all.size()) {
      throw ConfigError(source + ": 'grid' has more than " + std::to_string(kMaxMembers) + " combinations");
    }
    for (const Json& value : values) check_settings({{key, value}}, label);
    std::vector<Json> longer;
    for (const Json& layer : all) {
      for (const Json& value : values) {
        longer.push_back(layer);
        longer.back()[key] = value;
      }
    }
    all = std::move(longer);
  }
  return all;
}

// Uniform in (0, 1), a function of its three arguments alone.
double drawn(std::uint64_t seed, std::uint32_t choice, std::uint32_t setting) {
  const PhiloxBlock bits = random_bits(seed, RandomPurpose::start, 0, choice, setting, 0);
  return (static_cast<double>(bits.x[0]) + 0.5) * 0x1p-32;
}

enum class Sampling { uniform, log_uniform };
constexpr std::array<Choice<Sampling>, 2> choices(Sampling) {
  return {{{Sampling::uniform, "uniform"}, {Sampling::log_uniform, "log_uniform"}}};
}

// One value of a sampled setting: to four digits, so that its member's name can be read; whole numbers
// are rounded.
Json sampled_value(const ConfigField& field, const Json& range, double at, const std::string& label) {
  const auto wrong = [&] {
    const std::string log(name(Sampling::log_uniform));
    return ConfigError(label + " must be {\"" + std::string(name(Sampling::uniform)) +
                       "\": [LOW, HIGH]} or {\"" + log +
                       "\": [LOW, HIGH]} with LOW below HIGH (above 0 for " + log + "), not " + range.dump());
  };
  if (!range.is_object() || range.size() != 1) throw wrong();
  const auto kind = find_choice<Sampling>(range.begin().key());
  const Json& ends = range.begin().value();
  if (!kind || !ends.is_array() || ends.size() != 2 || !ends[0].is_number() || !ends[1].is_number())
    throw wrong();
  const double low = ends[0].get<double>(), high = ends[1].get<double>();
  const bool by_logarithm = *kind == Sampling::log_uniform;
  if (!(low < high) || (by_logarithm && !(low > 0))) throw wrong();
  const double value = by_logarithm ? std::exp(std::log(low) + (std::log(high) - std::log(low)) * at)
                                    : low + (high - low) * at;
  if (std::holds_alternative<std::int64_t TrainConfig::*>(field.member)) return std::llround(value);
  return std::clamp(std::stod(significant_text(value, 4)), low, high);
}

// Each of `layers` with each random choice of the sampled settings, which are the same for all of them.
std::vector<Json> with_samples(const std::vector<Json>& layers, const Json& sample,
                               const std::string& source) {
  const std::string label = source + ": 'sample'";
  if (!sample.is_object())
    throw ConfigError(label + R"( must be an object, {"lr": {"log_uniform": [0.001, 1]}, "count": 20})");
  const Json count = sample.value("count", Json()), seed = sample.value("seed", Json(1U));
  if (!count.is_number_unsigned() || count < 1 || count > kMaxMembers / layers.size())
    throw ConfigError(label + ": 'count' must be a whole number from 1 to " +
                      std::to_string(kMaxMembers / layers.size()) + ", not " + count.dump());
  if (!seed.is_number_unsigned())
    throw ConfigError(label + ": 'seed' must be a whole number from 0 up, not " + seed.dump() +
                      "; the runs' own seeds go into 'grid'");
  std::vector<Json> choices(count.get<std::size_t>(), Json::object());
  std::uint32_t setting = 0;
  for (const auto& [key, range] : sample.items()) {
    if (key == "count" || key == "seed") continue;
    const ConfigField* field = find_field(key);
    if (field == nullptr) check_settings({{key, range}}, label);  // throws
    if (layers.front().contains(key)) throw ConfigError(label + ": '" + key + "' is in 'grid' too");
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const double at = drawn(seed.get<std::uint64_t>(), static_cast<std::uint32_t>(i), setting);
      choices[i][key] = sampled_value(*field, range, at, label + ": '" + key + "'");
      check_settings(choices[i], label);
    }
    ++setting;
  }
  if (setting == 0)
    throw ConfigError(label + " names no setting: {\"lr\": {\"log_uniform\": [0.001, 1]}, ...}");
  std::vector<Json> all;
  for (const Json& layer : layers) {
    for (const Json& choice : choices) {
      all.push_back(layer);
      all.back().update(choice);
    }
  }
  return all;
}

// "0.01", "mse", "32-64": without what folder names had better not contain.
std::string readable(const Json& value) {
  std::string text;
  if (value.is_array()) {
    text = value.empty() ? "none" : join(value, "-", json_line);
  } else {
    text = value.is_string() ? value.get<std::string>() : value.dump();
  }
  for (char& c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-' && c != '_' && c != '+')
      c = '_';
  }
  return text;
}

bool usable(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNameBytes && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 ||
                  std::string_view("._-+=,~").find(static_cast<char>(c)) != std::string_view::npos;
         });
}

// What a file system that does not tell capital from small letters makes of a name.
std::string without_case(std::string name) {
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

// "loss=qmse,lr=0.01,seed=1". Those that are too long, or alike, end in a digest of their settings, which is
// the same whatever other members there are.
void give_names(std::vector<SweepMember>& members, const std::string& source) {
  std::map<std::string, std::string> taken;  // name without case, name
  const auto take = [&](const std::string& name) {
    const auto [other, fresh] = taken.emplace(without_case(name), name);
    if (fresh) return;
    throw ConfigError(source + ": two members have the name " + in_quotes(name) +
                      (other->second == name ? std::string()
                                             : " but for capital letters (" + in_quotes(other->second) +
                                                   "), which not every file system tells apart") +
                      "; give one of them another");
  };
  for (const SweepMember& member : members) {
    if (member.name.empty()) continue;
    if (!usable(member.name)) {
      throw ConfigError(source + ": member name " + in_quotes(member.name) +
                        " must be 1 to 120 letters, digits and . _ - + = , ~ and not begin with a dot");
    }
    take(member.name);
  }
  for (SweepMember& member : members) {
    if (!member.name.empty()) continue;
    std::string name;
    for (const auto& [key, value] : member.settings.items())
      name += (name.empty() ? "" : ",") + key + "=" + readable(value);
    if (name.empty()) name = "base";
    const std::string ending = "~" + short_digest(member.settings.dump());
    if (name.size() > kMaxNameBytes || taken.count(without_case(name)) != 0)
      name = name.substr(0, kMaxNameBytes - ending.size()) + ending;
    take(name);
    member.name = name;
  }
}

constexpr const char* kPaths[] = {"data", "init_from"};

// Two spellings of a path are one path, whoever compares them and from where.
void make_paths_absolute(Json& layer) {
  for (const char* key : kPaths) {
    if (!layer.contains(key)) continue;
    auto path = layer[key].get<std::string>();
    make_absolute(path);
    layer[key] = path;
  }
}

Json without_paths(Json layer) {
  for (const char* key : kPaths) layer.erase(key);
  return layer;
}

// The settings that are the process's choice and not the sweep's: results do not depend on them.
Json without_machine(Json layer) {
  layer.erase("device");
  layer.erase("threads");
  layer.erase("note");
  return layer;
}

// What tells one run from another. The seed itself is only what the others are made of, and first weights are
// what they are wherever they lie: `weights` has those that were looked at.
Json used_settings(const TrainConfig& config, std::map<std::string, std::string>& weights) {
  Json used = without_machine(to_json(config));
  used.erase("seed");
  if (config.init_from.empty()) return used;
  const auto [known, fresh] = weights.emplace(config.init_from, config.init_from);
  if (fresh) {
    try {
      known->second = first_weights_sha256(config.init_from);
    } catch (const Error&) {  // the run will say what is wrong with them
    }
  }
  used["init_from"] = escape_name(known->second);
  return used;
}

}  // namespace

Json SweepSpec::settings(const SweepMember& member) const {
  Json all = base;
  all.update(member.settings);
  return all;
}

TrainConfig SweepSpec::config(const SweepMember& member) const {
  TrainConfig all;
  apply_layer(all, settings(member));
  return all;
}

SweepSpec parse_sweep(std::string_view text, const std::string& source) {
  const Json json = parse_given_json(text, source);
  if (!json.is_object()) {
    throw ConfigError(source + R"(: a sweep is a JSON object, {"base": {...}, "grid": {"lr": [0.1, 0.01]}})");
  }
  check_keys(json, source);
  check_format(json, source);
  SweepSpec spec;
  if (json.contains("base")) {
    check_settings(json["base"], source + ": 'base'");
    spec.base = json["base"];
  }
  std::vector<Json> combinations;
  if (json.contains("grid")) combinations = product(json["grid"], source);
  if (json.contains("sample")) {
    if (combinations.empty()) combinations = {Json::object()};
    combinations = with_samples(combinations, json["sample"], source);
  }
  for (Json& settings : combinations) spec.members.push_back({"", std::move(settings)});
  if (json.contains("members")) {
    if (!json["members"].is_array()) throw ConfigError(source + ": 'members' must be a list of settings");
    for (Json settings : json["members"]) {
      SweepMember member;
      if (settings.is_object() && settings.contains("name")) {
        if (!settings["name"].is_string())
          throw ConfigError(source + ": 'members': 'name' must be a text, not " + settings["name"].dump());
        member.name = settings["name"].get<std::string>();
        settings.erase("name");
      }
      member.settings = std::move(settings);
      spec.members.push_back(std::move(member));
    }
  }
  if (json.contains("halving")) spec.halving = parse_halving(json["halving"], source + ": 'halving'");
  complete(spec, source);
  return spec;
}

void complete(SweepSpec& spec, const std::string& source) {
  if (spec.members.empty()) {
    throw ConfigError(source + ": no members: give 'grid' lists of values, or 'members' a list of settings");
  }
  check_settings(spec.base, source + ": 'base'");
  for (std::size_t i = 0; i < spec.members.size(); ++i) {
    check_settings(
        spec.members[i].settings,
        source + ": member " +
            (spec.members[i].name.empty() ? std::to_string(i + 1) : in_quotes(spec.members[i].name)));
  }
  std::vector<SweepMember> all = std::move(spec.members);
  for (SweepRepeat& repeat : spec.repeats) all.push_back(std::move(repeat.member));
  spec.members.clear();
  spec.repeats.clear();
  give_names(all, source);
  make_paths_absolute(spec.base);
  std::map<std::string, std::string> seen;  // everything that the run uses, member
  std::map<std::string, std::string> weights;
  for (SweepMember& member : all) {
    make_paths_absolute(member.settings);
    TrainConfig config;
    try {
      config = spec.config(member);
      validate(config);
    } catch (const ConfigError& error) {
      throw ConfigError(source + ": member " + in_quotes(member.name) + ": " + error.what());
    }
    resolve_defaults(config);
    const auto [same, fresh] = seen.emplace(used_settings(config, weights).dump(), member.name);
    if (fresh) {
      spec.members.push_back(std::move(member));
    } else {
      spec.repeats.push_back({std::move(member), same->second});
    }
  }
  if (spec.halving) complete(*spec.halving, spec, source + ": 'halving'");
}

Json to_json(const SweepSpec& spec) {
  Json json;
  json["format"] = kSweepFormat;
  json["base"] = without_machine(spec.base);
  if (spec.halving) json["halving"] = to_json(*spec.halving);
  json["members"] = Json::array();
  const auto add = [&](const SweepMember& member) {
    Json entry = {{"name", member.name}};
    entry.update(without_machine(member.settings));
    json["members"].push_back(std::move(entry));
  };
  for (const SweepMember& member : spec.members) add(member);
  for (const SweepRepeat& repeat : spec.repeats) add(repeat.member);
  return json;
}

std::int64_t SweepSpec::epochs(const SweepMember& member) const {
  return settings(member).value("epochs", TrainConfig().epochs);
}

bool makes_longer(const SweepSpec& spec, const SweepSpec& recorded) {
  std::map<std::string_view, std::int64_t> before;
  for (const SweepMember& member : recorded.members) before[member.name] = recorded.epochs(member);
  return std::any_of(spec.members.begin(), spec.members.end(), [&](const SweepMember& member) {
    const auto then = before.find(member.name);
    return then != before.end() && spec.epochs(member) > then->second;
  });
}

std::string difference(const SweepSpec& spec, const SweepSpec& recorded) {
  const auto compare = [](const Json& all_now, const Json& all_then,
                          const std::string& where) -> std::string {
    const Json now = without_paths(without_machine(all_now)), then = without_paths(without_machine(all_then));
    for (const ConfigField& field : config_fields()) {
      const std::string key(field.name);
      if (key == "epochs") continue;  // counted below
      const Json a = now.value(key, Json()), b = then.value(key, Json());
      if (a != b) {
        return where + "'" + key + "' is " + (a.is_null() ? "not given" : a.dump()) + ", was " +
               (b.is_null() ? "not given" : b.dump());
      }
    }
    return "";
  };
  std::string text = compare(spec.base, recorded.base, "");
  if (!text.empty()) return text;
  if (spec.halving != recorded.halving) {
    const auto rule = [](const SweepSpec& of) {
      return of.halving ? to_json(*of.halving).dump() : std::string("not given");
    };
    return "'halving' is " + rule(spec) + ", was " + rule(recorded);
  }
  std::map<std::string_view, const SweepMember*> known;
  for (const SweepMember& then : recorded.members) known[then.name] = &then;
  const SweepMember* added = nullptr;
  for (const SweepMember& now : spec.members) {
    const auto then = known.find(now.name);
    if (then == known.end()) {
      added = &now;
      continue;
    }
    text = compare(now.settings, then->second->settings, "member " + in_quotes(now.name) + ": ");
    if (!text.empty()) return text;
    const std::int64_t epochs = spec.epochs(now), before = recorded.epochs(*then->second);
    if (epochs < before) {
      return "member " + in_quotes(now.name) + ": 'epochs' is " + std::to_string(epochs) + ", was " +
             std::to_string(before);
    }
    known.erase(then);
  }
  if (spec.halving && (added != nullptr || !known.empty())) {
    return (added != nullptr ? "it adds the member " + in_quotes(added->name)
                             : "it lacks the member " + in_quotes(known.begin()->first)) +
           ", and with 'halving' who goes on depends on all of them";
  }
  if (known.empty()) return "";
  if (makes_longer(spec, recorded))
    return "it has more epochs and lacks the member " + in_quotes(known.begin()->first);
  if (added == nullptr) return "";
  return "it adds the member " + in_quotes(added->name) + " and lacks " + in_quotes(known.begin()->first);
}

}  // namespace qmse
