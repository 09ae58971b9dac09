#include "experiment/run/weights_file.h"

#include <cstring>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "experiment/run/config_fields.h"

namespace qmse {
namespace {

std::vector<std::int64_t> sizes(const Shape& shape) { return {shape.sizes().begin(), shape.sizes().end()}; }

const std::string& entry(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    throw DataError(in_quotes(file.path()) + ": its metadata has no '" + key +
                    "', so qmse has not written it; such weights are for qmse train --init-from alone");
  }
  return found->second;
}

constexpr const char* kStep = "qmse.step";
constexpr const char* kFormat = "qmse.format";

// DataError unless the whole of `text` is a number from 0 up.
std::int64_t whole_number(const SafetensorsFile& file, const char* key, const std::string& text) {
  const auto number = number_from<std::int64_t>(text);
  if (!number || *number < 0)
    throw DataError(in_quotes(file.path()) + ": '" + key + "' is " + in_quotes(text) + ", no whole number");
  return *number;
}

// What a checkpoint holds beside the weights.
bool is_of_training(const std::string& tensor) {
  return tensor.starts_with("optimizer.") || tensor.starts_with("training.");
}

void write_with_step(const std::filesystem::path& path, const HostTensors& tensors, const ModelCard& card,
                     std::int64_t step) {
  SafetensorsMetadata metadata = to_metadata(card);
  metadata[kStep] = std::to_string(step);
  write_safetensors(path, tensors.to_write(), metadata);
}

}  // namespace

ModelCard make_card(const TrainConfig& config, const ImageDataset& train, const Normalization& normalization,
                    const std::optional<Normalization>& targets) {
  const Shape input{train.channels, train.height, train.width};
  return {describe_model(config, input, train.classes()),
          normalization,
          train.class_names,
          train.name,
          std::string(name(config.labels)),
          config.loss,
          std::string(name(config.loss_options.reduction)),
          targets};
}

Json settings_of(const ModelCard& card) {
  TrainConfig config = config_of(card.model);
  config.dataset = card.dataset;
  config.normalize = card.normalization.kind;
  Json layer;
  for (const char* key : {"dataset", "normalize", "model", "conv_channels", "kernel_size", "fc_width",
                          "mlp_widths", "activation"}) {
    layer[key] = get(config, *find_field(key));
  }
  if (!card.labels.empty()) layer["labels"] = card.labels;
  if (!card.loss.empty()) layer["loss"] = card.loss;
  if (!card.reduction.empty()) layer["reduction"] = card.reduction;
  return without_unused(layer, config);
}

SafetensorsMetadata to_metadata(const ModelCard& card) {
  SafetensorsMetadata metadata = {{"format", "pt"},
                                  {kFormat, std::to_string(kWeightsFormat)},
                                  {"qmse.model", to_text(card.model)},
                                  {"qmse.normalization", to_json_text(card.normalization)},
                                  {"qmse.class_names", Json(card.class_names).dump()},
                                  {"qmse.dataset", card.dataset}};
  for (const auto& [key, value] : {std::pair{"qmse.labels", card.labels},
                                   {"qmse.loss", card.loss},
                                   {"qmse.reduction", card.reduction}}) {
    if (!value.empty()) metadata[key] = value;
  }
  if (card.targets) metadata["qmse.targets"] = to_json_text(*card.targets);
  return metadata;
}

int read_format(const SafetensorsFile& file) {
  const auto found = file.metadata().find(kFormat);
  if (found == file.metadata().end()) return 1;
  const std::int64_t format = whole_number(file, kFormat, found->second);
  if (format < 1 || format > kWeightsFormat)
    throw DataError(in_quotes(file.path()) + ": is of format " + found->second + "; this qmse knows 1 to " +
                    std::to_string(kWeightsFormat) + ": use the version that wrote it, or a later one");
  return static_cast<int>(format);
}

ModelCard read_card(const SafetensorsFile& file) {
  read_format(file);
  ModelCard card;
  card.model = parse_model_description(entry(file, "qmse.model"), in_quotes(file.path()));
  try {
    card.normalization = parse_normalization(entry(file, "qmse.normalization"));
    if (file.metadata().contains("qmse.targets"))
      card.targets = parse_normalization(entry(file, "qmse.targets"));
  } catch (const DataError& error) {
    throw DataError(in_quotes(file.path()) + ": 'qmse.normalization': " + error.what());
  }
  const Json names =
      parse_json(entry(file, "qmse.class_names"), in_quotes(file.path()) + ": 'qmse.class_names'");
  for (const Json& name : names) {
    if (name.is_string()) card.class_names.push_back(name.get<std::string>());
  }
  card.dataset = entry(file, "qmse.dataset");
  for (const auto& [key, member] : {std::pair{"labels", &ModelCard::labels},
                                    {"loss", &ModelCard::loss},
                                    {"reduction", &ModelCard::reduction}}) {
    const std::string full = std::string("qmse.") + key;
    if (!file.metadata().contains(full)) continue;
    card.*member = entry(file, full);
    try {
      check_value(*find_field(key), card.*member, "'" + full + "'");
    } catch (const ConfigError& error) {
      throw DataError(in_quotes(file.path()) + ": " + error.what());
    }
  }
  if (!names.is_array() || static_cast<std::int64_t>(names.size()) != card.model.classes ||
      names.size() != card.class_names.size()) {
    throw DataError(in_quotes(file.path()) + ": 'qmse.class_names' is not a list of " +
                    std::to_string(card.model.classes) + " names");
  }
  if (card.targets && static_cast<std::int64_t>(card.targets->mean.size()) != card.model.classes) {
    throw DataError(in_quotes(file.path()) + ": its targets and its model differ in their number");
  }
  if (static_cast<std::int64_t>(card.normalization.mean.size()) != card.model.input[0]) {
    throw DataError(in_quotes(file.path()) +
                    ": its normalisation and its model differ in the number of channels");
  }
  return card;
}

template <class T>
void HostTensors::add(const std::string& name, std::vector<std::int64_t> shape,
                      const std::vector<T>& values) {
  Entry entry{name, dtype_of<T>(), std::move(shape), std::vector<std::byte>(values.size() * sizeof(T))};
  if (!values.empty()) std::memcpy(entry.bytes.data(), values.data(), entry.bytes.size());
  entries_.push_back(std::move(entry));
}

void HostTensors::add(const ParameterStore& store, const void* flat, const std::string& prefix) {
  for (std::size_t index = 0; index < store.size(); ++index) {
    add(prefix + store.spec(index).name, sizes(store.spec(index).shape), store.read<float>(flat, index));
  }
}

template void HostTensors::add(const std::string&, std::vector<std::int64_t>, const std::vector<float>&);
template void HostTensors::add(const std::string&, std::vector<std::int64_t>, const std::vector<double>&);
template void HostTensors::add(const std::string&, std::vector<std::int64_t>,
                               const std::vector<std::int64_t>&);

std::vector<TensorToWrite> HostTensors::to_write() const {
  std::vector<TensorToWrite> tensors;
  for (const Entry& entry : entries_)
    tensors.push_back({entry.name, entry.dtype, entry.shape, entry.bytes.data()});
  return tensors;
}

void write_weights(const std::filesystem::path& path, const ParameterStore& store, const ModelCard& card,
                   std::int64_t step) {
  HostTensors tensors;
  tensors.add(store, store.weights(), "");
  write_with_step(path, tensors, card, step);
}

std::optional<std::int64_t> read_step(const SafetensorsFile& file) {
  const auto found = file.metadata().find(kStep);
  if (found == file.metadata().end()) return std::nullopt;
  return whole_number(file, kStep, found->second);
}

void write_weights_of(const SafetensorsFile& checkpoint, const std::filesystem::path& path,
                      std::int64_t step) {
  HostTensors tensors;
  for (const std::string& name : weight_names(checkpoint)) {
    const std::vector<std::int64_t>& shape = checkpoint.info(name).shape;
    tensors.add(name, shape, checkpoint.read<float>(name));
  }
  write_with_step(path, tensors, read_card(checkpoint), step);
}

std::vector<std::string> weight_names(const SafetensorsFile& file) {
  std::vector<std::string> names;
  for (const std::string& name : file.names()) {
    if (!is_of_training(name)) names.push_back(name);
  }
  return names;
}

void read_flat(const SafetensorsFile& file, ParameterStore& store, void* flat, const std::string& prefix) {
  for (std::size_t index = 0; index < store.size(); ++index) {
    const ParameterSpec& spec = store.spec(index);
    std::vector<float> values(static_cast<std::size_t>(spec.shape.count()));
    file.read<float>(prefix + spec.name, spec.shape.sizes(), values);
    if (store.dtype() == DType::f64) {
      store.write<double>(flat, index, std::vector<double>(values.begin(), values.end()));
    } else {
      store.write<float>(flat, index, values);
    }
  }
}

void read_weights(const SafetensorsFile& file, ParameterStore& store) {
  for (const std::string& name : weight_names(file)) {
    bool known = false;
    for (std::size_t index = 0; index < store.size(); ++index) known |= store.spec(index).name == name;
    if (!known) {
      throw DataError(in_quotes(file.path()) + ": holds " + in_quotes(name) +
                      ", which this model does not have");
    }
  }
  read_flat(file, store, store.weights(), "");
}

}  // namespace qmse
