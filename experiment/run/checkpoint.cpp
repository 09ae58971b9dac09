#include "experiment/run/checkpoint.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse {
namespace {

constexpr const char* kSums = "training.sums";
constexpr const char* kCounts = "training.counts";
constexpr std::int64_t kSumCount = 6;
constexpr std::int64_t kCountCount = 8;

constexpr const char* kChecksum = "qmse.crc32";
constexpr std::int64_t kMostSteps = std::int64_t{1} << 32;  // what the random numbers are made for

class Crc32 {
 public:
  void add(const void* data, std::size_t bytes) {
    value_ = ::crc32_z(value_, static_cast<const Bytef*>(data), bytes);
  }
  // With its length, so that what ends one text cannot begin the next.
  void add(const std::string& text) {
    const std::uint64_t length = text.size();
    add(&length, sizeof(length));
    add(text.data(), text.size());
  }
  std::string text() const {
    std::array<char, 16> digits;
    std::snprintf(digits.data(), digits.size(), "%08lx", value_);
    return digits.data();
  }

 private:
  uLong value_ = ::crc32_z(0, nullptr, 0);
};

// Of everything in a checkpoint but the checksum itself, wherever it stands in the file.
struct Content {
  void add(const std::string& name, DType dtype, const std::vector<std::int64_t>& shape, const void* data) {
    Crc32 crc;
    crc.add(name);
    const auto type = static_cast<std::int64_t>(dtype);
    crc.add(&type, sizeof(type));
    std::uint64_t bytes = size_of(dtype);
    for (const std::int64_t side : shape) bytes *= static_cast<std::uint64_t>(side);
    crc.add(shape.data(), shape.size() * sizeof(std::int64_t));
    crc.add(data, bytes);
    tensors[name] = crc.text();
  }
  std::string checksum(const SafetensorsMetadata& metadata) const {
    Crc32 crc;
    for (const auto& [name, tensor] : tensors) {
      crc.add(name);
      crc.add(tensor);
    }
    for (const auto& [key, value] : metadata) {
      if (key == kChecksum) continue;
      crc.add(key);
      crc.add(value);
    }
    return crc.text();
  }

  std::map<std::string, std::string> tensors;
};

std::string checksum_of(const SafetensorsFile& file) {
  Content content;
  const auto add = [&]<class T>(const std::string& name, const std::vector<T>& values) {
    content.add(name, file.info(name).dtype, file.info(name).shape, values.data());
  };
  for (const std::string& name : file.names()) {
    switch (file.info(name).dtype) {
      case DType::f32:
        add(name, file.read<float>(name));
        break;
      case DType::f64:
        add(name, file.read<double>(name));
        break;
      case DType::i64:
        add(name, file.read<std::int64_t>(name));
        break;
      default:
        throw DataError(in_quotes(file.path()) + ": not a checkpoint: tensor " + in_quotes(name) +
                        " is of a type that none has");
    }
  }
  return content.checksum(file.metadata());
}

[[noreturn]] void damaged(const std::filesystem::path& path, const std::string& what) {
  throw DataError(in_quotes(path) + ": " + what +
                  "; the file is damaged: put back a copy, or start the run again in another --out");
}

void check_sums(const std::vector<double>& sums, const std::filesystem::path& path) {
  const double seconds = sums[4], step_seconds = sums[5];
  if (!(seconds >= 0) || !(step_seconds >= 0) || !std::isfinite(seconds) || !std::isfinite(step_seconds))
    damaged(path, std::string("'") + kSums + "' holds times that cannot be");
}

void check_counts(const TrainingPosition& position, const std::filesystem::path& path) {
  const StepCounter& counter = position.counter;
  const EpochMetrics& metrics = position.metrics;
  const auto most = static_cast<std::uint64_t>(kMostSteps);
  const auto index = static_cast<std::int64_t>(counter.index);
  // Each epoch has a step at least, and each step an image.
  const bool possible = counter.step <= most && counter.index <= counter.step &&
                        position.epoch <= static_cast<std::int64_t>(counter.step - counter.index) &&
                        metrics.steps == index && counter.first >= counter.index &&
                        static_cast<std::int64_t>(counter.first) == metrics.samples &&
                        metrics.correct <= metrics.samples && metrics.first_non_finite_step >= -1 &&
                        metrics.first_non_finite_step < index;
  if (!possible) damaged(path, std::string("'") + kCounts + "' holds numbers that do not fit each other");
}

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
  const std::vector<TensorToWrite> written = tensors.to_write();
  Content content;
  for (const TensorToWrite& tensor : written)
    content.add(tensor.name, tensor.dtype, {tensor.shape.begin(), tensor.shape.end()}, tensor.data);
  metadata[kChecksum] = content.checksum(metadata);
  write_safetensors(path, written, metadata);
}

TrainingPosition read_position(const SafetensorsFile& file) {
  if (!file.contains(kSums) || !file.contains(kCounts)) {
    throw DataError(in_quotes(file.path()) + ": not a checkpoint: it holds no '" + kSums + "' and '" +
                    kCounts + "'");
  }
  if (const auto recorded = file.metadata().find(kChecksum); recorded != file.metadata().end()) {
    if (recorded->second != checksum_of(file)) damaged(file.path(), "its content does not have its checksum");
  }
  std::vector<double> sums(kSumCount);
  std::vector<std::int64_t> counts(kCountCount);
  const std::int64_t sums_shape[] = {kSumCount};
  const std::int64_t counts_shape[] = {kCountCount};
  file.read<double>(kSums, sums_shape, sums);
  file.read<std::int64_t>(kCounts, counts_shape, counts);
  for (std::size_t i = 0; i < 7; ++i) {
    if (counts[i] < 0) damaged(file.path(), std::string("'") + kCounts + "' holds a negative number");
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
  check_sums(sums, file.path());
  check_counts(position, file.path());
  return position;
}

void check_position(const TrainingPosition& position, std::int64_t samples, std::int64_t batch_size,
                    const std::filesystem::path& path) {
  const auto steps = static_cast<std::uint64_t>((samples + batch_size - 1) / batch_size);  // an epoch
  const StepCounter& counter = position.counter;
  const std::uint64_t used =
      std::min(counter.index * static_cast<std::uint64_t>(batch_size), static_cast<std::uint64_t>(samples));
  if (counter.index > steps || counter.first != used ||
      counter.step != static_cast<std::uint64_t>(position.epoch) * steps + counter.index) {
    throw DataError(in_quotes(path) + ": its step " + std::to_string(counter.step) + " does not fit " +
                    std::to_string(steps) +
                    " steps an epoch: the training images have changed since; give --data the former ones");
  }
}

void read_checkpoint(const SafetensorsFile& file, ParameterStore& store, const Optimizer& optimizer) {
  read_weights(file, store);
  for (const Optimizer::State& state : optimizer.state()) read_flat(file, store, state.flat, prefix(state));
}

}  // namespace qmse
