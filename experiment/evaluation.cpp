#include "experiment/evaluation.h"

#include <algorithm>

#include "data/registry.h"
#include "data/resident_dataset.h"
#include "engine/in_quotes.h"
#include "experiment/setup.h"
#include "experiment/weights_file.h"

namespace qmse {

Scores scores(const EpochMetrics& metrics) {
  const double samples = static_cast<double>(metrics.samples);
  return {metrics.loss / samples, metrics.residual_sq / samples,
          static_cast<double>(metrics.correct) / samples};
}

EvaluationReport evaluate(const TrainConfig& config, const std::filesystem::path& weights_file, Split split) {
  validate(config);
  const SafetensorsFile file(weights_file);
  const ModelCard card = read_card(file);
  const std::unique_ptr<Context> context = make_context(config);
  const ImageDataset images = load_dataset(config.dataset, find_data_directory(config.dataset, config.data),
                                           split, parse_label_kind(config.labels, config.dataset));
  const Shape shape{images.channels, images.height, images.width};
  if (shape != card.model.input || images.classes() != card.model.classes) {
    throw DataError(in_quotes(weights_file) + ": its model takes images of " + to_string(card.model.input) +
                    " in " + std::to_string(card.model.classes) + " classes; " + images.name + " has " +
                    to_string(shape) + " in " + std::to_string(images.classes()));
  }
  if (card.dataset == images.name && card.class_names != images.class_names) {
    throw DataError(in_quotes(weights_file) +
                    ": its model was trained on classes of other names than those of " + images.name +
                    "; evaluate it on the classes it knows");
  }
  const ResidentDataset<float> data(*context, images, card.normalization);
  const Sequential model = make_model(card.model);
  ParameterStore store(*context, DType::f32, model.parameters());
  read_weights(file, store);
  const std::unique_ptr<Loss> loss = make_loss(config);
  Evaluator<float> evaluator(
      *context, [&](Tape& tape, Value input) { return model.record(tape, store, input); }, data.view(), *loss,
      kEvaluationBatch);

  EvaluationReport report;
  report.samples = images.count;
  report.class_names = images.class_names;
  const auto classes = static_cast<std::size_t>(images.classes());
  report.confusion.assign(classes, std::vector<std::int64_t>(classes, 0));
  report.scores = scores(evaluator.run([&](std::int64_t first) {
    const std::vector<float> outputs = evaluator.outputs();
    for (std::size_t row = 0; row * classes < outputs.size(); ++row) {
      const auto begin = outputs.begin() + static_cast<std::ptrdiff_t>(row * classes);
      const auto largest =
          std::max_element(begin, begin + static_cast<std::ptrdiff_t>(classes));  // the first of equals
      const auto label = static_cast<std::size_t>(images.labels[static_cast<std::size_t>(first) + row]);
      ++report.confusion[label][static_cast<std::size_t>(largest - begin)];
    }
  }));
  for (std::size_t label = 0; label < classes; ++label) {
    std::int64_t total = 0;
    for (const std::int64_t count : report.confusion[label]) total += count;
    const double correct = static_cast<double>(report.confusion[label][label]);
    report.per_class_accuracy.push_back(total == 0 ? 0.0 : correct / static_cast<double>(total));
  }
  return report;
}

ConfigJson to_json(const EvaluationReport& report) {
  ConfigJson json;
  json["samples"] = report.samples;
  json["loss"] = report.scores.loss;
  json["accuracy"] = report.scores.accuracy;
  json["residual_sq"] = report.scores.residual_sq;
  json["class_names"] = report.class_names;
  json["per_class_accuracy"] = report.per_class_accuracy;
  json["confusion_matrix"] = report.confusion;
  return json;
}

}  // namespace qmse
