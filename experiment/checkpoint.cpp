#include "experiment/checkpoint.h"

#include "engine/in_quotes.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

constexpr const char* kSums = "training.sums";
constexpr const char* kCounts = "training.counts";
constexpr std::int64_t kSumCount = 6;
constexpr std::int64_t kCountCount = 8;

std::string prefix(const Optimizer::State& state) { return "optimizer." + state.name + "."; }

}  // namespace

void write_checkpoint(const std::filesystem::path& path, const ParameterStore& store,
                      const Optimizer& optimizer, const TrainingPosition& position, const ModelCard& card,
                      const TrainConfig& config) {
  HostTensors tensors;
  tensors.add(store, store.weights(), "");
  for (const Optimizer::State& state : optimizer.state()) tensors.add(store, state.flat, prefix(state));
  // As tensors and not as JSON, which has no NaN: training may go on after one (--on-nan continue).
  const EpochMetrics& metrics = position.metrics;
  tensors.add(kSums, {kSumCount},
              std::vector<double>{metrics.loss, metrics.residual_sq, metrics.gradient_norm_sq,
                                  metrics.last_loss, position.seconds, position.step_seconds});
  tensors.add(kCounts, {kCountCount},
              std::vector<std::int64_t>{position.epoch, static_cast<std::int64_t>(position.counter.step),
                                        static_cast<std::int64_t>(position.counter.index),
                                        static_cast<std::int64_t>(position.counter.first), metrics.correct,
                                        metrics.samples, metrics.steps, metrics.first_non_finite_step});
  SafetensorsMetadata metadata = to_metadata(card);
  metadata["qmse.config"] = to_json(config).dump();
  write_safetensors(path, tensors.to_write(), metadata);
}

TrainingPosition read_position(const SafetensorsFile& file) {
  if (!file.contains(kSums) || !file.contains(kCounts)) {
    throw DataError(in_quotes(file.path()) + ": not a checkpoint: it holds no '" + kSums + "' and '" +
                    kCounts + "'");
  }
  std::vector<double> sums(kSumCount);
  std::vector<std::int64_t> counts(kCountCount);
  const std::int64_t sums_shape[] = {kSumCount};
  const std::int64_t counts_shape[] = {kCountCount};
  file.read<double>(kSums, sums_shape, sums);
  file.read<std::int64_t>(kCounts, counts_shape, counts);
  for (std::size_t i = 0; i < 7; ++i) {
    if (counts[i] < 0)
      throw DataError(in_quotes(file.path()) + ": '" + kCounts + "' holds a negative number");
  }
  TrainingPosition position;
  position.metrics.loss = sums[0];
  position.metrics.residual_sq = sums[1];
  position.metrics.gradient_norm_sq = sums[2];
  position.metrics.last_loss = sums[3];
  position.seconds = sums[4];
  position.step_seconds = sums[5];
  position.epoch = counts[0];
  position.counter.step = static_cast<std::uint64_t>(counts[1]);
  position.counter.index = static_cast<std::uint64_t>(counts[2]);
  position.counter.first = static_cast<std::uint64_t>(counts[3]);
  position.metrics.correct = counts[4];
  position.metrics.samples = counts[5];
  position.metrics.steps = counts[6];
  position.metrics.first_non_finite_step = counts[7];
  return position;
}

void read_checkpoint(const SafetensorsFile& file, ParameterStore& store, const Optimizer& optimizer) {
  read_weights(file, store);
  for (const Optimizer::State& state : optimizer.state()) read_flat(file, store, state.flat, prefix(state));
}

}  // namespace qmse
