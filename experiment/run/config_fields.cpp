#include "experiment/run/config_fields.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/name_text.h"
#include "base/number_text.h"
#include "base/parse_choice.h"
#include "base/words.h"
#include "data/registry.h"
#include "experiment/run/model_description.h"
#include "optim/optimizers.h"

namespace qmse {
namespace {

using Config = TrainConfig;

// What get() gives and set() takes: a choice's values are texts.
template <class Member>
struct MemberType {
  using type = std::remove_cvref_t<decltype(Config{}.*Member{})>;
};
template <>
struct MemberType<ChoiceMember> {
  using type = std::string;
};
template <class Member>
using TypeOf = typename MemberType<std::remove_cvref_t<Member>>::type;

// object.*first, or the rest's of that.
template <auto first, auto... rest>
auto& member_of(auto& object) {
  if constexpr (sizeof...(rest) == 0) {
    return object.*first;
  } else {
    return member_of<rest...>(object.*first);
  }
}

template <auto... path>
ChoiceMember choice() {
  using Enum = std::remove_cvref_t<decltype(member_of<path...>(std::declval<Config&>()))>;
  return {[](const Config& config) { return name(member_of<path...>(config)); },
          [](Config& config, std::string_view text) {
            const std::optional<Enum> value = find_choice<Enum>(text);
            if (value) member_of<path...>(config) = *value;
            return value.has_value();
          },
          [] {
            std::vector<NamedChoice> all;
            for (const Choice<Enum>& each : choices(Enum())) all.push_back({each.name, each.label});
            return all;
          }};
}

// Of losses(), optimizers() or models().
template <class Kinds>
std::vector<NamedChoice> named(const Kinds& kinds) {
  std::vector<NamedChoice> all;
  for (const auto& kind : kinds) all.push_back({kind.name, kind.label});
  return all;
}

std::vector<NamedChoice> named_datasets() {
  static const std::vector<std::string> names = dataset_names();
  std::vector<NamedChoice> all;
  for (const std::string& name : names) all.push_back({name, dataset_info(name).label});
  return all;
}

using enum ConfigGroup;

constexpr auto kOptions = &Config::loss_options;
constexpr auto kQmse = &LossOptions::qmse;

constexpr unsigned kAll = kTrain | kTrace | kEvaluate;
constexpr double kMaxInt = 2147483647.0;

const ConfigCondition kTable = {"dataset", {"table"}};
const ConfigCondition kOwn = {"dataset", {"folder", "table"}};
const ConfigCondition kCnn = {"model", {"cnn"}};
const ConfigCondition kMlp = {"model", {"mlp"}};
const ConfigCondition kRandomStart = {"init_from", {""}};
const ConfigCondition kStepSchedule = {"schedule", {"step"}};
const ConfigCondition kAnySchedule = {"schedule", {"constant"}, true};
const ConfigCondition kCosine = {"schedule", {"cosine"}};
const ConfigCondition kRobbinsMonro = {"schedule", {"robbins_monro"}};
const ConfigCondition kNoCpu = {"device", {"cpu"}, true};
const ConfigCondition kValidation = {"validation", {"0"}, true};

// That a data set with coarse labels is chosen.
ConfigCondition with_coarse_labels() {
  ConfigCondition condition{"dataset", {}};
  for (const std::string& name : dataset_names()) {
    if (dataset_info(name).coarse_labels) condition.values.emplace_back(dataset_info(name).name);
  }
  return condition;
}

// Those of losses() or optimizers() that have this option.
template <class Kinds>
std::vector<std::string_view> names_with(const Kinds& kinds, std::string_view option) {
  std::vector<std::string_view> names;
  for (const auto& kind : kinds) {
    if (std::find(kind.options.begin(), kind.options.end(), option) != kind.options.end())
      names.push_back(kind.name);
  }
  return names;
}

// The condition that one of them is chosen; none where all have it.
template <class Kinds>
std::optional<ConfigCondition> only_with(std::string_view setting, const Kinds& kinds,
                                         std::string_view option) {
  const std::vector<std::string_view> names = names_with(kinds, option);
  if (names.size() == kinds.size()) return std::nullopt;
  return ConfigCondition{setting, names};
}

std::optional<ConfigCondition> of_loss(std::string_view option) {
  return only_with("loss", losses(), option);
}
std::optional<ConfigCondition> of_optimizer(std::string_view option) {
  return only_with("optimizer", optimizers(), option);
}

// That the loss is one of y - f.
ConfigCondition with_squared_error() {
  ConfigCondition condition{"loss", {}};
  for (const LossKind& kind : losses()) {
    if (kind.squared_error) condition.values.push_back(kind.name);
  }
  return condition;
}

// "sgd: momentum": the help of an optimizer's number.
std::string help_of(std::string_view option, const char* text) {
  return (of_optimizer(option) ? join(names_with(optimizers(), option), ", ") + ": " : "") + text;
}

std::vector<ConfigField> with_choices(std::vector<ConfigField> fields) {
  for (ConfigField& field : fields) {
    if (const auto* member = std::get_if<ChoiceMember>(&field.member)) field.rule.choices = member->all();
  }
  return fields;
}

const std::vector<ConfigField>& table() {
  static const std::vector<ConfigField> fields = with_choices({
      // One setting, two lines. clang-format would take seven.
      // clang-format off
      {data, kAll, "dataset", &Config::dataset,
       "the images", {.choices = named_datasets()}},
      {data, kAll, "data", &Config::data,
       "folder that holds mnist/, fashion-mnist/, cifar-10-batches-bin/ or cifar-100-binary/ (without it the "
       "environment variable QMSE_DATA, then ~/.cache/qmse and /usr/share/datasets); for --dataset folder the one "
       "that holds train/ and test/, for --dataset table the file, .csv or .npy", {.free_on_resume = true, .placeholder = "DIR"}},
      {data, kAll, "labels", choice<&Config::labels>(),
       "cifar100: the 100 classes or their 20 superclasses", {.only_with = with_coarse_labels()}},
      {data, kAll, "targets", &Config::targets,
       "table: the columns to learn, by name, with commas between; without it the last one", {.only_with = kTable}},
      {data, kAll, "columns", &Config::columns,
       "table: the columns to learn from; without it all that are no targets", {.only_with = kTable}},
      {data, kAll, "test_share", &Config::test_share,
       "one's own: which share of the samples is kept apart as the test set; 0: of a table 0.2, of a folder what is in "
       "test/ or val/", {.low = 0, .high = 1, .high_open = true, .only_with = kOwn}},
      {data, kAll, "test_seed", &Config::test_seed,
       "one's own: seed of which samples these are", {.only_with = kOwn}},
      {data, kTrain | kTrace, "train_limit", &Config::train_limit,
       "use the first N training images only; 0: all", {.low = 0, .high = kMaxInt}},
      {data, kTrain | kTrace, "validation", &Config::validation,
       "take N of the training images, or this share of them (below 1), out of training and measure on them after "
       "each epoch (validation_loss, ...); 0: none", {.low = 0, .high = kMaxInt, .placeholder = "N|SHARE"}},
      {data, kTrain | kTrace, "validation_seed", &Config::validation_seed,
       "seed of which images these are. It is not --seed, so that runs of several seeds are validated on the same "
       "images", {.only_with = kValidation}},
      {data, kAll, "normalize", choice<&Config::normalize>(),
       "standard: mean 0 and deviation 1 per channel over the training images; unit: pixel / 255"},

      {model, kAll, "model", &Config::model,
       "cnn: convolutions with max-pooling and two fully connected layers, as in the QMSE paper; mlp: fully connected "
       "layers", {.choices = named(models())}},
      {model, kAll, "conv_channels", &Config::conv_channels,
       "channels of the cnn's convolutions, one number each", {.low = 1, .high = 65536, .min_items = 1, .only_with = kCnn}},
      {model, kAll, "kernel_size", &Config::kernel_size,
       "side of the cnn's convolution kernels, odd", {.low = 1, .high = 255, .only_with = kCnn}},
      {model, kAll, "fc_width", &Config::fc_width,
       "width of the cnn's first fully connected layer", {.low = 1, .high = 1 << 20, .only_with = kCnn}},
      {model, kAll, "mlp_widths", &Config::mlp_widths,
       "widths of the mlp's hidden layers; none: no hidden layer", {.low = 1, .high = 1 << 20, .only_with = kMlp}},
      {model, kAll, "activation", choice<&Config::activation>(),
       "activation of the mlp's hidden layers", {.only_with = kMlp}},
      {model, kTrain | kTrace, "init", choice<&Config::init>(),
       "initial weights; pytorch: uniform in +-1/sqrt(fan_in), as PyTorch's layers",
       {.only_with = kRandomStart}},
      {model, kTrain, "init_from", &Config::init_from,
       "start from the weights in this file, or of this run directory, instead of random ones",
       {.placeholder = "FILE|RUN"}},

      {loss, kAll, "loss", &Config::loss,
       "what is minimised; qmse_expected: QMSE's expectation over v, that is QMSE without its noise; mse_noise: MSE and "
       "the noise of QMSE",
       {.choices = named(losses())}},
      {loss, kAll, "reduction", choice<kOptions, &LossOptions::reduction>(),
       "batch_mean: sum over outputs with the 1/2, mean over the batch; element_mean: times 2/c, as "
       "PyTorch's MSELoss"},
      {loss, kTrain | kTrace, "v_distribution", choice<kOptions, kQmse, &QmseOptions::distribution>(),
       "QMSE's random unit vector v", {.only_with = of_loss("v_distribution")}},
      {loss, kTrain | kTrace, "v_scope", choice<kOptions, kQmse, &QmseOptions::scope>(),
       "a v for every sample, or one for the batch", {.only_with = of_loss("v_scope")}},
      {loss, kTrain | kTrace, "q_gradient", choice<kOptions, kQmse, &QmseOptions::q_gradient>(),
       "constant: QMSE's matrix Q is not differentiated, as in the paper; full: it is",
       {.only_with = of_loss("q_gradient")}},
      {loss, kTrain, "v_resample", &Config::v_resample,
       "draw v again, up to N times, where a step's gradient is exactly zero although a residual is not, as the QMSE paper "
       "proposes; the host then waits for every step",
       {.low = 0, .high = static_cast<double>(kMaxRedraws), .only_with = of_loss("v_resample")}},

      {optimizer, kTrain, "optimizer", &Config::optimizer,
       "update rule, as in PyTorch", {.choices = named(optimizers())}},
      {optimizer, kTrain, "lr", &Config::lr,
       "learning rate", {.low = 0}},
      {optimizer, kTrain, "momentum", &Config::momentum,
       help_of("momentum", "momentum"),
       {.low = 0, .high = 1, .high_open = true, .only_with = of_optimizer("momentum")}},
      {optimizer, kTrain, "nesterov", &Config::nesterov,
       help_of("nesterov", "Nesterov's momentum"), {.only_with = of_optimizer("nesterov")}},
      {optimizer, kTrain, "weight_decay", &Config::weight_decay,
       help_of("weight_decay", "added to the gradient, times the weight"),
       {.low = 0, .only_with = of_optimizer("weight_decay")}},
      {optimizer, kTrain, "beta1", &Config::beta1,
       help_of("beta1", "decay of the mean"),
       {.low = 0, .high = 1, .high_open = true, .only_with = of_optimizer("beta1")}},
      {optimizer, kTrain, "beta2", &Config::beta2,
       help_of("beta2", "decay of the mean square"),
       {.low = 0, .high = 1, .high_open = true, .only_with = of_optimizer("beta2")}},
      {optimizer, kTrain, "epsilon", &Config::epsilon,
       help_of("epsilon", "added to the root mean square"),
       {.low = 0, .low_open = true, .only_with = of_optimizer("epsilon")}},
      {optimizer, kTrain, "rmsprop_alpha", &Config::rmsprop_alpha,
       help_of("rmsprop_alpha", "decay of the mean square"),
       {.low = 0, .high = 1, .high_open = true, .only_with = of_optimizer("rmsprop_alpha")}},
      {optimizer, kTrain, "rmsprop_momentum", &Config::rmsprop_momentum,
       help_of("rmsprop_momentum", "momentum of the steps"),
       {.low = 0, .high = 1, .high_open = true, .only_with = of_optimizer("rmsprop_momentum")}},
      {optimizer, kTrain, "rmsprop_centered", &Config::rmsprop_centered,
       help_of("rmsprop_centered", "divide by the deviation instead of the root mean square"),
       {.only_with = of_optimizer("rmsprop_centered")}},

      {schedule, kTrain, "schedule", choice<&Config::schedule>(),
       "how the learning rate changes from step to step"},
      {schedule, kTrain, "schedule_unit", choice<&Config::schedule_unit>(),
       "what --schedule-step-size, --schedule-total-steps and --schedule-tau count", {.only_with = kAnySchedule}},
      {schedule, kTrain, "schedule_step_size", &Config::schedule_step_size,
       "step: steps between two reductions", {.low = 1, .high = kMaxInt, .only_with = kStepSchedule}},
      {schedule, kTrain, "schedule_gamma", &Config::schedule_gamma,
       "step: factor of each reduction", {.low = 0, .high = 1, .low_open = true, .only_with = kStepSchedule}},
      {schedule, kTrain, "schedule_total_steps", &Config::schedule_total_steps,
       "cosine: steps until the last rate is reached; 0: those of the whole run, which then cannot be made longer",
       {.low = 0, .high = kMaxInt, .only_with = kCosine}},
      {schedule, kTrain, "schedule_final_fraction", &Config::schedule_final_fraction,
       "cosine: the last rate, as a share of --lr", {.low = 0, .high = 1, .only_with = kCosine}},
      {schedule, kTrain, "schedule_tau", &Config::schedule_tau,
       "robbins_monro: lr / (1 + step / tau)^power", {.low = 0, .low_open = true, .only_with = kRobbinsMonro}},
      {schedule, kTrain, "schedule_power", &Config::schedule_power,
       "robbins_monro: the exponent", {.low = 0, .low_open = true, .only_with = kRobbinsMonro}},
      {schedule, kTrain, "warmup", &Config::warmup,
       "steps over which the rate grows, evenly, to that of the schedule; 0: none", {.low = 0, .high = kMaxInt}},

      {training, kTrain | kTrace, "batch_size", &Config::batch_size,
       "images per step", {.low = 1, .high = 1 << 20}},
      {training, kTrain, "epochs", &Config::epochs,
       "passes over the training images", {.low = 1, .high = 1000000, .free_on_resume = true}},
      {training, kTrain, "evaluate_train", &Config::evaluate_train,
       "measure the accuracy on all training images after each epoch (train_accuracy_full)"},
      {training, kTrain, "keep_best", &Config::keep_best,
       "keep the weights of the epoch with the best validation accuracy, the first of equals, in best.safetensors",
       {.only_with = kValidation}},
      {training, kTrain, "stop_early", &Config::stop_early,
       "end the run after N epochs without a better validation accuracy; 0: never",
       {.low = 0, .high = 1000000, .only_with = kValidation, .free_on_resume = true}},
      {training, kTrain, "diagnose", &Config::diagnose,
       "after every Nth epoch look at the weights over 128 fixed training images: residuals, gradients of MSE and QMSE, "
       "sharpness, dead units (diagnosis_... in metrics.jsonl); 0: never",
       {.low = 0, .high = 1000000, .only_with = with_squared_error()}},
      {training, kTrain, "on_nan", choice<&Config::on_nan>(),
       "stop, or continue, when the loss is not finite"},

      {random, kTrain | kTrace, "seed", &Config::seed,
       "seed of everything random"},
      {random, kTrain | kTrace, "seed_init", &Config::seed_init,
       "seed of the initial weights; otherwise --seed", {.only_with = kRandomStart}},
      {random, kTrain | kTrace, "seed_data", &Config::seed_data,
       "seed of the order of the images; otherwise --seed"},
      {random, kTrain | kTrace, "seed_v", &Config::seed_v,
       "seed of QMSE's v; otherwise --seed", {.only_with = of_loss("seed_v")}},

      {machine, kAll, "device", &Config::device,
       "auto takes a GPU where there is one (of several the one of this process's rank, else that with most free memory), and says so",
       {.free_on_resume = true, .placeholder = "auto|cpu|cuda[:N]"}},
      {machine, kAll, "threads", &Config::threads,
       "CPU threads; 0: as many as this process has processors, by its affinity and its container's quota. Results do "
       "not depend on it", {.low = 0, .high = 4096, .free_on_resume = true}},
      {machine, kAll, "math", choice<&Config::math>(),
       "cuda: f32 arithmetic of matrix products and convolutions"},
      {machine, kAll, "kernels", choice<&Config::kernels>(),
       "cuda: auto: our own kernels for the blocks and layers that have some, in fp32; library: cuDNN's and cuBLASLt's alone",
       {.only_with = kNoCpu}},

      {machine, kAll, "workspace_mib", &Config::workspace_mib,
       "cuda: MiB of scratch that one convolution or matrix product may take", {.low = 0, .high = 1 << 20, .only_with = kNoCpu}},
      {machine, kTrain, "no_graph", &Config::no_graph,
       "cuda: queue each step piece by piece instead of replaying CUDA graphs; the results are the same (for "
       "debugging)", {.only_with = kNoCpu, .free_on_resume = true}},

      {run, kTrain, "out", &Config::out,
       "run directory; made where it does not exist (required)",
       {.free_on_resume = true, .recorded = false, .placeholder = "DIR"}},
      {run, kTrain, "resume", &Config::resume,
       "go on with the run in --out, from its checkpoint if there is one; options not given are as "
       "recorded there, and the images have to be those it was trained on, wherever they lie now",
       {.free_on_resume = true, .recorded = false}},
      {run, kTrain, "resume_or_start", &Config::resume_or_start,
       "--resume where --out holds a run, and otherwise start one (for scripts)",
       {.free_on_resume = true, .recorded = false}},
      {run, kTrain, "checkpoint_every", &Config::checkpoint_every,
       "save a checkpoint every N steps too; 0: after each epoch only",
       {.low = 0, .high = kMaxInt, .free_on_resume = true}},
      {run, kTrain, "snapshot_every", &Config::snapshot_every,
       "keep the weights of every Nth epoch in snapshots/; 0: none", {.low = 0, .high = 1000000}},
      {run, kTrain, "log_steps", &Config::log_steps,
       "write every Nth step's loss to steps.jsonl; 0: none", {.low = 0, .high = kMaxInt}},
      {run, kTrain, "note", &Config::note,
       "a line about the run, for its environment.json and qmse list", {.free_on_resume = true, .recorded = false}},
      // clang-format on
  });
  return fields;
}

std::string number_text(double value) {
  if (value == std::trunc(value) && std::abs(value) < 1e15)
    return std::to_string(static_cast<std::int64_t>(value));
  return shortest_text(value);
}

// "at least 1", "in [0, 1)"
std::string range_text(const ConfigField& field) {
  const bool bounded_below = std::isfinite(field.rule.low);
  const bool bounded_above = std::isfinite(field.rule.high) && field.rule.high < kMaxInt;
  if (bounded_below && bounded_above) {
    return std::string(" in ") + (field.rule.low_open ? "(" : "[") + number_text(field.rule.low) + ", " +
           number_text(field.rule.high) + (field.rule.high_open ? ")" : "]");
  }
  if (bounded_below) return (field.rule.low_open ? " above " : " of at least ") + number_text(field.rule.low);
  return "";
}

std::string expectation(const ConfigField& field) {
  if (!field.rule.choices.empty()) {
    return "one of " + join(names_of(field.rule.choices), ", ");
  }
  return std::visit(
      [&](auto member) -> std::string {
        using T = TypeOf<decltype(member)>;
        if constexpr (std::is_same_v<T, bool>) return "true or false";
        if constexpr (std::is_same_v<T, std::int64_t>) return "a whole number" + range_text(field);
        if constexpr (std::is_same_v<T, double> || std::is_same_v<T, std::optional<double>>)
          return "a finite number" + range_text(field);
        if constexpr (std::is_same_v<T, std::string>) return "a text without zero bytes";
        if constexpr (std::is_same_v<T, std::optional<std::uint64_t>>)
          return "a whole number from 0 to 2^64 - 1";
        const std::string items = "whole numbers" + range_text(field);
        if (field.rule.min_items == field.rule.max_items)
          return "a list of " + std::to_string(field.rule.min_items) + " " + items;
        return "a list of at most " + std::to_string(field.rule.max_items) + " " + items;
      },
      field.member);
}

bool in_range(const ConfigField& field, double value) {
  return std::isfinite(value) && (field.rule.low_open ? value > field.rule.low : value >= field.rule.low) &&
         (field.rule.high_open ? value < field.rule.high : value <= field.rule.high);
}

bool is_int64(const Json& value) {
  return value.is_number_integer() &&
         (!value.is_number_unsigned() || value.get<std::uint64_t>() <= std::uint64_t{INT64_MAX});
}

// Type and range of one value; lists ask for each item.
template <class T>
bool fits(const ConfigField& field, const Json& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value.is_boolean();
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return is_int64(value) && in_range(field, static_cast<double>(value.get<std::int64_t>()));
  } else if constexpr (std::is_same_v<T, double> || std::is_same_v<T, std::optional<double>>) {
    return value.is_number() && in_range(field, value.get<double>());
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!value.is_string()) return false;
    const auto& text = value.get_ref<const std::string&>();
    if (unescape_name(text).find('\0') != std::string::npos) return false;  // in no path
    const auto& choices = field.rule.choices;
    return choices.empty() || std::any_of(choices.begin(), choices.end(),
                                          [&](const NamedChoice& choice) { return choice.name == text; });
  } else if constexpr (std::is_same_v<T, std::optional<std::uint64_t>>) {
    return value.is_number_unsigned() || (is_int64(value) && value.get<std::int64_t>() >= 0);
  } else {
    return value.is_array() && value.size() >= field.rule.min_items && value.size() <= field.rule.max_items &&
           std::all_of(value.begin(), value.end(),
                       [&](const Json& item) { return fits<std::int64_t>(field, item); });
  }
}

// The whole of `text` as a number, or null.
template <class T>
Json json_number(std::string_view text) {
  const auto number = number_from<T>(text);
  return number ? Json(*number) : Json();
}

}  // namespace

std::string_view heading(ConfigGroup group) {
  switch (group) {
    case data:
      return "Data";
    case model:
      return "Model";
    case loss:
      return "Loss";
    case optimizer:
      return "Optimizer";
    case schedule:
      return "Learning-rate schedule";
    case training:
      return "Training";
    case random:
      return "Random numbers";
    case machine:
      return "Machine";
    case run:
      return "Run directory";
  }
  return "";
}

std::span<const ConfigField> config_fields() { return table(); }

bool is_tuned(const ConfigField& field) {
  return field.group == ConfigGroup::optimizer || field.group == ConfigGroup::schedule ||
         field.name == "batch_size";
}

const ConfigField* find_field(std::string_view name) { return find_named(table(), name); }

std::string ConfigField::option() const { return option_name(name); }

std::string_view ConfigField::placeholder() const {
  static constexpr std::array<std::string_view, 8> kByType = {"",        "N", "X", "TEXT",
                                                              "N,N,...", "N", "X", "TEXT"};
  return rule.placeholder.empty() ? kByType[member.index()] : rule.placeholder;
}

bool ConfigCondition::holds(const Json& value) const {
  const std::string text = value.is_string()   ? value.get<std::string>()
                           : value.is_number() ? number_text(value.get<double>())
                                               : value.dump();
  const bool is_one = std::any_of(values.begin(), values.end(), [&](auto known) {
    return text == known || (!known.empty() && text.starts_with(std::string(known) + ":"));
  });
  return is_one != except;
}

std::string ConfigCondition::text() const {
  const std::string option = find_field(setting)->option();
  if (except) return (values.front() == "0" ? "runs with " : "any other ") + option;
  return values.front().empty() ? "runs without " + option : option + " " + join(values, " or ");
}

bool ConfigField::applies(const TrainConfig& config) const {
  return !rule.only_with || rule.only_with->holds(get(config, *find_field(rule.only_with->setting)));
}

std::string ConfigField::default_text() const {
  if (name == "lr") {
    const double usual = find_optimizer(Config{}.optimizer)->usual_rate;
    std::string text = number_text(usual);
    for (const OptimizerKind& kind : optimizers()) {
      if (kind.usual_rate != usual)
        text += ", of " + std::string(kind.name) + " " + number_text(kind.usual_rate);
    }
    return text;
  }
  const Json value = get(Config{}, *this);
  if (value.is_null() || value.is_boolean()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return number_text(value.get<double>());
  if (!value.is_array()) return value.dump();
  return join(value, ",", json_line);
}

std::string_view ConfigField::label(std::string_view choice) const {
  const NamedChoice* found = find_named(rule.choices, choice);
  return found != nullptr ? found->label : "";
}

void check_value(const ConfigField& field, const Json& value, const std::string& label) {
  const bool good =
      std::visit([&](auto member) { return fits<TypeOf<decltype(member)>>(field, value); }, field.member);
  if (good) return;
  throw ConfigError(label + " must be " + expectation(field) + ", not " +
                    (value.is_string() ? in_quotes(value.get<std::string>()) : value.dump()));
}

Json value_from_text(const ConfigField& field, std::string_view text) {
  Json value = std::visit(
      [&](auto member) -> Json {
        using T = TypeOf<decltype(member)>;
        if constexpr (std::is_same_v<T, bool>) {
          return text == "true" ? Json(true) : text == "false" ? Json(false) : Json();
        } else if constexpr (std::is_same_v<T, std::string>) {
          return escape_name(text);
        } else if constexpr (std::is_same_v<T, std::optional<std::uint64_t>>) {
          return json_number<std::uint64_t>(text);
        } else if constexpr (std::is_same_v<T, std::optional<double>>) {
          return json_number<double>(text);
        } else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
          Json list = Json::array();
          if (text == "none") return list;
          for (const std::string& part : split(text, ',')) {
            list.push_back(json_number<std::int64_t>(part));
            if (list.back().is_null()) return Json();
          }
          return list.empty() ? Json() : list;
        } else {
          return json_number<T>(text);
        }
      },
      field.member);
  if (value.is_null()) {
    throw ConfigError(field.option() + " must be " + expectation(field) + ", not " + in_quotes(text));
  }
  // JSON has no infinities: say what was typed.
  if (value.is_number_float() && !in_range(field, value.get<double>())) {
    throw ConfigError(field.option() + " must be " + expectation(field) + ", not " + std::string(text));
  }
  check_value(field, value, field.option());
  return value;
}

Json get(const TrainConfig& config, const ConfigField& field) {
  return std::visit(
      [&](auto member) -> Json {
        using T = TypeOf<decltype(member)>;
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(member)>, ChoiceMember>) {
          return member.get(config);
        } else if constexpr (requires { (config.*member).has_value(); }) {
          return config.*member ? Json(*(config.*member)) : Json();
        } else if constexpr (std::is_same_v<T, std::string>) {
          return escape_name(config.*member);
        } else {
          return config.*member;
        }
      },
      field.member);
}

void set(TrainConfig& config, const ConfigField& field, const Json& value) {
  std::visit(
      [&](auto member) {
        using T = TypeOf<decltype(member)>;
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(member)>, ChoiceMember>) {
          const auto& text = value.template get_ref<const std::string&>();
          if (!member.set(config, text))
            throw ConfigError(std::string(field.name) + " must be " + expectation(field) + ", not " +
                              in_quotes(text));
        } else if constexpr (requires {
                               typename T::value_type;
                               (config.*member).has_value();
                             }) {
          config.*member = value.template get<typename T::value_type>();
        } else if constexpr (std::is_same_v<T, std::string>) {
          config.*member = unescape_name(value.template get_ref<const std::string&>());
        } else {
          config.*member = value.template get<T>();
        }
      },
      field.member);
}

}  // namespace qmse
