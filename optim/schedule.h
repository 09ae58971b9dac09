// Learning-rate schedules: pure functions of the step, so that resuming a run needs no state of theirs.
#pragma once

#include <cstdint>

#include "base/choice.h"

namespace qmse {

// With k the number of steps done before (0 for the first), T the total number of steps, and base rate lr:
enum class ScheduleKind {
  constant,  // lr
  step,      // lr · gamma^⌊k / step_size⌋
  cosine,  // lr · (f + (1 − f) · ½(1 + cos(π·min(k, T)/T))), f = final_fraction  (Loshchilov & Hutter 2017)
  robbins_monro,  // lr / (1 + k/tau)^power; Robbins & Monro (1951) ask for ½ < power ≤ 1
};
constexpr std::array<Choice<ScheduleKind>, 4> choices(ScheduleKind) {
  return {{{ScheduleKind::constant, "constant"},
           {ScheduleKind::step, "step"},
           {ScheduleKind::cosine, "cosine"},
           {ScheduleKind::robbins_monro, "robbins_monro"}}};
}

// What the numbers of a run's schedule count; ScheduleConfig's are steps.
enum class ScheduleUnit { step, epoch };
constexpr std::array<Choice<ScheduleUnit>, 2> choices(ScheduleUnit) {
  return {{{ScheduleUnit::step, "step"}, {ScheduleUnit::epoch, "epoch"}}};
}

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::constant;
  std::int64_t step_size = 1000;  // step: steps between two reductions, ≥ 1
  double gamma = 0.1;             // step: factor of each reduction, in (0, 1]
  double final_fraction = 0.0;    // cosine: share of lr that is left at the end, in [0, 1]
  double tau = 1000.0;            // robbins_monro: steps until 1 + k/tau has doubled, > 0
  double power = 0.75;            // robbins_monro: exponent, > 0
  std::int64_t warmup = 0;        // any kind: step k < warmup has (k + 1) / warmup of its rate; >= 0
};

// ConfigError names the field of `config` that is out of range. Only the fields of its kind are looked at.
void validate(const ScheduleConfig& config);

// The rate of step `step` (0-based) out of `total_steps`. `base_lr` must be finite and ≥ 0, `step` ≥ 0 and,
// for the cosine, `total_steps` ≥ 1; steps from `total_steps` on keep the cosine's final rate. ConfigError
// otherwise, and wherever validate(config) fails.
double learning_rate(const ScheduleConfig& config, double base_lr, std::int64_t step,
                     std::int64_t total_steps);

}  // namespace qmse
