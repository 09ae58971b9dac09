#include "experiment/config.h"

#include "data/registry.h"
#include "engine/device.h"
#include "engine/in_quotes.h"
#include "engine/text_file.h"
#include "experiment/config_fields.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

[[noreturn]] void refuse_key(const std::string& key, const std::string& source) {
  std::vector<std::string> names;
  std::string known;
  for (const ConfigField& field : config_fields()) {
    names.emplace_back(field.name);
    known += (known.empty() ? "" : ", ") + names.back();
  }
  const std::string near = nearest(key, names);
  throw ConfigError(source + ": unknown key " + in_quotes(key) +
                    (near.empty() ? "" : " (did you mean '" + near + "'?)") + "; known keys: " + known);
}

}  // namespace

ConfigJson parse_given_json(std::string_view text, const std::string& source) {
  try {
    return parse_json(text, source);
  } catch (const DataError& error) {
    throw ConfigError(error.what());
  }
}

void check_layer(const ConfigJson& layer, const std::string& source) {
  if (!layer.is_object())
    throw ConfigError(source + ": a configuration is a JSON object, {\"lr\": 0.01, ...}");
  for (const auto& [key, value] : layer.items()) {
    const ConfigField* field = find_field(key);
    if (field == nullptr) refuse_key(key, source);
    check_value(*field, value, source + ": '" + key + "'");
  }
}

ConfigJson parse_config(std::string_view text, const std::string& source) {
  ConfigJson layer = parse_given_json(text, source);
  check_layer(layer, source);
  return layer;
}

ConfigJson read_config_file(const std::filesystem::path& path) {
  return parse_config(read_text_file(path), in_quotes(path));
}

void apply_layer(TrainConfig& config, const ConfigJson& layer) {
  for (const auto& [key, value] : layer.items()) {
    const ConfigField* field = find_field(key);
    if (field == nullptr) refuse_key(key, "configuration");
    set(config, *field, value);
  }
}

ConfigJson to_json(const TrainConfig& config) {
  ConfigJson json = ConfigJson::object();
  for (const ConfigField& field : config_fields()) {
    ConfigJson value = get(config, field);
    if (field.rule.recorded && !value.is_null()) json[std::string(field.name)] = std::move(value);
  }
  return json;
}

void validate(const TrainConfig& config) {
  for (const ConfigField& field : config_fields()) {
    const ConfigJson value = get(config, field);
    if (!value.is_null()) check_value(field, value, field.option());
  }
  if (!config.seed) throw ConfigError("--seed is not set");
  parse_device(config.device);
  parse_label_kind(config.labels, config.dataset);
  if (config.kernel_size % 2 == 0) {
    throw ConfigError("--kernel-size must be odd, not " + std::to_string(config.kernel_size) +
                      ": the cnn pads its images by half the kernel on every side");
  }
  if (config.loss == "cross_entropy" && config.reduction == "element_mean") {
    throw ConfigError(
        "--reduction element_mean is for the squared-error losses; cross_entropy takes batch_mean");
  }
  if (config.optimizer == "sgd" && config.nesterov && config.momentum == 0) {
    throw ConfigError("--nesterov needs a --momentum above 0");
  }
  if (config.optimizer == "adam" && config.nesterov) throw ConfigError("--nesterov is for --optimizer sgd");
}

std::string json_text(const ConfigJson& json) {
  return json.dump(2, ' ', false, ConfigJson::error_handler_t::replace) + "\n";
}

void resolve_seeds(TrainConfig& config) {
  for (auto* seed : {&config.seed_init, &config.seed_data, &config.seed_v}) {
    if (!*seed) *seed = config.seed;
  }
}

std::vector<std::string> resume_conflicts(const TrainConfig& config, const TrainConfig& recorded) {
  std::vector<std::string> conflicts;
  for (const ConfigField& field : config_fields()) {
    if (field.rule.free_on_resume) continue;
    const ConfigJson now = get(config, field);
    const ConfigJson then = get(recorded, field);
    if (now != then) conflicts.push_back(field.option() + " is " + now.dump() + ", was " + then.dump());
  }
  return conflicts;
}

}  // namespace qmse
