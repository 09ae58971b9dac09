#include "experiment/run/evaluation.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/in_quotes.h"
#include "data/registry.h"
#include "data/resident_dataset.h"
#include "experiment/run/setup.h"
#include "experiment/run/weights_source.h"

namespace qmse {

Scores scores(const EpochMetrics& metrics) {
  const double samples = static_cast<double>(metrics.samples);
  return {metrics.loss / samples, metrics.residual_sq / samples,
          static_cast<double>(metrics.correct) / samples};
}

namespace {

// The given settings over those of the weights.
TrainConfig settle_settings(const EvaluationRequest& request, const std::filesystem::path& file,
                            const ModelCard& card) {
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

}  // namespace

EvaluationReport evaluate(const EvaluationRequest& request) {
  const WeightsSource source = find_weights(request.weights);
  const std::filesystem::path& path = source.file;
  const SafetensorsFile file(path);
  const ModelCard card = read_card(file);
  const TrainConfig config = settle_settings(request, path, card);
  const std::unique_ptr<Context> context = make_context(config);
  const ImageDataset images = load_images_for(card, path, config, request.split);
  const ResidentDataset<float> data(*context, images, card.normalization);
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
  report.confusion.assign(classes, std::vector<std::int64_t>(classes, 0));
  report.scores = scores(*evaluator.run([&](std::int64_t first) {
    const std::vector<float> outputs = evaluator.outputs();
    for (std::size_t row = 0; row * classes < outputs.size(); ++row) {
      const auto begin = outputs.begin() + static_cast<std::ptrdiff_t>(row * classes);
      const auto end = begin + static_cast<std::ptrdiff_t>(classes);
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
  json["accuracy"] = report.scores.accuracy;
  json["residual_sq"] = report.scores.residual_sq;
  json["class_names"] = report.class_names;
  json["per_class_accuracy"] = report.per_class_accuracy;
  json["confusion_matrix"] = report.confusion;
  json["no_prediction"] = report.no_prediction;
  return json;
}

}  // namespace qmse
