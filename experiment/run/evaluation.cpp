#include "experiment/run/evaluation.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/words.h"
#include "data/registry.h"
#include "data/resident_dataset.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/run_settings.h"
#include "experiment/run/setup.h"
#include "experiment/run/weights_source.h"

namespace qmse {

Scores scores(const EpochMetrics& metrics) {
  const double samples = static_cast<double>(metrics.samples);
  return {metrics.loss / samples, metrics.residual_sq / samples,
          static_cast<double>(metrics.correct) / samples};
}

double target_variance(const ImageDataset& table, const Normalization& normalization) {
  const auto width = static_cast<std::size_t>(table.classes());
  std::vector<double> mean(width, 0.0);
  for (std::size_t i = 0; i < table.targets.size(); ++i) mean[i % width] += table.targets[i];
  for (double& each : mean) each /= static_cast<double>(table.count);
  double sum = 0;
  for (std::size_t i = 0; i < table.targets.size(); ++i) {
    const double difference = (table.targets[i] - mean[i % width]) / normalization.stddev[i % width];
    sum += difference * difference;
  }
  return sum / static_cast<double>(table.count);
}

double r_squared(const Scores& scores, double variance) {
  return variance > 0 ? 1 - scores.residual_sq / variance : std::nan("");
}

namespace {

// Settings that describe a model and its inputs; of files that say them they cannot be given.
constexpr const char* kModelSettings[] = {"model",      "conv_channels", "kernel_size", "fc_width",
                                          "mlp_widths", "activation",    "normalize"};

// Of weights that say nothing of themselves.
TrainConfig plain_settings(const EvaluationRequest& request, const std::filesystem::path& file) {
  for (const char* key : {"model", "dataset", "loss"}) {
    if (request.given.contains(key)) continue;
    throw ConfigError(in_quotes(file) +
                      " says nothing of its model, as files that qmse has not written: give --model "
                      "with its widths, --dataset and --loss");
  }
  TrainConfig config;
  apply_layer(config, request.given);
  validate(config);
  check_used(request.given, config);
  return config;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return "[" + join(shape, ", ", [](std::int64_t size) { return std::to_string(size); }) + "]";
}

std::string architecture_text(const ModelDescription& model) {
  std::string text = model.model;
  for (const auto& [key, value] : model.settings.items())
    text += (text == model.model ? " with " : ", ") + key + " " + value.dump();
  return text + ", for inputs " + to_string(model.input) + " and " + std::to_string(model.classes) +
         " classes";
}

// Names and shapes of all the file's tensors.
std::string tensors_text(const SafetensorsFile& file) {
  constexpr std::size_t kMaxShown = 12;
  std::string text;
  std::size_t count = 0;
  for (const std::string& name : file.names()) {
    if (++count > kMaxShown) return text + ", ...";
    text += (text.empty() ? "" : ", ") + name + " " + shape_text(file.info(name).shape);
  }
  return text;
}

// DataError, one sentence with what is expected and what is found, unless the file holds these parameters and
// nothing else.
void check_plain(const SafetensorsFile& file, const ModelDescription& model,
                 const std::vector<ParameterSpec>& parameters) {
  const std::string begin = in_quotes(file.path()) + ": the model asked for is a " + architecture_text(model);
  for (const ParameterSpec& parameter : parameters) {
    const std::vector<std::int64_t> expected(parameter.shape.sizes().begin(), parameter.shape.sizes().end());
    if (!file.contains(parameter.name)) {
      throw DataError(begin + ", which has " + in_quotes(parameter.name) + " " + shape_text(expected) +
                      "; the file has no tensor of that name but " + tensors_text(file) +
                      ": rename them, or give the model that they are of");
    }
    const TensorInfo& found = file.info(parameter.name);
    if (found.dtype != DType::f32)
      throw DataError(in_quotes(file.path()) + ": " + in_quotes(parameter.name) + " is not of 32-bit floats");
    if (found.shape == expected) continue;
    const std::vector<std::int64_t> turned(expected.rbegin(), expected.rend());
    throw DataError(begin + ", whose " + in_quotes(parameter.name) + " is " + shape_text(expected) +
                    "; in the file it is " + shape_text(found.shape) +
                    (found.shape == turned && expected.size() == 2
                         ? ", its transpose: layouts are PyTorch's, [outputs, inputs]"
                         : ": give the widths that the file has, or another data set"));
  }
  for (const std::string& name : file.names()) {
    const bool known = std::any_of(parameters.begin(), parameters.end(),
                                   [&](const ParameterSpec& each) { return each.name == name; });
    if (!known) {
      throw DataError(begin + ", which has no " + in_quotes(name) + " " + shape_text(file.info(name).shape) +
                      " that the file has: give the model that it is of");
    }
  }
}

// The given settings over those of the weights.
TrainConfig settle_settings(const EvaluationRequest& request, const std::filesystem::path& file,
                            const ModelCard& card) {
  for (const char* key : kModelSettings) {
    if (request.given.contains(key))
      throw ConfigError(find_field(key)->option() + " has no effect: " + in_quotes(file) +
                        " says what model it is of");
  }
  const Json known = settings_with_weights(request.weights, card, request.given);
  if (!known.contains("loss"))
    throw ConfigError(in_quotes(file) + " does not say with which loss it was trained: give --loss");
  TrainConfig config;
  apply_layer(config, known);
  validate(config);
  check_used(request.given, config);
  return config;
}

// How the classes of the images differ from those of the weights, where the user asked for such images.
std::string class_difference(const ModelCard& card, const ImageDataset& images) {
  for (std::size_t i = 0; i < card.class_names.size(); ++i) {
    if (card.class_names[i] == images.class_names[i]) continue;
    return "the weights were trained on " + card.dataset + ", whose classes have other names: class " +
           std::to_string(i) + " is " + in_quotes(card.class_names[i]) + " there and " +
           in_quotes(images.class_names[i]) + " in " + images.name;
  }
  return "";
}

// Of a batch of a table's rows: the standardised outputs as what they stand for.
void predict_rows(const std::vector<float>& outputs, std::int64_t first, const ImageDataset& table,
                  const Normalization& targets, const std::function<void(const Prediction&)>& each) {
  const std::size_t width = targets.mean.size();
  std::vector<double> values(width);
  for (std::size_t row = 0; row * width < outputs.size(); ++row) {
    const std::size_t index = static_cast<std::size_t>(first) + row;
    for (std::size_t k = 0; k < width; ++k)
      values[k] = targets.mean[k] + targets.stddev[k] * static_cast<double>(outputs[row * width + k]);
    each({static_cast<std::int64_t>(index), -1, values,
          std::span(table.targets).subspan(index * width, width)});
  }
}

}  // namespace

EvaluationReport evaluate(const EvaluationRequest& request) {
  const WeightsSource source = find_weights(request.weights);
  const std::filesystem::path& path = source.file;
  const SafetensorsFile file(path);
  const bool plain = !file.metadata().contains("qmse.model");
  ModelCard card;
  if (!plain) card = read_card(file);
  const TrainConfig config = plain ? plain_settings(request, path) : settle_settings(request, path, card);
  const std::unique_ptr<Context> context = make_context(config);
  if (plain) {
    check_label_kind(config.labels, config.dataset);
    const ImageDataset train = load_dataset(config.dataset, find_data_directory(config.dataset, config.data),
                                            Split::train, dataset_options(config));
    card = make_card(config, train, make_normalization(config.normalize, train),
                     train.is_table() ? std::optional(make_target_normalization(train)) : std::nullopt);
    check_plain(file, card.model, make_model(card.model).parameters());
  }
  const ImageDataset images = load_images_for(card, path, config, request.split);
  const ResidentDataset<float> data(*context, images, card.normalization, card.targets);
  const Sequential model = make_model(card.model);
  ParameterStore store(*context, DType::f32, model.parameters());
  read_weights(file, store);
  const std::unique_ptr<Loss> loss = make_loss(config);
  Evaluator<float> evaluator(
      *context, [&](Tape& tape, Value input) { return model.record(tape, store, input); }, data.view(), *loss,
      kEvaluationBatch);

  EvaluationReport report;
  report.dataset = images.name;
  report.trained_on = card.dataset;
  report.stale = source.note;
  report.step = read_step(file);
  report.difference = class_difference(card, images);
  report.loss = config.loss;
  report.reduction = name(config.loss_options.reduction);
  report.samples = images.count;
  report.class_names = images.class_names;
  const auto classes = static_cast<std::size_t>(images.classes());
  if (images.is_table()) {
    report.scores = scores(*evaluator.run([&](std::int64_t first) {
      if (request.each) predict_rows(evaluator.outputs(), first, images, *card.targets, request.each);
      return true;
    }));
    report.r2 = r_squared(report.scores, target_variance(images, *card.targets));
    return report;
  }
  report.confusion.assign(classes, std::vector<std::int64_t>(classes, 0));
  report.scores = scores(*evaluator.run([&](std::int64_t first) {
    const std::vector<float> outputs = evaluator.outputs();
    for (std::size_t row = 0; row * classes < outputs.size(); ++row) {
      const auto begin = outputs.begin() + static_cast<std::ptrdiff_t>(row * classes);
      const auto end = begin + static_cast<std::ptrdiff_t>(classes);
      const std::int64_t index = first + static_cast<std::int64_t>(row);
      if (request.each) {
        const std::vector<double> values(begin, end);
        request.each({index, images.labels[static_cast<std::size_t>(index)], values, {}});
      }
      if (std::any_of(begin, end, [](float output) { return std::isnan(output); })) {
        ++report.no_prediction;
        continue;
      }
      const auto largest = std::max_element(begin, end);  // the first of equals
      const auto label = static_cast<std::size_t>(images.labels[static_cast<std::size_t>(first) + row]);
      ++report.confusion[label][static_cast<std::size_t>(largest - begin)];
    }
    return true;
  }));
  std::vector<std::int64_t> total(classes, 0);
  for (const std::int32_t label : images.labels) ++total[static_cast<std::size_t>(label)];
  for (std::size_t label = 0; label < classes; ++label) {
    const double correct = static_cast<double>(report.confusion[label][label]);
    report.per_class_accuracy.push_back(total[label] == 0 ? 0.0
                                                          : correct / static_cast<double>(total[label]));
  }
  return report;
}

Json to_json(const EvaluationReport& report) {
  Json json;
  json["dataset"] = report.dataset;
  json["trained_on"] = report.trained_on;
  if (report.step) json["step"] = *report.step;
  json["loss_name"] = report.loss;
  json["reduction"] = report.reduction;
  json["samples"] = report.samples;
  json["loss"] = report.scores.loss;
  if (!report.r2) json["accuracy"] = report.scores.accuracy;
  json["residual_sq"] = report.scores.residual_sq;
  if (report.r2) {
    json["r2"] = *report.r2;
    json["targets"] = report.class_names;
    return json;
  }
  json["class_names"] = report.class_names;
  json["per_class_accuracy"] = report.per_class_accuracy;
  json["confusion_matrix"] = report.confusion;
  json["no_prediction"] = report.no_prediction;
  return json;
}

}  // namespace qmse
