#include "experiment/run/weights_source.h"

#include <system_error>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/text_file.h"
#include "data/registry.h"
#include "experiment/run/checkpoint.h"
#include "experiment/run/run_settings.h"
#include "experiment/run/tensor_digest.h"
#include "losses/losses.h"

namespace qmse {
namespace {

bool is_run_directory(const std::filesystem::path& path) {
  std::error_code none;
  return std::filesystem::is_directory(path, none);
}

// Of the run around a file; nothing where there is none. Errors as read_position().
std::optional<std::int64_t> step_of_checkpoint(const std::filesystem::path& run) {
  const std::filesystem::path checkpoint = run / "checkpoint.safetensors";
  std::error_code none;
  if (!std::filesystem::exists(checkpoint, none)) return std::nullopt;
  return static_cast<std::int64_t>(read_position(SafetensorsFile(checkpoint)).counter.step);
}

// A run that was made longer has the weights of its former end until it is through.
std::string difference_from_checkpoint(const std::filesystem::path& model) {
  std::optional<std::int64_t> now;
  try {
    now = step_of_checkpoint(model.parent_path());
  } catch (const Error& error) {
    return "whether these weights are the latest of their run cannot be said: " + std::string(error.what());
  }
  if (!now) return "";
  const std::optional<std::int64_t> step = read_step(SafetensorsFile(model));
  if (step == now) return "";
  return in_quotes(model) +
         (step ? " has the weights of step " + std::to_string(*step)
               : std::string(" does not say its step")) +
         ", but its run is at step " + std::to_string(*now) +
         ": go on with it by qmse train --resume, or name " +
         in_quotes(model.parent_path() / "checkpoint.safetensors");
}

Json read_record(const std::filesystem::path& file) {
  try {
    return read_config_file(file);
  } catch (const ConfigError& error) {  // not what the user typed: the file is at fault
    throw DataError(error.what());
  }
}

// The file that `path` names.
std::filesystem::path file_of(const std::filesystem::path& path) {
  if (!is_run_directory(path)) return path;
  const std::filesystem::path model = path / "model.safetensors",
                              checkpoint = path / "checkpoint.safetensors";
  std::error_code none;
  if (std::filesystem::exists(model, none)) return model;
  throw DataError(
      in_quotes(path) +
      (std::filesystem::exists(checkpoint, none)
           ? ": its run is not finished; to take the weights where it stands name " + in_quotes(checkpoint)
           : ": holds no model.safetensors, so no finished run"));
}

// What a run's metrics say of the weights after `step`; empty where they say nothing. Lines that cannot be
// read are for those who need them.
std::string recorded_sha256(const std::filesystem::path& run, std::int64_t step) {
  const std::filesystem::path metrics = run / "metrics.jsonl";
  std::error_code none;
  if (!std::filesystem::is_regular_file(metrics, none)) return "";
  std::string sha256;
  read_lines(metrics, [&](std::int64_t number, std::string_view text) {
    Json epoch;
    try {
      epoch = parse_json(text, in_quotes(metrics) + ": line " + std::to_string(number));
    } catch (const DataError&) {
      return true;
    }
    if (!epoch.is_object() || epoch.value("step", Json()) != Json(step)) return true;
    const Json recorded = epoch.value("weights_sha256", Json());
    if (recorded.is_string()) sha256 = recorded.get<std::string>();
    return false;
  });
  return sha256;
}

// Whether --resume could write final weights of `step` again.
bool can_be_written_again(const std::filesystem::path& model, std::int64_t step) {
  try {
    return step_of_checkpoint(model.parent_path()) == step;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void check_recorded_weights(const std::filesystem::path& file) {
  const SafetensorsFile weights(file);
  const std::optional<std::int64_t> step = read_step(weights);
  if (!step) return;
  const std::string recorded = recorded_sha256(file.parent_path(), *step);
  if (recorded.empty()) return;
  const std::string now = weights_sha256(weights);
  if (recorded == now) return;
  const bool again = file.filename() == "model.safetensors" && can_be_written_again(file, *step);
  throw DataError(in_quotes(file) + " was damaged or replaced: its weights have the SHA-256 " +
                  now.substr(0, 12) + "..., its run recorded " + recorded.substr(0, 12) + "... for step " +
                  std::to_string(*step) +
                  (again ? "; without the file, qmse train --resume writes it again from the checkpoint"
                         : "; train again, or copy it to another folder to take it as it is"));
}

WeightsSource find_weights(const std::filesystem::path& path) {
  const std::filesystem::path file = file_of(path);
  const bool final = file.filename() == "model.safetensors";
  if (final || file.filename() == "best.safetensors") check_recorded_weights(file);
  return {file, final ? difference_from_checkpoint(file) : ""};
}

Json settings_with_weights(const std::filesystem::path& path, const ModelCard& card, const Json& given) {
  Json known = settings_of(card);
  if (is_run_directory(path)) {
    const Json record = read_record(path / "config.json");
    for (const char* key :
         {"data", "labels", "targets", "columns", "test_share", "test_seed", "loss", "reduction"}) {
      if (record.contains(key)) known[key] = record[key];
    }
  }
  if (given.value("dataset", card.dataset) != card.dataset) known.erase("data");  // where another one lies
  const LossKind* loss = given.contains("loss") ? find_loss(given["loss"].get<std::string>()) : nullptr;
  if (loss != nullptr && !loss->squared_error) known.erase("reduction");  // it has but one
  return overlay(known, given);
}

void check_of_images(const ModelCard& card, const std::filesystem::path& file) {
  if (card.targets)
    throw ConfigError(in_quotes(file) + " was trained on a table; this looks at models of images alone");
}

ImageDataset load_images_for(const ModelCard& card, const std::filesystem::path& weights,
                             const TrainConfig& config, Split split) {
  check_label_kind(config.labels, config.dataset);
  ImageDataset images = load_dataset(config.dataset, find_data_directory(config.dataset, config.data), split,
                                     dataset_options(config));
  if (images.is_table() != card.targets.has_value()) {
    throw DataError(in_quotes(weights) + ": its model was trained on " +
                    (card.targets ? "a table" : "images") + ", and " + images.name + " is " +
                    (images.is_table() ? "one" : "none of them"));
  }
  const Shape shape{images.channels, images.height, images.width};
  if (shape != card.model.input || images.classes() != card.model.classes) {
    throw DataError(in_quotes(weights) + ": its model takes images of " + to_string(card.model.input) +
                    " in " + std::to_string(card.model.classes) + " classes; " + images.name + " has " +
                    to_string(shape) + " in " + std::to_string(images.classes()));
  }
  if (card.dataset == images.name && card.class_names != images.class_names) {
    throw DataError(in_quotes(weights) + ": its model was trained on classes of other names than those of " +
                    images.name + "; evaluate it on the classes it knows");
  }
  return images;
}

std::string first_weights_sha256(const std::filesystem::path& path) {
  return weights_sha256(SafetensorsFile(file_of(path)));
}

}  // namespace qmse
