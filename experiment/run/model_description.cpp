#include "experiment/run/model_description.h"

#include "experiment/run/config_fields.h"
#include "kernels/core/error.h"
#include "models/mlp.h"
#include "models/simple_cnn.h"

namespace qmse {
namespace {

// The settings that belong to an architecture.
std::vector<std::string> size_fields(const std::string& model) {
  if (model == "cnn") return {"conv_channels", "kernel_size", "fc_width"};
  return {"mlp_widths", "activation"};
}

Activation parse_activation(const std::string& name) {
  if (name == "relu") return Activation::relu;
  if (name == "tanh") return Activation::tanh;
  if (name == "sigmoid") return Activation::sigmoid;
  if (name == "identity") return Activation::identity;
  throw ConfigError("unknown activation '" + name + "': use relu, tanh, sigmoid or identity");
}

}  // namespace

ModelDescription describe_model(const TrainConfig& config, const Shape& input, std::int64_t classes) {
  ModelDescription description;
  description.model = config.model;
  description.input = input;
  description.classes = classes;
  if (config.model == "cnn") {
    description.conv_channels = config.conv_channels;
    description.kernel_size = config.kernel_size;
    description.fc_width = config.fc_width;
  } else {
    description.mlp_widths = config.mlp_widths;
    description.activation = config.activation;
  }
  return description;
}

TrainConfig config_of(const ModelDescription& description) {
  TrainConfig config;
  config.model = description.model;
  if (description.model == "cnn") {
    config.conv_channels = description.conv_channels;
    config.kernel_size = description.kernel_size;
    config.fc_width = description.fc_width;
  } else {
    config.mlp_widths = description.mlp_widths;
    config.activation = description.activation;
  }
  return config;
}

Sequential make_model(const ModelDescription& description) {
  if (description.model == "cnn") {
    return make_simple_cnn(description.input, description.classes,
                           {.conv_channels = description.conv_channels,
                            .kernel = description.kernel_size,
                            .padding = description.kernel_size / 2,
                            .fc_width = description.fc_width});
  }
  return make_mlp(description.input, description.classes,
                  {.widths = description.mlp_widths, .activation = parse_activation(description.activation)});
}

std::string to_text(const ModelDescription& description) {
  ConfigJson json;
  json["model"] = description.model;
  json["input_shape"] =
      std::vector<std::int64_t>(description.input.sizes().begin(), description.input.sizes().end());
  json["classes"] = description.classes;
  if (description.model == "cnn") {
    json["conv_channels"] = description.conv_channels;
    json["kernel_size"] = description.kernel_size;
    json["fc_width"] = description.fc_width;
  } else {
    json["mlp_widths"] = description.mlp_widths;
    json["activation"] = description.activation;
  }
  return json.dump();
}

ModelDescription parse_model_description(std::string_view text, const std::string& source) {
  const auto bad = [&](const std::string& what) {
    return DataError(source + ": the description of its model " + what);
  };
  ConfigJson json = parse_json(text, source + ": the description of its model");
  if (!json.is_object() || !json.contains("input_shape") || !json.contains("classes") ||
      !json.contains("model")) {
    throw bad("is not a JSON object with model, input_shape and classes");
  }
  const ConfigJson input = json["input_shape"];
  const ConfigJson classes = json["classes"];
  json.erase("input_shape");
  json.erase("classes");
  std::vector<std::int64_t> sizes;
  for (const ConfigJson& size : input) {
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
  std::vector<std::string> expected = size_fields(config.model);
  expected.emplace_back("model");
  for (const std::string& key : expected) {
    if (!json.contains(key)) throw bad("lacks '" + key + "'");
  }
  if (json.size() != expected.size()) throw bad("has settings that are not of a " + config.model);
  return describe_model(config, Shape(sizes), classes.get<std::int64_t>());
}

}  // namespace qmse
