// How pixels become inputs: x = (pixel/255 − mean[c]) / stddev[c], with one mean and deviation per channel.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/choice.h"
#include "data/image_dataset.h"

namespace qmse {

enum class NormalizationKind {
  standard,  // mean and standard deviation of the training set
  unit,      // mean 0, deviation 1: x = pixel/255, in [0, 1]
};
constexpr std::array<Choice<NormalizationKind>, 2> choices(NormalizationKind) {
  return {{{NormalizationKind::standard, "standard"}, {NormalizationKind::unit, "unit"}}};
}

// Of pixel/255, per channel [C]; the deviation divides by N·H·W. Sums are taken in integers, so the result
// does not depend on any order of summation.
struct ChannelStatistics {
  std::vector<double> mean;
  std::vector<double> stddev;
};
ChannelStatistics channel_statistics(const ImageDataset& dataset);

struct Normalization {
  NormalizationKind kind = NormalizationKind::unit;
  std::vector<double> mean;    // [C]
  std::vector<double> stddev;  // [C], > 0

  // The same as one multiplication and addition: x = pixel · scale()[c] + shift()[c].
  std::vector<double> scale() const;
  std::vector<double> shift() const;
};

// The normalisation that training on `training_set` uses (what is left of it after a limit). DataError for
// kind `standard` where a channel has one value only, which no scaling can standardise.
Normalization make_normalization(NormalizationKind kind, const ImageDataset& training_set);

// Of a table, whose numbers are not divided by 255: x = (number − mean) / stddev for each of its columns,
// which make_normalization() makes of it, and for each of its targets. DataError where one has one value only.
Normalization make_target_normalization(const ImageDataset& training_set);

// The form in which weights files keep it: {"kind":"standard","mean":[...],"stddev":[...]}, with numbers that
// read back as the same doubles.
std::string to_json_text(const Normalization& normalization);
// Inverse of to_json_text(). DataError for anything else.
Normalization parse_normalization(std::string_view json_text);

}  // namespace qmse
