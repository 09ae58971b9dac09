#include "experiment/run/setup.h"

#include <optional>

#include "base/error.h"
#include "device/device.h"
#include "device/devices.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/cuda_math.h"
#include "experiment/run/process_environment.h"
#include "losses/losses.h"
#include "optim/optimizers.h"

namespace qmse {

bool takes_cuda(const TrainConfig& config) {
  const Device device = parse_device(config.device);
  return device.kind == Device::Kind::cuda ||
         (device.kind == Device::Kind::automatic && !cuda_devices().empty());
}

CudaOptions cuda_options(const TrainConfig& config) {
  const Device device = parse_device(config.device);
  const int index = choose_cuda_device(device.index < 0 ? std::nullopt : std::optional<int>(device.index),
                                       local_rank(process_environment()));
  check_cuda_math(config.math, process_environment());
  CudaOptions options;
  options.device = index;
  options.math = config.math;
  options.kernels = config.kernels;
  options.workspace_limit = static_cast<std::size_t>(config.workspace_mib) << 20;
  return options;
}

std::unique_ptr<Context> make_context(const TrainConfig& config) {
  if (!takes_cuda(config)) {
    if (config.math == MathMode::tf32)
      throw ConfigError("--math tf32 needs a GPU; the CPU calculates in fp32");
    return std::make_unique<Context>(std::make_unique<CpuContext>(static_cast<int>(config.threads)));
  }
  return std::make_unique<Context>(std::make_unique<CudaContext>(cuda_options(config)));
}

std::string device_option(Context& context) {
  return context.is_cuda() ? "cuda:" + std::to_string(context.cuda()->options().device) : "cpu";
}

std::unique_ptr<Loss> make_loss(const TrainConfig& config) {
  LossOptions options = config.loss_options;
  options.qmse.seed = config.seed_v.value_or(config.seed.value_or(0));
  return make_loss(config.loss, options);
}

namespace {

template <class Rule>
std::unique_ptr<Optimizer> make(const TrainConfig& config, ParameterStore& store) {
  typename Rule::Hyper hyper;
  Rule::options(hyper, [&](std::string_view setting, auto& number) {
    get(config, *find_field(setting)).get_to(number);
  });
  return std::make_unique<RuleOptimizer<Rule>>(store, hyper);
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& config, ParameterStore& store) {
#define QMSE_MAKE(Rule) \
  if (config.optimizer == Rule::kName) return make<Rule>(config, store);
  QMSE_OPTIMIZER_RULES(QMSE_MAKE)
#undef QMSE_MAKE
  throw ConfigError("unknown optimizer '" + config.optimizer + "'");
}

std::int64_t schedule_unit_steps(const TrainConfig& config, std::int64_t steps_per_epoch) {
  return config.schedule_unit == ScheduleUnit::epoch ? steps_per_epoch : 1;
}

ScheduleConfig schedule(const TrainConfig& config, std::int64_t unit) {
  ScheduleConfig schedule;
  schedule.kind = config.schedule;
  schedule.step_size = config.schedule_step_size * unit;
  schedule.gamma = config.schedule_gamma;
  schedule.final_fraction = config.schedule_final_fraction;
  schedule.tau = config.schedule_tau * static_cast<double>(unit);
  schedule.power = config.schedule_power;
  schedule.warmup = config.warmup;
  return schedule;
}

}  // namespace qmse
