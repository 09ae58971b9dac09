// The data of landscape experiments: small, in f64, and recorded.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "analysis/landscape/settings.h"
#include "analysis/mlp/samples.h"

namespace qmse {

// Where samples come from. A name with a part to fill in has its form as its label.
enum class ProblemSource { gaussian, circles, exclusive_or, csv, components, half_size };
constexpr std::array<Choice<ProblemSource>, 6> choices(ProblemSource) {
  return {{{ProblemSource::gaussian, "gaussian"},
           {ProblemSource::circles, "circles"},
           {ProblemSource::exclusive_or, "xor"},
           {ProblemSource::csv, "csv:", "csv:FILE"},
           {ProblemSource::components, "-pca", "NAME-pca"},
           {ProblemSource::half_size, "-half", "NAME-half"}}};
}

struct Problem {
  ProblemSource source = ProblemSource::gaussian;
  Samples samples;
  Json description;  // for records: source, sizes, SHA-256 of inputs and targets
  std::string text;  // the same as words: "mnist-pca, 100 samples of 10 inputs, labels random"
};

// Four points, two outputs.
Samples exclusive_or();

// The rows of numbers with commas between them, all equally long and finite; a first line of names is passed
// over. DataError, beginning with `source`, where one is not so.
std::vector<std::vector<double>> number_rows(std::string_view content, const std::string& source);

// data_set:
//   NAME-pca   a data set of images known by name, for example mnist-pca: `samples` of its training images,
//   drawn by
//              `data_seed`, on the first `inputs` principal components of these, each scaled to variance 1
//              unless `whiten` is no. The sign of a component is that of its largest entry.
//   NAME-half  the images themselves at half their resolution, by means of 2 x 2 pixels, from 0 to 1
//   gaussian   standard normal inputs, the class the largest of ten random linear functions
//   circles    the thesis' 100 training points; labels given
//   xor        four points, two outputs; labels given
//   csv:FILE   a row a sample, the last column the target, a first row of names allowed; labels given
// labels: what the targets are
//   random        -1 or +1, equally many (+-1), without a pattern
//   parity        -1 for even classes, +1 for odd ones
//   class         one-hot
//   classes:K     one-hot of the first K classes, samples from these alone
//   pair:A:B      0 for class A, 1 for class B, samples from these alone
//   projection:K  K random linear functions of the centred one-hot class
//   given         as the data say
std::vector<LandscapeOption> problem_options(const std::string& data_set, std::int64_t samples,
                                             std::int64_t inputs, const std::string& labels,
                                             YesNo whiten = YesNo::yes);

// `data`: where data sets are looked for. ConfigError where sizes do not fit the data or all targets are
// equal, IoError, DataError.
Problem make_problem(const Json& settings, const std::string& data);

}  // namespace qmse
