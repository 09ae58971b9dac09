#include "analysis/landscape/saved_points.h"

#include <algorithm>

#include "analysis/landscape/experiment.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "engine/safetensors.h"

namespace qmse {
namespace {

constexpr std::size_t kNamesShown = 5;

// [rows, N] into rows of `stride`.
void place(const SafetensorsFile& file, const std::string& name, std::int64_t rows, const Samples& samples,
           std::vector<double>& to) {
  const std::vector<double> values = file.read<double>(name);
  if (values.size() != static_cast<std::size_t>(rows * samples.count))
    throw DataError(in_quotes(file.path()) + ": " + name + " has another size than the data");
  to.assign(static_cast<std::size_t>(rows * samples.stride), 0.0);
  for (std::int64_t row = 0; row < rows; ++row)
    std::copy_n(values.begin() + row * samples.count, samples.count, to.begin() + row * samples.stride);
}

}  // namespace

LoadedPoint load_point(const std::filesystem::path& path, const std::string& point) {
  const SafetensorsFile file(std::filesystem::is_directory(path) ? path / "points.safetensors" : path);
  const std::string where = in_quotes(file.path());
  std::vector<std::string> names;
  for (const std::string& name : file.names()) {
    if (file.metadata().contains("network:" + name)) names.push_back(name);
  }
  if (names.empty() || !file.contains("x") || !file.contains("y"))
    throw DataError(where + ": holds no points of an experiment");
  LoadedPoint loaded{.name = point.empty() ? names.front() : point};
  if (std::find(names.begin(), names.end(), loaded.name) == names.end()) {
    std::string all;
    for (std::size_t i = 0; i < std::min(names.size(), kNamesShown); ++i)
      all += (i == 0 ? "" : ", ") + names[i];
    throw ConfigError(
        where + " has no point " + in_quotes(point) + ": it has " + all +
        (names.size() > kNamesShown ? " and " + std::to_string(names.size() - kNamesShown) + " others" : ""));
  }
  const std::string source = where + ", " + loaded.name;
  DescribedNetwork network =
      parse_network(parse_json(file.metadata().at("network:" + loaded.name), source), source);
  const auto matrix = [&](const std::string& name) {
    const std::vector<std::int64_t>& shape = file.info(name).shape;
    if (shape.size() != 2) throw DataError(where + ": " + name + " is no matrix");
    return shape;
  };
  const std::vector<std::int64_t> x = matrix("x"), y = matrix("y");
  loaded.samples = make_samples(x[1], x[0], y[0]);
  place(file, "x", x[0], loaded.samples, loaded.samples.x);
  place(file, "y", y[0], loaded.samples, loaded.samples.y);
  loaded.shape = std::move(network.shape);
  loaded.objective = std::move(network.objective);
  if (network.slope_factors) {
    place(file, "slope_factors", matrix("slope_factors")[0], loaded.samples, loaded.objective.slope_factors);
    const auto needed = static_cast<std::size_t>(loaded.shape.hidden_units() * loaded.samples.stride);
    if (loaded.objective.slope_factors.size() < needed)
      throw DataError(source + ": has fewer slope factors than hidden units");
    loaded.objective.slope_factors.resize(needed);
  }
  loaded.weights = file.read<double>(loaded.name);
  if (loaded.weights.size() != static_cast<std::size_t>(loaded.shape.parameters()))
    throw DataError(source + ": has another number of parameters than its network");
  return loaded;
}

}  // namespace qmse
