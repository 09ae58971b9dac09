#include "experiment/run/model_description.h"

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/words.h"
#include "experiment/run/config_fields.h"
#include "models/mlp.h"
#include "models/simple_cnn.h"

namespace qmse {
namespace {

Sequential make_cnn_of(const TrainConfig& config, const Shape& input, std::int64_t classes) {
  return make_simple_cnn(input, classes,
                         {.conv_channels = config.conv_channels,
                          .kernel = config.kernel_size,
                          .padding = config.kernel_size / 2,
                          .fc_width = config.fc_width});
}

Sequential make_mlp_of(const TrainConfig& config, const Shape& input, std::int64_t classes) {
  return make_mlp(input, classes, {.widths = config.mlp_widths, .activation = config.activation});
}

const ModelKind& kind_of(const ModelDescription& description) {
  if (const ModelKind* kind = find_model(description.model)) return *kind;
  throw ConfigError("unknown model " + in_quotes(description.model));
}

}  // namespace

const std::vector<ModelKind>& models() {
  static const std::vector<ModelKind> all = {
      {"cnn", "CNN", false, [](const TrainConfig&) { return Activation::relu; }, make_cnn_of},
      {"mlp", "MLP", true, [](const TrainConfig& config) { return config.activation; }, make_mlp_of}};
  return all;
}

const ModelKind* find_model(std::string_view name) { return find_named(models(), name); }

ModelDescription describe_model(const TrainConfig& config, const Shape& input, std::int64_t classes) {
  ModelDescription description{config.model, input, classes, Json::object()};
  for (const ConfigField& field : config_fields()) {
    if (field.rule.only_with && field.rule.only_with->setting == "model" && field.applies(config))
      description.settings[std::string(field.name)] = get(config, field);
  }
  return description;
}

TrainConfig config_of(const ModelDescription& description) {
  TrainConfig config;
  config.model = description.model;
  apply_layer(config, description.settings);
  return config;
}

Activation hidden_activation(const ModelDescription& description) {
  return kind_of(description).activation(config_of(description));
}

Sequential make_model(const ModelDescription& description) {
  return kind_of(description).make(config_of(description), description.input, description.classes);
}

std::string to_text(const ModelDescription& description) {
  Json json;
  json["model"] = description.model;
  json["input_shape"] =
      std::vector<std::int64_t>(description.input.sizes().begin(), description.input.sizes().end());
  json["classes"] = description.classes;
  json.update(description.settings);
  return json.dump();
}

ModelDescription parse_model_description(std::string_view text, const std::string& source) {
  const auto bad = [&](const std::string& what) {
    return DataError(source + ": the description of its model " + what);
  };
  Json json = parse_json(text, source + ": the description of its model");
  if (!json.is_object() || !json.contains("input_shape") || !json.contains("classes") ||
      !json.contains("model")) {
    throw bad("is not a JSON object with model, input_shape and classes");
  }
  const Json input = json["input_shape"];
  const Json classes = json["classes"];
  json.erase("input_shape");
  json.erase("classes");
  std::vector<std::int64_t> sizes;
  for (const Json& size : input) {
    if (!size.is_number_integer() || size < 1 || size > 65536) throw bad("has a wrong input_shape");
    sizes.push_back(size.get<std::int64_t>());
  }
  if (sizes.size() != 3) throw bad("has a wrong input_shape");
  if (!classes.is_number_integer() || classes < 1 || classes > 1000000)
    throw bad("has a wrong number of classes");

  // What is left is a layer of settings.
  TrainConfig config;
  try {
    apply_layer(config, parse_config(json.dump(), source));
    validate(config);
  } catch (const ConfigError& error) {
    throw bad("is wrong: " + std::string(error.what()));
  }
  const ModelDescription description = describe_model(config, Shape(sizes), classes.get<std::int64_t>());
  for (const auto& [key, value] : description.settings.items()) {
    if (!json.contains(key)) throw bad("lacks '" + key + "'");
  }
  if (json.size() != description.settings.size() + 1)  // and the model's name
    throw bad("has settings that are not of a " + config.model);
  return description;
}

}  // namespace qmse
