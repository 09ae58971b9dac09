#include "experiment/run/config.h"

#include <cmath>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "base/text_file.h"
#include "base/words.h"
#include "data/registry.h"
#include "device/device.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/model_description.h"
#include "optim/optimizers.h"

namespace qmse {
namespace {

[[noreturn]] void refuse_key(const std::string& key, const std::string& source) {
  const std::vector<std::string> names = names_of(config_fields());
  throw ConfigError(source + ": unknown key " + in_quotes(key) + did_you_mean(key, names) +
                    "; known keys: " + join(names, ", "));
}

}  // namespace

Json parse_given_json(std::string_view text, const std::string& source) {
  try {
    return parse_json(text, source);
  } catch (const DataError& error) {
    throw ConfigError(error.what());
  }
}

void check_layer(const Json& layer, const std::string& source) {
  if (!layer.is_object())
    throw ConfigError(source + ": a configuration is a JSON object, {\"lr\": 0.01, ...}");
  for (const auto& [key, value] : layer.items()) {
    const ConfigField* field = find_field(key);
    if (field == nullptr) refuse_key(key, source);
    check_value(*field, value, source + ": '" + key + "'");
  }
}

Json parse_config(std::string_view text, const std::string& source) {
  Json layer = parse_given_json(text, source);
  check_layer(layer, source);
  return layer;
}

Json read_config_file(const std::filesystem::path& path) {
  return parse_config(read_text_file(path), in_quotes(path));
}

void apply_layer(TrainConfig& config, const Json& layer) {
  for (const auto& [key, value] : layer.items()) {
    const ConfigField* field = find_field(key);
    if (field == nullptr) refuse_key(key, "configuration");
    set(config, *field, value);
  }
}

Json overlay(const Json& below, const Json& above) {
  Json all = below;
  // Whether `above` makes a choice otherwise that `below` has made too.
  const auto changes = [&](std::string_view setting) {
    const auto now = above.find(std::string(setting)), then = below.find(std::string(setting));
    return now != above.end() && then != below.end() && *now != *then;
  };
  for (const auto& [key, value] : below.items()) {
    const ConfigField* field = find_field(key);
    const auto& condition = field != nullptr ? field->rule.only_with : std::nullopt;
    const bool of_choice = condition && changes(condition->setting) &&
                           condition->holds(below.at(std::string(condition->setting))) &&
                           !condition->holds(above.at(std::string(condition->setting)));
    const bool of_optimizer = key == "lr" && changes("optimizer");
    const bool of_seed = key.starts_with("seed_") && changes("seed") && value == below.at("seed");
    if (of_choice || of_optimizer || of_seed) all.erase(key);
  }
  all.update(above);
  return all;
}

Json without_unused(Json layer, const TrainConfig& config) {
  for (const ConfigField& field : config_fields()) {
    if (!field.applies(config)) layer.erase(std::string(field.name));
  }
  return layer;
}

void check_used(const Json& given, const TrainConfig& config) {
  for (const auto& [key, value] : given.items()) {
    const ConfigField* field = find_field(key);
    if (field == nullptr || field->applies(config)) continue;
    const ConfigCondition& condition = *field->rule.only_with;
    const ConfigField& decides = *find_field(condition.setting);
    const Json decided = get(config, decides);
    const std::string with = condition.except && !decided.is_string()
                                 ? " without " + decides.option()
                                 : " with " + decides.option() + " " + decided.get<std::string>();
    throw ConfigError(field->option() + " has no effect" + with + ": it is for " + condition.text());
  }
}

Json to_json(const TrainConfig& config) {
  Json json = Json::object();
  for (const ConfigField& field : config_fields()) {
    Json value = get(config, field);
    if (field.rule.recorded && !value.is_null() && field.applies(config))
      json[std::string(field.name)] = std::move(value);
  }
  return json;
}

void validate(const TrainConfig& config) {
  for (const ConfigField& field : config_fields()) {
    const Json value = get(config, field);
    if (!value.is_null()) check_value(field, value, field.option());
  }
  if (!config.seed) throw ConfigError("--seed is not set");
  parse_device(config.device);
  check_label_kind(config.labels, config.dataset);
  if (config.kernel_size % 2 == 0) {
    throw ConfigError("--kernel-size must be odd, not " + std::to_string(config.kernel_size) +
                      ": the cnn pads its images by half the kernel on every side");
  }
  if (dataset_info(config.dataset).table) {
    const LossKind& loss = *find_loss(config.loss);
    if (!loss.squared_error)
      throw ConfigError("--loss " + config.loss +
                        " is for classes; a table has none: take a squared-error loss");
    if (!find_model(config.model)->fully_connected) {
      std::vector<std::string_view> those;
      for (const ModelKind& kind : models()) {
        if (kind.fully_connected) those.push_back(kind.name);
      }
      throw ConfigError("--model " + config.model + " is for images; --dataset " + config.dataset +
                        " takes --model " + alternatives(those));
    }
    if (config.normalize != NormalizationKind::standard)
      throw ConfigError("--normalize " + std::string(name(config.normalize)) +
                        " is for images; a table is standardised");
  }
  if (config.validation >= 1 && config.validation != std::trunc(config.validation)) {
    throw ConfigError("--validation must be a share below 1 or a whole number of images, not " +
                      shortest_text(config.validation));
  }
  if (!find_loss(config.loss)->squared_error && config.loss_options.reduction != Reduction::batch_mean) {
    throw ConfigError("--reduction " + std::string(name(config.loss_options.reduction)) +
                      " is for the squared-error losses; " + config.loss + " takes batch_mean");
  }
  if (config.nesterov && find_field("nesterov")->applies(config) && config.momentum == 0) {
    throw ConfigError("--nesterov needs a --momentum above 0");
  }
}

void resolve_defaults(TrainConfig& config) {
  for (auto* seed : {&config.seed_init, &config.seed_data, &config.seed_v}) {
    if (!*seed) *seed = config.seed;
  }
  const OptimizerKind* optimizer = find_optimizer(config.optimizer);  // validate() refuses what is none
  if (!config.lr && optimizer != nullptr) config.lr = optimizer->usual_rate;
}

std::vector<std::string> resume_conflicts(const TrainConfig& config, const TrainConfig& recorded) {
  std::vector<std::string> conflicts;
  for (const ConfigField& field : config_fields()) {
    if (field.rule.free_on_resume || !field.applies(recorded) || !field.applies(config)) continue;
    const Json now = get(config, field);
    const Json then = get(recorded, field);
    if (now != then) conflicts.push_back(field.option() + " is " + now.dump() + ", was " + then.dump());
  }
  return conflicts;
}

}  // namespace qmse
