#include "experiment/run/run_settings.h"

#include <algorithm>
#include <cmath>
#include <system_error>

#include "base/build_config.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/stopped.h"
#include "data/registry.h"
#include "device/devices.h"
#include "experiment/run/plain_text.h"
#include "experiment/run/run_record.h"
#include "experiment/run/setup.h"
#include "experiment/run/weights_source.h"

namespace qmse {
namespace {

std::string sha256_or_nothing(const std::filesystem::path& weights) {
  try {
    return first_weights_sha256(weights);
  } catch (const Error&) {  // gone, or no weights
    return "";
  }
}

// How the weights that a resumed run is given to start from are not those it began with; empty where they
// are. The same ones under another path do not make another run, and others under the same path do.
std::string other_start(const TrainConfig& config, const TrainConfig& recorded,
                        const RunDirectory& directory) {
  const bool same_path = config.init_from == recorded.init_from;
  const std::string now = sha256_or_nothing(config.init_from);
  std::string then = started_from(directory.recorded_environment());
  if (then.empty() && !same_path) then = sha256_or_nothing(recorded.init_from);  // an earlier record
  const bool known = !now.empty() && !then.empty();
  if (known ? now == then : same_path) return "";
  return "--init-from " + in_quotes(config.init_from) +
         (known ? " holds other weights than those" : " cannot be compared with the weights") +
         " the run began with, from " + in_quotes(recorded.init_from);
}

}  // namespace

void make_absolute(std::string& path) {
  if (path.empty()) return;
  std::error_code error;
  // weakly_canonical() leaves a relative path that begins with nothing that exists relative.
  std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (!error) absolute = std::filesystem::weakly_canonical(absolute, error);
  if (!error) path = absolute.string();
}

RunSettings::RunSettings(const Json& given) : given_(given) {
  apply_layer(config_, given_);
  validate(config_);
  if (config_.out.empty()) throw ConfigError("--out DIR is missing: where the run's files go");
  if (config_.resume && config_.resume_or_start)
    throw ConfigError("--resume and --resume-or-start exclude each other: give one of them");
  if (config_.resume && !RunDirectory::holds_a_run(config_.out)) {
    throw ConfigError(in_quotes(config_.out) +
                      " holds no run to go on with: check --out, or start one there by --resume-or-start");
  }
}

void RunSettings::settle(const RunDirectory& directory) {
  resuming_ = (config_.resume || config_.resume_or_start) && directory.holds_a_run();
  if (!resuming_) {
    if (directory.holds_a_run()) {
      throw ConfigError(in_quotes(directory.path()) +
                        " already holds a run: go on with it by --resume, or choose another --out");
    }
    check_used(given_, config_);
    make_absolute(config_.data);
    make_absolute(config_.init_from);
    resolve_defaults(config_);
    return;
  }
  const TrainConfig recorded = directory.recorded_config();
  TrainConfig merged = recorded;
  apply_layer(merged, given_);
  validate(merged);
  check_used(given_, merged);
  make_absolute(merged.data);
  make_absolute(merged.init_from);
  resolve_defaults(merged);
  if (merged.schedule_total_steps == 0) merged.schedule_total_steps = recorded.schedule_total_steps;
  std::string differences;
  TrainConfig compared = merged;
  if (given_.contains("init_from") && !merged.init_from.empty() && !recorded.init_from.empty()) {
    differences = other_start(merged, recorded, directory);
    compared.init_from = recorded.init_from;  // the path does not count
  }
  for (const std::string& conflict : resume_conflicts(compared, recorded)) {
    differences += (differences.empty() ? "" : "; ") + conflict;
  }
  if (!differences.empty()) {
    throw ConfigError("cannot resume " + in_quotes(directory.path()) +
                      " with other settings: " + differences);
  }
  config_ = merged;
  recorded_epochs_ = recorded.epochs;
}

void RunSettings::resolve_machine(Context& context) {
  config_.device = device_option(context);
  if (CpuContext* cpu = context.cpu()) config_.threads = cpu->threads().size();
}

void RunSettings::set_total_steps(std::int64_t steps_per_epoch) {
  if (config_.schedule != ScheduleKind::cosine) return;
  const std::int64_t units = steps_per_epoch / schedule_unit_steps(config_, steps_per_epoch);  // of an epoch
  // Behind its end the rate stays at its last value, 0 unless asked otherwise; stretched, the steps so far
  // would have had other rates.
  if (recorded_epochs_ > 0 && config_.epochs > recorded_epochs_ &&
      config_.schedule_total_steps == units * recorded_epochs_) {
    throw ConfigError("--epochs " + std::to_string(config_.epochs) +
                      ": the run's cosine schedule ends with its " + std::to_string(recorded_epochs_) +
                      " epochs, so it cannot be made longer; start a run of that length in another --out");
  }
  if (config_.schedule_total_steps == 0) config_.schedule_total_steps = units * config_.epochs;
}

std::string describe_machine(Context& context, bool automatic) {
  if (context.is_cuda()) {
    const std::size_t gpus = cuda_devices().size();
    return automatic && gpus > 1 ? ", one of " + std::to_string(gpus) + " GPUs" : "";
  }
  const int threads = context.cpu()->threads().size();
  const std::string why = !automatic ? "" : QMSE_CUDA ? why_no_cuda_device() : "built without CUDA";
  return ", " + counted(threads, "thread") + (why.empty() ? "" : " (" + why + ")");
}

DatasetOptions dataset_options(const TrainConfig& config) {
  DatasetOptions options(config.labels);
  options.table = {column_list(config.targets), column_list(config.columns)};
  options.test = {config.test_share, *config.test_seed};
  return options;
}

TrainingImages load_training_images(const TrainConfig& config, const std::function<bool()>& stop) {
  const std::filesystem::path directory = find_data_directory(config.dataset, config.data);
  TrainingImages images;
  images.data = data_option(config.dataset, directory);
  make_absolute(images.data);
  images.directory = find_data_directory(config.dataset, images.data);
  // Takes as long as loading, so that beside it it costs little.
  images.content = std::async(std::launch::async, [name = config.dataset, directory, stop] {
                     return examine_content(name, directory, stop);
                   }).share();
  check_label_kind(config.labels, config.dataset);
  images.train = load_dataset(config.dataset, directory, Split::train, dataset_options(config), stop);
  images.test = load_dataset(config.dataset, directory, Split::test, dataset_options(config), stop);
  if (stop && stop())
    throw Stopped("stopped while the images in " + in_quotes(directory) + " were being read");
  const std::int32_t first =
      images.train.is_table() ? 0 : *std::min_element(images.train.labels.begin(), images.train.labels.end());
  if (first > 0) {
    images.warning = "the training labels begin at " + std::to_string(first) + ": no image is of class " +
                     in_quotes(images.train.class_names.front()) + "; labels count from 0";
  }
  if (config.train_limit > 0) images.train = images.train.first(config.train_limit);
  if (config.validation > 0) {
    const auto all = static_cast<double>(images.train.count);
    const double count = config.validation < 1 ? std::round(config.validation * all) : config.validation;
    images.validation = split_off(images.train, static_cast<std::int64_t>(count), *config.validation_seed);
  }
  images.shape = Shape{images.train.channels, images.train.height, images.train.width};
  check_same_shape(images.train, images.test, in_quotes(directory));
  images.normalization = make_normalization(config.normalize, images.train);
  if (images.train.is_table()) images.targets = make_target_normalization(images.train);
  return images;
}

}  // namespace qmse
