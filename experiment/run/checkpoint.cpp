#include "experiment/run/checkpoint.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse {
namespace {

constexpr const char* kPrefix = "training.";  // of the tensors that hold the position, one number each

// The numbers of a position, by name.
template <class Position, class Visit>
void visit_numbers(Position& at, const Visit& visit) {
  visit("epoch", at.epoch);
  visit("step", at.counter.step);
  visit("step_of_epoch", at.counter.index);
  visit("samples_of_epoch", at.counter.first);
  SampleSums::members([&](const char* name, auto member) { visit(name, at.metrics.*member); });
  visit("samples", at.metrics.samples);
  visit("steps", at.metrics.steps);
  visit("first_non_finite_step", at.metrics.first_non_finite_step);
  visit("gradient_norm_sq", at.metrics.gradient_norm_sq);
  visit("last_loss", at.metrics.last_loss);
  visit("seconds", at.seconds);
  visit("step_seconds", at.step_seconds);
  visit("null_steps", at.metrics.null_steps);
  visit("redraws", at.metrics.redraws);
}

// What a number is in the file. As tensors and not as JSON, which has no NaN: training may go on after one
// (--on-nan continue).
template <class Number>
using Stored = std::conditional_t<std::is_floating_point_v<Number>, double, std::int64_t>;

constexpr const char* kChecksum = "qmse.crc32";
constexpr std::int64_t kMaxSteps = std::int64_t{1} << 32;  // what the random numbers are made for

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

void check_numbers(const TrainingPosition& position, const std::filesystem::path& path) {
  const StepCounter& counter = position.counter;
  const EpochMetrics& metrics = position.metrics;
  const auto most = static_cast<std::uint64_t>(kMaxSteps);
  const auto index = static_cast<std::int64_t>(counter.index);
  const auto is_time = [](double seconds) { return seconds >= 0 && std::isfinite(seconds); };
  // Each epoch has a step at least, and each step an image.
  const bool possible =
      position.epoch >= 0 && metrics.correct >= 0 && metrics.samples >= 0 && counter.step <= most &&
      counter.index <= counter.step &&
      position.epoch <= static_cast<std::int64_t>(counter.step - counter.index) && metrics.steps == index &&
      counter.first >= counter.index && static_cast<std::int64_t>(counter.first) == metrics.samples &&
      metrics.correct <= metrics.samples && metrics.null_steps >= 0 && metrics.null_steps <= index &&
      metrics.redraws >= 0 && metrics.first_non_finite_step >= -1 && metrics.first_non_finite_step < index;
  if (!possible) damaged(path, "its place in the training is none that can be");
  if (!is_time(position.seconds) || !is_time(position.step_seconds))
    damaged(path, "it holds times that cannot be");
}

// Whether the version that wrote a file may not have had this number yet: then it is 0.
bool may_be_missing(std::string_view name) {
  bool may = name == "null_steps" || name == "redraws";
  SampleSums::members([&](const char* sum, auto) { may = may || name == sum; });
  return may;
}

template <class T>
T read_number(const SafetensorsFile& file, const std::string& name) {
  const std::int64_t shape[] = {1};
  T number{};
  file.read<T>(name, shape, std::span<T>(&number, 1));
  return number;
}

TrainingPosition read_numbers(const SafetensorsFile& file) {
  TrainingPosition position;
  visit_numbers(position, [&]<class Number>(const char* name, Number& number) {
    const std::string full = std::string(kPrefix) + name;
    if (may_be_missing(name) && !file.contains(full)) return;
    number = static_cast<Number>(read_number<Stored<Number>>(file, full));
  });
  return position;
}

// Format 1 had the numbers in two tensors, in these orders.
TrainingPosition read_packed_numbers(const SafetensorsFile& file) {
  constexpr const char* kCounts[] = {"epoch",   "step",    "step_of_epoch", "samples_of_epoch",
                                     "correct", "samples", "steps",         "first_non_finite_step"};
  constexpr const char* kSums[] = {"loss",      "residual_sq", "gradient_norm_sq",
                                   "last_loss", "seconds",     "step_seconds"};
  std::vector<std::int64_t> counts(std::size(kCounts));
  std::vector<double> sums(std::size(kSums));
  file.read<std::int64_t>("training.counts", std::array{std::int64_t{8}}, counts);
  file.read<double>("training.sums", std::array{std::int64_t{6}}, sums);
  std::map<std::string_view, std::int64_t> count_of;
  std::map<std::string_view, double> sum_of;
  for (std::size_t i = 0; i < counts.size(); ++i) count_of[kCounts[i]] = counts[i];
  for (std::size_t i = 0; i < sums.size(); ++i) sum_of[kSums[i]] = sums[i];
  TrainingPosition position;
  visit_numbers(position, [&]<class Number>(const char* name, Number& number) {
    if (count_of.contains(name)) number = static_cast<Number>(count_of[name]);
    if (sum_of.contains(name)) number = static_cast<Number>(sum_of[name]);
  });
  return position;
}

std::string prefix(const Optimizer::State& state) { return "optimizer." + state.name + "."; }

}  // namespace

void write_checkpoint(const std::filesystem::path& path, const ParameterStore& store,
                      const Optimizer& optimizer, const TrainingPosition& position, const ModelCard& card,
                      const TrainConfig& config) {
  HostTensors tensors;
  tensors.add(store, store.weights(), "");
  for (const Optimizer::State& state : optimizer.state()) tensors.add(store, state.flat, prefix(state));
  visit_numbers(position, [&]<class Number>(const char* name, const Number& number) {
    using T = Stored<Number>;
    tensors.add(std::string(kPrefix) + name, {1}, std::vector<T>{static_cast<T>(number)});
  });
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
  const bool packed = read_format(file) == 1;
  const std::string first = packed ? "training.counts" : "training.epoch";
  if (!file.contains(first))
    throw DataError(in_quotes(file.path()) + ": not a checkpoint: it holds no '" + first + "'");
  if (const auto recorded = file.metadata().find(kChecksum); recorded != file.metadata().end()) {
    if (recorded->second != checksum_of(file)) damaged(file.path(), "its content does not have its checksum");
  }
  const TrainingPosition position = packed ? read_packed_numbers(file) : read_numbers(file);
  check_numbers(position, file.path());
  return position;
}

std::optional<TrainConfig> recorded_config(const SafetensorsFile& file) {
  const auto text = file.metadata().find("qmse.config");
  if (text == file.metadata().end()) return std::nullopt;
  TrainConfig config;
  try {
    apply_layer(config, parse_config(text->second, in_quotes(file.path())));
  } catch (const ConfigError& error) {  // not what the user typed: the file is at fault
    throw DataError(error.what());
  }
  return config;
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
