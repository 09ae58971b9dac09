#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <sstream>
#include <string_view>

#include "base/error.h"

namespace qmse {
namespace {

template <class Value>
void require(bool holds, std::string_view field, Value value, std::string_view range) {
  if (holds) return;
  std::ostringstream message;
  message << field << " is " << value << "; it must be " << range;
  throw ConfigError(message.str());
}

}  // namespace

// Written so that NaN fails every comparison.
void validate(const ScheduleConfig& config) {
  require(config.warmup >= 0, "warmup", config.warmup, "at least 0");
  switch (config.kind) {
    case ScheduleKind::constant:
      break;
    case ScheduleKind::step:
      require(config.step_size >= 1, "step_size of the step schedule", config.step_size, "at least 1");
      require(config.gamma > 0 && config.gamma <= 1, "gamma of the step schedule", config.gamma, "in (0, 1]");
      break;
    case ScheduleKind::cosine:
      require(config.final_fraction >= 0 && config.final_fraction <= 1,
              "final_fraction of the cosine schedule", config.final_fraction, "in [0, 1]");
      break;
    case ScheduleKind::robbins_monro:
      require(config.tau > 0 && std::isfinite(config.tau), "tau of the robbins_monro schedule", config.tau,
              "finite and above 0");
      require(config.power > 0 && std::isfinite(config.power), "power of the robbins_monro schedule",
              config.power, "finite and above 0");
      break;
  }
}

double learning_rate(const ScheduleConfig& config, double base_lr, std::int64_t step,
                     std::int64_t total_steps) {
  validate(config);
  require(base_lr >= 0 && std::isfinite(base_lr), "learning rate", base_lr, "finite and at least 0");
  require(step >= 0, "step", step, "at least 0");
  if (step < config.warmup) base_lr *= static_cast<double>(step + 1) / static_cast<double>(config.warmup);
  switch (config.kind) {
    case ScheduleKind::constant:
      return base_lr;
    case ScheduleKind::step:
      return base_lr * std::pow(config.gamma, static_cast<double>(step / config.step_size));
    case ScheduleKind::cosine: {
      require(total_steps >= 1, "total number of steps of the cosine schedule", total_steps, "at least 1");
      const double done = static_cast<double>(std::min(step, total_steps)) / static_cast<double>(total_steps);
      const double wave = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
      return base_lr * (config.final_fraction + (1.0 - config.final_fraction) * wave);
    }
    case ScheduleKind::robbins_monro:
      return base_lr / std::pow(1.0 + static_cast<double>(step) / config.tau, config.power);
  }
  return base_lr;
}

}  // namespace qmse
