// From settings to the parts of a training: where text becomes types.
#pragma once

#include <memory>

#include "engine/context.h"
#include "engine/loss.h"
#include "engine/optimizer.h"
#include "engine/parameters.h"
#include "experiment/run/config.h"
#include "optim/schedule.h"

namespace qmse {

// Whether --device means a GPU: it names one, or is "auto" and there is one.
bool takes_cuda(const TrainConfig& config);

// The context for --device, --threads and --math. ConfigError where there is no such device, or no CUDA in
// this build; "auto" takes a GPU as choose_cuda_device() does for this process's local_rank(), and the CPU
// where there is none.
std::unique_ptr<Context> make_context(const TrainConfig& config);
// What such a context on a GPU is made of; ConfigError likewise.
CudaOptions cuda_options(const TrainConfig& config);

// "cpu" or "cuda:N": what --device would have to be to get this context again.
std::string device_option(Context& context);

std::unique_ptr<Loss> make_loss(const TrainConfig& config);  // its seed is seed_v
std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& config, ParameterStore& store);
// `unit`: steps that one of the settings' numbers stands for, see schedule_unit_steps().
ScheduleConfig schedule(const TrainConfig& config, std::int64_t unit);
std::int64_t schedule_unit_steps(const TrainConfig& config, std::int64_t steps_per_epoch);

}  // namespace qmse
