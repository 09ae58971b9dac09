#include "experiment/sweep/sweep_estimate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/stopped.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/context_cache.h"
#include "experiment/run/evaluation.h"
#include "experiment/run/image_cache.h"
#include "experiment/run/run_record.h"
#include "experiment/run/setup.h"
#include "experiment/run/training.h"
#include "experiment/sweep/halving.h"
#include "experiment/sweep/sweep_folder.h"
#include "experiment/sweep/sweep_machine.h"

namespace qmse {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr double kEnoughSeconds = 0.3;  // of steps, and of evaluation
// About, in bytes: config.json, environment.json and outcome.json; the header of a weights file; a line.
constexpr std::uint64_t kRecords = 6000, kHeader = 2048, kEpochLine = 700, kStepLine = 120;

struct Kind {
  double epoch_seconds = 0;
  std::uint64_t weights = 0, checkpoint = 0;  // bytes of the files
  std::int64_t steps = 0;                     // of an epoch
};

// Seconds a sample of an evaluation.
double evaluation_speed(Evaluator<float>& evaluator, std::int64_t samples) {
  const Clock::time_point start = Clock::now();
  std::int64_t seen = samples;
  evaluator.run([&](std::int64_t first) {
    evaluator.outputs();  // waits for the device
    if (seconds_since(start) < kEnoughSeconds) return true;
    seen = std::min(samples, first + kEvaluationBatch);
    return false;
  });
  return seconds_since(start) / static_cast<double>(seen);
}

Kind measured(const TrainConfig& config, ImageCache& cache, ContextCache& contexts,
              const std::function<bool()>& stop) {
  const std::shared_ptr<Context> context = contexts.get(config);
  const std::shared_ptr<const TrainingImages> images = cache.get(config, stop);
  TrainingParts parts(config, *context, *images);
  parts.store.initialize(config.init, *config.seed);
  TrainingLoop<float>& loop = parts.loop;
  Kind kind;
  kind.steps = loop.steps_per_epoch();
  std::vector<std::uint32_t> order(static_cast<std::size_t>(images->train.count));
  std::iota(order.begin(), order.end(), 0U);
  // A rate of 0 keeps the weights, and so the numbers finite.
  const std::vector<double> rates(static_cast<std::size_t>(kind.steps), 0.0);
  loop.begin_epoch(order, rates, 0);
  const Clock::time_point first = Clock::now();
  loop.step();  // also prepares: it counts only where there is no other
  loop.metrics();
  const double first_seconds = seconds_since(first);
  const Clock::time_point start = Clock::now();
  std::int64_t steps = 0;
  for (std::int64_t at_once = 1; !loop.epoch_done() && seconds_since(start) < kEnoughSeconds; at_once *= 2) {
    const std::int64_t before = loop.steps_done();
    loop.step(at_once);
    loop.metrics();  // waits for the device
    steps += loop.steps_done() - before;
  }
  const double step_seconds = steps > 0 ? seconds_since(start) / static_cast<double>(steps) : first_seconds;
  kind.epoch_seconds = step_seconds * static_cast<double>(kind.steps);
  const std::int64_t evaluated = images->test.count + (images->validation ? images->validation->count : 0) +
                                 (config.evaluate_train ? images->train.count : 0);
  kind.epoch_seconds +=
      evaluation_speed(parts.test_evaluator, images->test.count) * static_cast<double>(evaluated);
  const auto flat = static_cast<std::uint64_t>(parts.store.parameter_count()) * sizeof(float);
  kind.weights = flat + kHeader;
  kind.checkpoint = flat * (1 + parts.optimizer->state().size()) + 2 * kHeader;
  return kind;
}

std::int64_t epochs_done(const std::filesystem::path& directory) {
  std::error_code none;
  if (!std::filesystem::exists(directory / "metrics.jsonl", none)) return 0;
  try {
    return static_cast<std::int64_t>(read_run(directory).epochs.size());
  } catch (const Error&) {  // its run will say what is wrong
    return 0;
  }
}

// The settings on which it depends how long an epoch takes.
std::string kind_of(Json settings) {
  for (const ConfigField& field : config_fields()) {
    const std::string name(field.name);
    const bool number = field.group == ConfigGroup::optimizer && name != "optimizer";
    const bool seed = name == "seed" || name.starts_with("seed_");
    if (number || seed || field.group == ConfigGroup::schedule || name == "epochs" || name == "note" ||
        name == "keep_best" || name == "stop_early" || name == "on_nan" || name == "init" ||
        name == "init_from" || name.ends_with("_every") || name == "log_steps")
      settings.erase(name);
  }
  return json_line(settings);
}

}  // namespace

SweepEstimate estimate_sweep(const SweepRequest& request, const std::function<bool()>& stop) {
  const SweepSpec& spec = request.spec;
  const SweepMachine machine(spec, request.jobs);
  SweepEstimate estimate;
  estimate.members = static_cast<std::int64_t>(spec.members.size());
  estimate.jobs = machine.jobs;
  ImageCache cache;
  ContextCache contexts;
  std::map<std::string, Kind> kinds;
  std::optional<HalvingState> halving;  // as it is before it begins: what it will find is not known
  if (spec.halving) halving = HalvingBrackets(spec).judge(std::vector<RungValues>(spec.members.size()));
  double epochs_left = 0;
  for (std::size_t i = 0; i < spec.members.size(); ++i) {
    const SweepMember& member = spec.members[i];
    Json settings = spec.settings(member);
    TrainConfig config;
    apply_layer(config, settings);
    validate(config);
    resolve_defaults(config);
    if (!machine.cuda) config.threads = std::max<std::int64_t>(1, machine.threads / machine.jobs);
    const std::string key = kind_of(to_json(config));
    if (!kinds.contains(key)) {
      if (stop && stop()) throw Stopped("stopped while the sweep was measured");
      kinds[key] = measured(config, cache, contexts, stop);
      contexts.run_ended(false);
    }
    const Kind& kind = kinds[key];
    const auto epochs = static_cast<std::uint64_t>(config.epochs);
    estimate.bytes += kRecords + kind.weights + kEpochLine * epochs;
    if (config.keep_best) estimate.bytes += kind.weights;
    if (config.snapshot_every > 0)
      estimate.bytes += kind.weights * (epochs / static_cast<std::uint64_t>(config.snapshot_every));
    if (config.log_steps > 0)
      estimate.bytes += kStepLine * (epochs * static_cast<std::uint64_t>(kind.steps) /
                                     static_cast<std::uint64_t>(config.log_steps));
    if (request.keep_checkpoints) {
      estimate.bytes += kind.checkpoint;
      estimate.checkpoints += kind.checkpoint;
    }
    const std::filesystem::path directory = request.out / "members" / member.name;
    if (has_finished(directory, config.epochs)) {
      ++estimate.finished;
      continue;
    }
    if (halving && is_eliminated(directory)) continue;
    const double to_do = halving ? halving->members[i].expected : static_cast<double>(config.epochs);
    const double left = std::max(to_do - static_cast<double>(epochs_done(directory)), 0.0);
    epochs_left += left;
    estimate.seconds += kind.epoch_seconds * left;
  }
  estimate.epochs = std::llround(epochs_left);
  estimate.kinds = static_cast<std::int64_t>(kinds.size());
  if (!machine.cuda) estimate.seconds /= static_cast<double>(machine.jobs);
  return estimate;
}

}  // namespace qmse
