#include "analysis/landscape/problem.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "algebra/dense.h"
#include "algebra/norm.h"
#include "analysis/circles_train.h"
#include "analysis/mlp/products.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "base/text_file.h"
#include "base/words.h"
#include "data/registry.h"
#include "data/sha256.h"
#include "random/random_stream.h"

namespace qmse {
namespace {

constexpr std::int64_t kMaxSamples = 100000;

// Inputs sample by sample, and the class of each.
struct Classified {
  std::int64_t count = 0, inputs = 0, classes = 0;
  std::vector<double> x;
  std::vector<std::int32_t> labels;
};

// "a, B:FORM or c": what there is of a choice, with the parts to fill in.
template <class Enum>
std::string forms() {
  return alternatives(choices(Enum()),
                      [](const Choice<Enum>& each) { return each.label.empty() ? each.name : each.label; });
}

// The setting data_set: a source, and the data set of images or the file that it names.
struct DataSet {
  ProblemSource source = ProblemSource::gaussian;
  std::string of = {};
};

DataSet parse_data_set(const std::string& text) {
  for (const Choice<ProblemSource>& each : choices(ProblemSource())) {
    const std::size_t length = each.name.size();
    switch (each.value) {
      case ProblemSource::gaussian:
      case ProblemSource::circles:
      case ProblemSource::exclusive_or:
        if (text == each.name) return {each.value};
        break;
      case ProblemSource::csv:
        if (text.starts_with(each.name)) return {each.value, text.substr(length)};
        break;
      case ProblemSource::components:
      case ProblemSource::half_size:
        if (text.ends_with(each.name)) return {each.value, text.substr(0, text.size() - length)};
        break;
    }
  }
  throw ConfigError("--data-set " + in_quotes(text) + " is not known: it is " + forms<ProblemSource>() +
                    ", such as mnist-pca");
}

enum class LabelRule { random, parity, one_hot, classes, pair, projection };
constexpr std::array<Choice<LabelRule>, 6> choices(LabelRule) {
  return {{{LabelRule::random, "random"},
           {LabelRule::parity, "parity"},
           {LabelRule::one_hot, "class"},
           {LabelRule::classes, "classes", "classes:K"},
           {LabelRule::pair, "pair", "pair:A:B"},
           {LabelRule::projection, "projection", "projection:K"}}};
}

// The setting labels, of images and gaussian.
struct Labels {
  LabelRule rule = LabelRule::random;
  // The classes that samples are taken from, in the order of their targets; empty: all.
  std::vector<std::int32_t> classes = {};
  std::int64_t outputs = 1;  // of class: as many as there are classes
};

Labels parse_labels(const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto rule = find_choice<LabelRule>(text.substr(0, colon));
  // Numbers stand behind those that have a form.
  if (!rule || label(*rule).empty() != (colon == std::string::npos))
    throw ConfigError("--labels " + in_quotes(text) + " is not known here: it is " + forms<LabelRule>());
  const auto number = [&](std::string_view digits, std::int64_t least) {
    const auto value = number_from<std::int64_t>(digits);
    if (!value || *value < least) {
      throw ConfigError("--labels " + in_quotes(text) + ": " + std::string(label(*rule)) +
                        " takes whole numbers from " + std::to_string(least));
    }
    return *value;
  };
  Labels labels{.rule = *rule};
  const std::string_view rest = std::string_view(text).substr(std::min(colon, text.size() - 1) + 1);
  switch (*rule) {
    case LabelRule::random:
    case LabelRule::parity:
      break;
    case LabelRule::one_hot:
      labels.outputs = 0;
      break;
    case LabelRule::classes:
      labels.outputs = number(rest, 1);
      for (std::int32_t c = 0; c < labels.outputs; ++c) labels.classes.push_back(c);
      break;
    case LabelRule::projection:
      labels.outputs = number(rest, 1);
      break;
    case LabelRule::pair: {
      const std::size_t between = rest.find(':');
      if (between == std::string_view::npos)
        throw ConfigError("--labels " + in_quotes(text) + ": " + std::string(label(*rule)) +
                          " takes two classes");
      for (const std::string_view each : {rest.substr(0, between), rest.substr(between + 1)})
        labels.classes.push_back(static_cast<std::int32_t>(number(each, 0)));
      if (labels.classes.front() == labels.classes.back())
        throw ConfigError("--labels " + in_quotes(text) + ": takes two different classes");
      break;
    }
  }
  return labels;
}

std::vector<std::int64_t> choose(std::vector<std::int64_t> from, std::int64_t count, std::uint64_t seed) {
  RandomStream random(seed, RandomPurpose::problem);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t other = i + random.below(static_cast<std::int64_t>(from.size()) - i);
    std::swap(from[static_cast<std::size_t>(i)], from[static_cast<std::size_t>(other)]);
  }
  from.resize(static_cast<std::size_t>(count));
  return from;
}

Classified principal_components(const ImageDataset& images, const std::vector<std::int64_t>& chosen,
                                std::int64_t inputs, bool whiten) {
  const auto count = static_cast<std::int64_t>(chosen.size());
  const std::int64_t pixels = images.channels * images.height * images.width;
  if (inputs > std::min(count - 1, pixels)) {
    throw ConfigError("--inputs " + std::to_string(inputs) + " is more than " + std::to_string(count) +
                      " samples of " + std::to_string(pixels) + " pixels have: at most " +
                      std::to_string(std::min(count - 1, pixels)));
  }
  const auto at = [](std::int64_t index) { return static_cast<std::size_t>(index); };
  std::vector<double> x(at(count * pixels));
  for (std::int64_t p = 0; p < pixels; ++p) {
    double mean = 0;
    for (std::int64_t n = 0; n < count; ++n) {
      x[at(n * pixels + p)] = static_cast<double>(images.images[at(chosen[at(n)] * pixels + p)]) / 255;
      mean += x[at(n * pixels + p)];
    }
    mean /= static_cast<double>(count);
    for (std::int64_t n = 0; n < count; ++n) x[at(n * pixels + p)] -= mean;
  }
  // The smaller of X^T X and X X^T.
  const bool by_samples = count < pixels;
  const std::int64_t size = by_samples ? count : pixels, other = by_samples ? pixels : count;
  const std::int64_t row = by_samples ? pixels : 1, column = by_samples ? 1 : pixels;
  std::vector<double> transposed(at(size * other)), moments(at(size * size));
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t k = 0; k < other; ++k) transposed[at(i * other + k)] = x[at(i * row + k * column)];
  }
  add_outer_sums(size, size, other / 4 * 4, {transposed.data(), other}, {transposed.data(), other},
                 moments.data());
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = 0; j < size; ++j) {
      for (std::int64_t k = other / 4 * 4; k < other; ++k)
        moments[at(i * size + j)] += transposed[at(i * other + k)] * transposed[at(j * other + k)];
      moments[at(i * size + j)] /= static_cast<double>(count);
    }
  }
  const SymmetricEigen eigen = symmetric_eigen(moments, size);
  Classified result{.count = count, .inputs = inputs, .classes = images.classes(), .x = {}, .labels = {}};
  result.x.resize(at(count * inputs));
  for (std::int64_t j = 0; j < inputs; ++j) {
    const double variance = eigen.values[at(size - 1 - j)];
    if (!(variance > 1e-10 * eigen.values.back())) {
      throw ConfigError("--inputs " + std::to_string(inputs) +
                        " is more than these samples have directions: at most " + std::to_string(j));
    }
    const double* vector = eigen.vectors.data() + (size - 1 - j) * size;
    std::vector<double> direction(vector, vector + size);
    if (by_samples) {
      direction.assign(at(pixels), 0.0);
      for (std::int64_t n = 0; n < count; ++n) {
        for (std::int64_t p = 0; p < pixels; ++p) direction[at(p)] += vector[n] * x[at(n * pixels + p)];
      }
      const double length = norm(direction);
      for (double& value : direction) value /= length;
    }
    const double largest = *std::max_element(direction.begin(), direction.end(),
                                             [](double a, double b) { return std::abs(a) < std::abs(b); });
    const double scale = (largest < 0 ? -1.0 : 1.0) / (whiten ? std::sqrt(variance) : 1.0);
    for (std::int64_t n = 0; n < count; ++n) {
      double score = 0;
      for (std::int64_t p = 0; p < pixels; ++p) score += direction[at(p)] * x[at(n * pixels + p)];
      result.x[at(n * inputs + j)] = scale * score;
    }
  }
  for (const std::int64_t n : chosen) result.labels.push_back(images.labels[at(n)]);
  return result;
}

// Every image at half its resolution: means of 2 x 2 pixels, from 0 to 1.
Classified half_size(const ImageDataset& images, const std::vector<std::int64_t>& chosen) {
  const std::int64_t height = images.height / 2, width = images.width / 2;
  Classified result{.count = static_cast<std::int64_t>(chosen.size()),
                    .inputs = images.channels * height * width,
                    .classes = images.classes(),
                    .x = {},
                    .labels = {}};
  for (const std::int64_t n : chosen) {
    for (std::int64_t c = 0; c < images.channels; ++c) {
      const std::uint8_t* plane =
          images.images.data() + (n * images.channels + c) * images.height * images.width;
      for (std::int64_t row = 0; row < 2 * height; row += 2) {
        for (std::int64_t column = 0; column < 2 * width; column += 2) {
          const std::uint8_t* at = plane + row * images.width + column;
          result.x.push_back((at[0] + at[1] + at[images.width] + at[images.width + 1]) / 1020.0);
        }
      }
    }
    result.labels.push_back(images.labels[static_cast<std::size_t>(n)]);
  }
  return result;
}

Classified from_images(const DataSet& data_set, const Json& settings, const std::string& data,
                       const std::vector<std::int32_t>& classes) {
  const std::string& name = data_set.of;
  const std::int64_t count = whole(settings, "samples");
  if (dataset_info(name).table)
    throw ConfigError("--data-set: " + in_quotes(name) + " has no images: a table is csv:FILE");
  const ImageDataset images = load_dataset(name, find_data_directory(name, data), Split::train);
  if (!classes.empty() && *std::max_element(classes.begin(), classes.end()) >= images.classes()) {
    throw ConfigError("--labels " + text(settings, "labels") + ": " + name + " has " +
                      std::to_string(images.classes()) + " classes");
  }
  std::vector<std::int64_t> eligible;
  for (std::int64_t n = 0; n < images.count; ++n) {
    if (classes.empty() || std::find(classes.begin(), classes.end(),
                                     images.labels[static_cast<std::size_t>(n)]) != classes.end())
      eligible.push_back(n);
  }
  if (count > static_cast<std::int64_t>(eligible.size())) {
    throw ConfigError("--samples " + std::to_string(count) + " is more than " + name +
                      " has: " + std::to_string(eligible.size()));
  }
  const auto chosen =
      choose(std::move(eligible), count, static_cast<std::uint64_t>(whole(settings, "data_seed")));
  return data_set.source == ProblemSource::components
             ? principal_components(images, chosen, whole(settings, "inputs"), yes(settings, "whiten"))
             : half_size(images, chosen);
}

Classified gaussian(const Json& settings, const Labels& labels) {
  if (labels.rule == LabelRule::pair)
    throw ConfigError("--labels " + in_quotes(text(settings, "labels")) + " is for images");
  const auto seed = static_cast<std::uint64_t>(whole(settings, "data_seed"));
  Classified result{.count = whole(settings, "samples"),
                    .inputs = whole(settings, "inputs"),
                    .classes = labels.classes.empty() ? 10 : static_cast<std::int64_t>(labels.classes.size()),
                    .x = {},
                    .labels = {}};
  RandomStream random(seed, RandomPurpose::problem), teacher(seed, RandomPurpose::problem, 1);
  std::vector<double> functions;
  for (std::int64_t i = 0; i < result.classes * result.inputs; ++i) functions.push_back(teacher.normal());
  for (std::int64_t n = 0; n < result.count; ++n) {
    for (std::int64_t k = 0; k < result.inputs; ++k) result.x.push_back(random.normal());
    double most = -INFINITY;
    std::int32_t label = 0;
    for (std::int64_t c = 0; c < result.classes; ++c) {
      double value = 0;
      for (std::int64_t k = 0; k < result.inputs; ++k) {
        value += functions[static_cast<std::size_t>(c * result.inputs + k)] *
                 result.x[static_cast<std::size_t>(n * result.inputs + k)];
      }
      if (value > most) {
        most = value;
        label = static_cast<std::int32_t>(c);
      }
    }
    result.labels.push_back(label);
  }
  return result;
}

// Targets [count][outputs] for the classes.
std::vector<double> targets(const Classified& data, const Labels& labels, std::uint64_t seed) {
  std::vector<double> y;
  RandomStream random(seed, RandomPurpose::problem, 2);
  switch (labels.rule) {
    case LabelRule::random:
      for (std::int64_t n = 0; n < data.count; ++n) y.push_back(2 * n < data.count ? 1.0 : -1.0);
      for (std::int64_t n = data.count - 1; n > 0; --n)
        std::swap(y[static_cast<std::size_t>(n)], y[static_cast<std::size_t>(random.below(n + 1))]);
      break;
    case LabelRule::parity:
      for (const std::int32_t label : data.labels) y.push_back(label % 2 == 0 ? -1.0 : 1.0);
      break;
    case LabelRule::pair:
      for (const std::int32_t label : data.labels) y.push_back(label == labels.classes.back() ? 1.0 : 0.0);
      break;
    case LabelRule::projection: {
      std::vector<double> share(static_cast<std::size_t>(data.classes)), matrix;
      for (const std::int32_t label : data.labels)
        share[static_cast<std::size_t>(label)] += 1 / static_cast<double>(data.count);
      for (std::int64_t i = 0; i < labels.outputs * data.classes; ++i) matrix.push_back(random.normal());
      for (const std::int32_t label : data.labels) {
        for (std::int64_t o = 0; o < labels.outputs; ++o) {
          double sum = 0;
          for (std::int64_t c = 0; c < data.classes; ++c)
            sum += matrix[static_cast<std::size_t>(o * data.classes + c)] *
                   ((c == label ? 1.0 : 0.0) - share[static_cast<std::size_t>(c)]);
          y.push_back(sum);
        }
      }
      break;
    }
    case LabelRule::one_hot:
    case LabelRule::classes:
      for (const std::int32_t label : data.labels) {
        for (std::int64_t o = 0; o < labels.outputs; ++o) y.push_back(o == label ? 1.0 : 0.0);
      }
      break;
  }
  return y;
}

// A table of numbers: inputs, then the target.
Samples from_table(std::string_view content, const std::string& source) {
  const std::vector<std::vector<double>> rows = number_rows(content, source);
  if (static_cast<std::int64_t>(rows.size()) > kMaxSamples)
    throw DataError(source + ": more than " + std::to_string(kMaxSamples) + " samples");
  if (rows.empty()) throw DataError(source + ": no sample in it");
  const auto inputs = static_cast<std::int64_t>(rows.front().size()) - 1;
  Samples samples = make_samples(static_cast<std::int64_t>(rows.size()), inputs, 1);
  for (std::int64_t n = 0; n < samples.count; ++n) {
    const std::vector<double>& row = rows[static_cast<std::size_t>(n)];
    for (std::int64_t k = 0; k < inputs; ++k) samples.input(n, k) = row[static_cast<std::size_t>(k)];
    samples.target(n, 0) = row.back();
  }
  return samples;
}

}  // namespace

Samples exclusive_or() {
  Samples samples = make_samples(4, 2, 2);
  for (std::int64_t n = 0; n < 4; ++n) {
    samples.input(n, 0) = static_cast<double>(n / 2);
    samples.input(n, 1) = static_cast<double>(n % 2);
    samples.target(n, (n / 2) ^ (n % 2)) = 1;
  }
  return samples;
}

std::vector<std::vector<double>> number_rows(std::string_view content, const std::string& source) {
  std::vector<std::vector<double>> rows;
  std::int64_t number = 0;
  for (std::string line : split(content, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    std::vector<double> row;
    for (const std::string& cell : split(line, ',')) row.push_back(number_from<double>(cell).value_or(NAN));
    const bool numeric =
        std::all_of(row.begin(), row.end(), [](double value) { return std::isfinite(value); });
    if (!numeric && number == 1) continue;  // names
    const std::string where = source + ", line " + std::to_string(number) + ": ";
    if (!numeric) throw DataError(where + "not all of it is numbers with commas between them");
    if (row.size() < 2) throw DataError(where + "a row needs two numbers at least");
    if (!rows.empty() && row.size() != rows.front().size()) {
      throw DataError(where + "has " + std::to_string(row.size()) + " columns, the first row " +
                      std::to_string(rows.front().size()));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<LandscapeOption> problem_options(const std::string& data_set, std::int64_t samples,
                                             std::int64_t inputs, const std::string& labels, YesNo whiten) {
  return {{.name = "data_set",
           .help = forms<ProblemSource>() + ", such as mnist-pca: NAME is a data set of images",
           .usual = data_set},
          {.name = "samples",
           .help = "how many, of images or gaussian",
           .usual = samples,
           .low = 2,
           .high = kMaxSamples},
          {.name = "inputs",
           .help = "how many: principal components of images, or gaussian",
           .usual = inputs,
           .low = 1,
           .high = 3072},
          {.name = "labels",
           .help = "targets: " + forms<LabelRule>() + "; circles, xor, csv: given",
           .usual = labels},
          choice_option("whiten", "scale principal components to variance 1", whiten),
          {.name = "data_seed",
           .help = "which samples and labels are drawn",
           .usual = 0,
           .low = 0,
           .high = 4294967295.0}};
}

Problem make_problem(const Json& settings, const std::string& data) {
  const std::string name = text(settings, "data_set");
  const DataSet data_set = parse_data_set(name);
  Problem problem;
  problem.source = data_set.source;
  const auto given = [&](Samples samples) {
    problem.samples = std::move(samples);
    problem.text = name + ", " + std::to_string(problem.samples.count) + " samples of " +
                   std::to_string(problem.samples.inputs) + " inputs";
  };
  const auto labelled = [&](const auto& classified_by) {
    const std::string text_of_labels = text(settings, "labels");
    Labels labels = parse_labels(text_of_labels);
    const Classified classified = classified_by(labels);
    if (labels.outputs == 0) labels.outputs = classified.classes;
    const std::vector<double> y =
        targets(classified, labels, static_cast<std::uint64_t>(whole(settings, "data_seed")));
    problem.samples = make_samples(classified.count, classified.inputs, labels.outputs);
    for (std::int64_t n = 0; n < classified.count; ++n) {
      for (std::int64_t k = 0; k < classified.inputs; ++k)
        problem.samples.input(n, k) = classified.x[static_cast<std::size_t>(n * classified.inputs + k)];
      for (std::int64_t o = 0; o < labels.outputs; ++o)
        problem.samples.target(n, o) = y[static_cast<std::size_t>(n * labels.outputs + o)];
    }
    problem.text = name + ", " + std::to_string(classified.count) + " samples of " +
                   std::to_string(classified.inputs) + " inputs, labels " + text_of_labels;
  };
  switch (data_set.source) {
    case ProblemSource::exclusive_or:
      given(exclusive_or());
      break;
    case ProblemSource::circles:
      given(from_table(kCirclesTrain, name));
      break;
    case ProblemSource::csv:
      given(from_table(read_text_file(data_set.of), in_quotes(data_set.of)));
      break;
    case ProblemSource::gaussian:
      labelled([&](const Labels& labels) { return gaussian(settings, labels); });
      break;
    case ProblemSource::components:
    case ProblemSource::half_size:
      labelled([&](const Labels& labels) { return from_images(data_set, settings, data, labels.classes); });
      break;
  }
  const Samples& samples = problem.samples;
  bool equal = true;
  for (std::int64_t o = 0; o < samples.outputs; ++o) {
    for (std::int64_t n = 1; n < samples.count; ++n)
      equal = equal && samples.target(n, o) == samples.target(0, o);
  }
  if (equal) throw ConfigError("all targets of " + problem.text + " are equal: there is nothing to learn");
  problem.description = {{"data_set", name},
                         {"samples", samples.count},
                         {"inputs", samples.inputs},
                         {"outputs", samples.outputs},
                         {"inputs_sha256", sha256_of<double>(samples.x)},
                         {"targets_sha256", sha256_of<double>(samples.y)}};
  return problem;
}

}  // namespace qmse
