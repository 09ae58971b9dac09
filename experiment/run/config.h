// The settings of a training run. One table of fields (config_fields.h) drives the command line, the JSON
// configuration files, their error messages and what has to agree when a run is resumed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "data/normalization.h"
#include "device/kernel_choice.h"
#include "device/math_mode.h"
#include "engine/parameters.h"
#include "kernels/bias_activation/activation.h"
#include "losses/losses.h"
#include "optim/schedule.h"

namespace qmse {

// What to do when the loss is not finite.
enum class OnNan { stop, go_on };
constexpr std::array<Choice<OnNan>, 2> choices(OnNan) {
  return {{{OnNan::stop, "stop"}, {OnNan::go_on, "continue"}}};
}

// Every option of `qmse train` with its default. The key in a JSON file is the member's name (what is in
// loss_options has names of its own); the option on the command line is the same with dashes (--batch-size).
// `dataset`, `model`, `loss` and `optimizer` are names of dataset_info(), find_model(), find_loss() and
// find_optimizer(). What each one means is said once, in the table.
struct TrainConfig {
  // data
  std::string dataset = "fashion-mnist";
  std::string data;  // empty: the environment's QMSE_DATA, or the usual places
  LabelKind labels = LabelKind::fine;
  std::string targets, columns;  // of a table, names parted by commas; empty: the last one, all others
  double test_share = 0;         // 0: of a table kTestShare, of a folder its own test set
  std::optional<std::uint64_t> test_seed = 1;
  std::int64_t train_limit = 0;
  double validation = 0;  // how many of the training images, or, below 1, which share
  std::optional<std::uint64_t> validation_seed = 1;
  NormalizationKind normalize = NormalizationKind::standard;

  // model
  std::string model = "cnn";
  std::vector<std::int64_t> conv_channels = {32, 64};
  std::int64_t kernel_size = 3;
  std::int64_t fc_width = 128;
  std::vector<std::int64_t> mlp_widths = {128, 64};
  Activation activation = Activation::relu;
  Initialization init = Initialization::pytorch;
  std::string init_from;

  // loss
  std::string loss = "qmse";
  LossOptions loss_options;  // QMSE's seed is seed_v
  std::int64_t v_resample = 0;

  // optimizer and schedule
  std::string optimizer = "sgd";
  std::optional<double> lr;  // not given: the optimizer's usual rate
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double rmsprop_alpha = 0.99;
  double rmsprop_momentum = 0.0;
  bool rmsprop_centered = false;
  ScheduleKind schedule = ScheduleKind::constant;
  ScheduleUnit schedule_unit = ScheduleUnit::step;
  std::int64_t schedule_step_size = 1000;
  double schedule_gamma = 0.1;
  std::int64_t schedule_total_steps = 0;
  double schedule_final_fraction = 0.0;
  double schedule_tau = 1000.0;
  double schedule_power = 0.75;
  std::int64_t warmup = 0;

  // training
  std::int64_t batch_size = 64;
  std::int64_t epochs = 5;
  bool evaluate_train = false;
  bool keep_best = false;
  std::int64_t stop_early = 0;  // epochs of patience
  std::int64_t diagnose = 0;
  OnNan on_nan = OnNan::stop;

  // random numbers: those that are not given are the same as `seed`
  std::optional<std::uint64_t> seed = 1;
  std::optional<std::uint64_t> seed_init;
  std::optional<std::uint64_t> seed_data;
  std::optional<std::uint64_t> seed_v;

  // machine
  std::string device = "auto";
  std::int64_t threads = 0;
  MathMode math = MathMode::fp32;
  KernelChoice kernels = KernelChoice::automatic;
  std::int64_t workspace_mib = 1024;
  bool no_graph = false;

  // run directory
  std::string out;
  bool resume = false;
  bool resume_or_start = false;
  std::int64_t checkpoint_every = 0;
  std::int64_t snapshot_every = 0;
  std::int64_t log_steps = 0;
  std::string note;
};

// parse_json() of what a user wrote: throws ConfigError.
Json parse_given_json(std::string_view text, const std::string& source);

// Throws ConfigError unless `layer` is an object of settings, each of a known key, right type and range.
void check_layer(const Json& layer, const std::string& source);

// One layer from the text of a JSON object, each key checked for existence, type and range. `source` (a file
// name) begins the messages. Throws ConfigError: not JSON, not an object, unknown key (with the nearest one
// and the known ones), key given twice, wrong type, value out of range.
Json parse_config(std::string_view text, const std::string& source);

// parse_config() of a file's content. Throws IoError where it cannot be read.
Json read_config_file(const std::filesystem::path& path);

// Sets the members that `layer` names.
void apply_layer(TrainConfig& config, const Json& layer);

// The settings of both layers, `above` winning. What `below` says beside a choice that `above` makes
// otherwise goes with that choice: QMSE's v_scope where the loss is another one now, the learning rate of
// another optimizer, a seed_init that is no other than the seed.
Json overlay(const Json& below, const Json& above);

// `layer` without the settings that have no effect in `config`: momentum where the optimizer is adam.
Json without_unused(Json layer, const TrainConfig& config);

// ConfigError where `given` has a setting without effect in `config`; it says which setting would use it.
void check_used(const Json& given, const TrainConfig& config);

// Every field that is part of a run's record and has an effect, in the table's order. Two configurations that
// differ in nothing else are the same run.
Json to_json(const TrainConfig& config);

// Checks every field, and the fields against each other. Throws ConfigError naming option and remedy.
void validate(const TrainConfig& config);

// Gives what was not set its value: the seeds that of `seed`, the learning rate the optimizer's usual one.
void resolve_defaults(TrainConfig& config);

// "lr is 0.1, was 0.01", for each field with an effect in both in which a run being resumed may not differ from
// its record and does.
std::vector<std::string> resume_conflicts(const TrainConfig& config, const TrainConfig& recorded);

}  // namespace qmse
