#include "experiment/run_settings.h"

#include <algorithm>
#include <system_error>

#include "data/registry.h"
#include "engine/in_quotes.h"
#include "experiment/plain_text.h"
#include "experiment/setup.h"
#include "kernels/core/devices.h"
#include "kernels/core/error.h"

namespace qmse {
void make_absolute(std::string& path) {
  if (path.empty()) return;
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::weakly_canonical(path, error);
  if (!error) path = absolute.string();
}

RunSettings::RunSettings(const ConfigJson& given) : given_(given) {
  apply_layer(config_, given_);
  validate(config_);
  if (config_.out.empty()) throw ConfigError("--out DIR is missing: where the run's files go");
}

void RunSettings::settle(const RunDirectory& directory) {
  resuming_ = config_.resume && directory.holds_a_run();
  if (!resuming_) {
    if (directory.holds_a_run()) {
      throw ConfigError(in_quotes(directory.path()) +
                        " already holds a run: go on with it by --resume, or choose another --out");
    }
    make_absolute(config_.data);
    make_absolute(config_.init_from);
    resolve_seeds(config_);
    return;
  }
  const TrainConfig recorded = directory.recorded_config();
  TrainConfig merged = recorded;
  apply_layer(merged, given_);
  validate(merged);
  make_absolute(merged.data);
  make_absolute(merged.init_from);
  resolve_seeds(merged);
  if (merged.schedule_total_steps == 0) merged.schedule_total_steps = recorded.schedule_total_steps;
  std::string differences;
  for (const std::string& conflict : resume_conflicts(merged, recorded)) {
    differences += (differences.empty() ? "" : "; ") + conflict;
  }
  if (!differences.empty()) {
    throw ConfigError("cannot resume " + in_quotes(directory.path()) +
                      " with other settings: " + differences);
  }
  config_ = merged;
}

void RunSettings::resolve_machine(Context& context) {
  config_.device = device_option(context);
  if (CpuContext* cpu = context.cpu()) config_.threads = cpu->threads().size();
}

void RunSettings::set_total_steps(std::int64_t steps_per_epoch) {
  if (config_.schedule == "cosine" && config_.schedule_total_steps == 0) {
    config_.schedule_total_steps = steps_per_epoch * config_.epochs;
  }
}

std::string describe_machine(Context& context, bool automatic) {
  if (context.is_cuda()) {
    const std::size_t gpus = cuda_devices().size();
    return automatic && gpus > 1 ? ", one of " + std::to_string(gpus) + " GPUs" : "";
  }
  const int threads = context.cpu()->threads().size();
  const std::string why = why_no_cuda_device();
  return ", " + counted(threads, "thread") + (why.empty() ? "" : " (" + why + ")");
}

TrainingImages load_training_images(const TrainConfig& config) {
  const std::filesystem::path directory = find_data_directory(config.dataset, config.data);
  TrainingImages images;
  images.data = data_option(config.dataset, directory);
  make_absolute(images.data);
  images.directory = find_data_directory(config.dataset, images.data);
  // Takes as long as loading, so that beside it it costs little.
  images.content = std::async(std::launch::async, [name = config.dataset, directory] {
                     return examine_content(name, directory);
                   }).share();
  const LabelKind labels = parse_label_kind(config.labels, config.dataset);
  images.train = load_dataset(config.dataset, directory, Split::train, labels);
  images.test = load_dataset(config.dataset, directory, Split::test, labels);
  const std::int32_t first = *std::min_element(images.train.labels.begin(), images.train.labels.end());
  if (first > 0) {
    images.warning = "the training labels begin at " + std::to_string(first) + ": no image is of class " +
                     in_quotes(images.train.class_names.front()) + "; labels count from 0";
  }
  if (config.train_limit > 0) images.train = images.train.first(config.train_limit);
  images.shape = Shape{images.train.channels, images.train.height, images.train.width};
  check_same_shape(images.train, images.test, in_quotes(directory));
  images.normalization = make_normalization(parse_normalization_kind(config.normalize), images.train);
  return images;
}

}  // namespace qmse
