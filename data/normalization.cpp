#include "data/normalization.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/json.h"
#include "base/parse_choice.h"

namespace qmse {
namespace {

__extension__ typedef unsigned __int128 Wide;  // N² · 255² of a large set does not fit into 64 bits

[[noreturn]] void refuse(std::string_view text, const std::string& cause) {
  throw DataError("the normalisation " + in_quotes(text) + " is not valid: " + cause +
                  R"(; expected {"kind":"standard","mean":[...],"stddev":[...]})");
}

bool fits_f32(double value) { return std::abs(value) <= std::numeric_limits<float>::max(); }

}  // namespace

ChannelStatistics channel_statistics(const ImageDataset& dataset) {
  const std::int64_t inner = dataset.height * dataset.width;
  const auto pixels = static_cast<std::uint64_t>(dataset.count * inner);
  ChannelStatistics statistics;
  for (std::int64_t c = 0; c < dataset.channels; ++c) {
    std::uint64_t sum = 0;
    std::uint64_t sum_of_squares = 0;
    for (std::int64_t n = 0; n < dataset.count; ++n) {
      const std::uint8_t* plane = dataset.images.data() + (n * dataset.channels + c) * inner;
      for (std::int64_t i = 0; i < inner; ++i) {
        const std::uint64_t pixel = plane[i];
        sum += pixel;
        sum_of_squares += pixel * pixel;
      }
    }
    // N² · variance, exact: N Σp² − (Σp)².
    const Wide spread = Wide{pixels} * sum_of_squares - Wide{sum} * sum;
    const double full_scale = 255.0 * static_cast<double>(pixels);
    statistics.mean.push_back(static_cast<double>(sum) / full_scale);
    statistics.stddev.push_back(std::sqrt(static_cast<double>(spread)) / full_scale);
  }
  return statistics;
}

std::vector<double> Normalization::scale() const {
  std::vector<double> result;
  for (const double deviation : stddev) result.push_back(1.0 / (255.0 * deviation));
  return result;
}

std::vector<double> Normalization::shift() const {
  std::vector<double> result;
  for (std::size_t c = 0; c < mean.size(); ++c) result.push_back(-mean[c] / stddev[c]);
  return result;
}

namespace {

// Two passes: the mean first.
Normalization standardise(const std::vector<double>& values, const std::vector<std::string>& names) {
  const std::size_t width = names.size(), rows = values.size() / width;
  Normalization result{NormalizationKind::standard, std::vector<double>(width, 0.0),
                       std::vector<double>(width, 0.0)};
  for (std::size_t i = 0; i < values.size(); ++i) result.mean[i % width] += values[i];
  for (double& mean : result.mean) mean /= static_cast<double>(rows);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double difference = values[i] - result.mean[i % width];
    result.stddev[i % width] += difference * difference;
  }
  for (std::size_t c = 0; c < width; ++c) {
    result.stddev[c] = std::sqrt(result.stddev[c] / static_cast<double>(rows));
    if (!std::isfinite(result.stddev[c]))
      throw DataError(
          "column " + in_quotes(names[c]) +
          " has numbers too large to be standardised in the training rows; scale it or leave it out");
    if (!(result.stddev[c] > 0))
      throw DataError("column " + in_quotes(names[c]) +
                      " has the same value in all training rows, so it cannot be standardised; leave it out");
  }
  return result;
}

}  // namespace

Normalization make_target_normalization(const ImageDataset& training_set) {
  return standardise(training_set.targets, training_set.class_names);
}

Normalization make_normalization(NormalizationKind kind, const ImageDataset& training_set) {
  if (training_set.is_table()) return standardise(training_set.columns, training_set.column_names);
  const auto channels = static_cast<std::size_t>(training_set.channels);
  if (kind == NormalizationKind::unit) {
    return {kind, std::vector<double>(channels, 0.0), std::vector<double>(channels, 1.0)};
  }
  ChannelStatistics statistics = channel_statistics(training_set);
  for (std::size_t c = 0; c < channels; ++c) {
    if (statistics.stddev[c] > 0) continue;
    throw DataError(
        "channel " + std::to_string(c) + " of the training set " + in_quotes(training_set.name) +
        " has the same value everywhere, so it cannot be standardised; use the normalisation 'unit'");
  }
  return {kind, std::move(statistics.mean), std::move(statistics.stddev)};
}

std::string to_json_text(const Normalization& normalization) {
  Json json;
  json["kind"] = name(normalization.kind);
  json["mean"] = normalization.mean;
  json["stddev"] = normalization.stddev;
  return json.dump();
}

Normalization parse_normalization(std::string_view json_text) {
  Normalization result;
  try {
    const Json json = parse_json(json_text, "it");
    if (json.size() != 3) refuse(json_text, "it needs exactly the fields kind, mean, stddev");
    result.kind = parse_choice<NormalizationKind>(json.at("kind").get<std::string>(), "normalisation");
    json.at("mean").get_to(result.mean);
    json.at("stddev").get_to(result.stddev);
  } catch (const Json::exception&) {
    refuse(json_text, "it is no JSON object with a text and two lists of numbers");
  } catch (const Error& error) {
    refuse(json_text, error.what());
  }
  if (result.mean.empty() || result.mean.size() != result.stddev.size()) {
    refuse(json_text, "mean and stddev must have one number per channel");
  }
  for (std::size_t c = 0; c < result.mean.size(); ++c) {
    const bool usable =
        std::isfinite(result.mean[c]) && std::isfinite(result.stddev[c]) && result.stddev[c] > 0;
    // Images are normalised in f32, where what a tiny deviation leads to may be infinite.
    if (!usable || !fits_f32(result.scale()[c]) || !fits_f32(result.shift()[c]))
      refuse(json_text, "a mean or deviation is out of range");
    if (result.kind == NormalizationKind::unit && (result.mean[c] != 0 || result.stddev[c] != 1)) {
      refuse(json_text, "kind 'unit' has mean 0 and deviation 1");
    }
  }
  return result;
}

}  // namespace qmse
