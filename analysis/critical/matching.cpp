#include "analysis/critical/matching.h"

#include <cmath>
#include <limits>

#include "base/error.h"

namespace qmse {
namespace {

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

// Calls visit(index of a parameter, its place within the unit) for all that belong to unit i.
template <class Visit>
void for_unit(const UnitLayer& layer, std::int64_t i, const Visit& visit) {
  std::int64_t place = 0;
  for (std::int64_t k = 0; k < layer.inputs; ++k) visit(at(layer.weights + i * layer.inputs + k), place++);
  if (layer.biases >= 0) visit(at(layer.biases + i), place++);
  for (std::int64_t row = 0; row < layer.rows; ++row) {
    for (std::int64_t k = 0; k < layer.block; ++k)
      visit(at(layer.next + (row * layer.units + i) * layer.block + k), place++);
  }
}

std::int64_t unit_size(const UnitLayer& layer) {
  return layer.inputs + (layer.biases >= 0 ? 1 : 0) + layer.rows * layer.block;
}

// A row for each unit.
std::vector<double> units_of(const UnitLayer& layer, std::span<const double> w) {
  const std::int64_t size = unit_size(layer);
  std::vector<double> units(at(layer.units * size));
  for (std::int64_t i = 0; i < layer.units; ++i)
    for_unit(layer, i,
             [&](std::size_t index, std::int64_t place) { units[at(i * size + place)] = w[index]; });
  return units;
}

}  // namespace

std::vector<UnitLayer> unit_layers(const MlpShape& shape) {
  std::vector<UnitLayer> layers;
  const auto width = [&](std::int64_t layer) { return shape.widths[at(layer)]; };
  for (std::int64_t l = 1; l < shape.layers(); ++l) {
    layers.push_back({.units = width(l),
                      .inputs = width(l - 1),
                      .weights = shape.weight_offset(l),
                      .biases = shape.biases ? shape.bias_offset(l) : -1,
                      .next = shape.weight_offset(l + 1),
                      .rows = width(l + 1),
                      .block = 1});
  }
  return layers;
}

std::vector<UnitLayer> unit_layers(const std::vector<ParameterSpec>& parameters) {
  if (parameters.empty() || parameters.size() % 2 != 0)
    throw ShapeError("units are matched in models whose layers all have weights and biases");
  std::vector<UnitLayer> layers;
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < parameters.size(); i += 2) {
    const Shape &weights = parameters[i].shape, &biases = parameters[i + 1].shape;
    const std::int64_t units = weights[0];
    if (parameters[i].is_bias || !parameters[i + 1].is_bias || biases.count() != units)
      throw ShapeError("units are matched in models whose layers all have weights and biases");
    if (!layers.empty()) {
      UnitLayer& before = layers.back();
      before.next = offset;
      before.rows = units;
      before.block = weights.count() / units / before.units;
      if (before.block * before.units * units != weights.count())
        throw ShapeError("the layer of " + parameters[i].name + " does not take what comes before it");
    }
    if (i + 2 < parameters.size()) {
      layers.push_back({.units = units,
                        .inputs = weights.count() / units,
                        .weights = offset,
                        .biases = offset + weights.count()});
    }
    offset += weights.count() + units;
  }
  return layers;
}

std::vector<std::int64_t> best_assignment(std::span<const double> gains, std::int64_t n) {
  if (n < 1 || gains.size() != at(n * n)) throw ShapeError("an assignment takes n x n gains, n >= 1");
  // Rows are added one by one; each takes the shortest augmenting path by reduced costs. Row and column 0 are
  // a beginning without a place of their own.
  constexpr double kNever = std::numeric_limits<double>::infinity();
  std::vector<double> row_potential(at(n + 1)), column_potential(at(n + 1));
  std::vector<std::int64_t> row_of(at(n + 1)), before(at(n + 1));
  for (std::int64_t row = 1; row <= n; ++row) {
    row_of[0] = row;
    std::int64_t column = 0;
    std::vector<double> distance(at(n + 1), kNever);
    std::vector<char> done(at(n + 1));
    do {
      done[at(column)] = 1;
      const std::int64_t from = row_of[at(column)];
      double least = kNever;
      std::int64_t nearest = 0;
      for (std::int64_t j = 1; j <= n; ++j) {
        if (done[at(j)] != 0) continue;
        const double reduced =
            -gains[at((from - 1) * n + j - 1)] - row_potential[at(from)] - column_potential[at(j)];
        if (reduced < distance[at(j)]) {
          distance[at(j)] = reduced;
          before[at(j)] = column;
        }
        if (distance[at(j)] < least) {
          least = distance[at(j)];
          nearest = j;
        }
      }
      for (std::int64_t j = 0; j <= n; ++j) {
        if (done[at(j)] != 0) {
          row_potential[at(row_of[at(j)])] += least;
          column_potential[at(j)] -= least;
        } else {
          distance[at(j)] -= least;
        }
      }
      column = nearest;
    } while (row_of[at(column)] != 0);
    for (; column != 0; column = before[at(column)]) row_of[at(column)] = row_of[at(before[at(column)])];
  }
  std::vector<std::int64_t> column_of(at(n));
  for (std::int64_t j = 1; j <= n; ++j) column_of[at(row_of[at(j)] - 1)] = j - 1;
  return column_of;
}

MatchedUnits match_units(const std::vector<UnitLayer>& layers, std::span<const double> with,
                         std::span<const double> other, bool signs) {
  if (with.size() != other.size()) throw ShapeError("units are matched between networks of the same size");
  constexpr std::int64_t kMaxSweeps = 100;
  MatchedUnits result{.weights = {other.begin(), other.end()}};
  for (bool changed = true; changed && result.sweeps < kMaxSweeps; ++result.sweeps) {
    changed = false;
    for (const UnitLayer& layer : layers) {
      const std::int64_t size = unit_size(layer);
      const std::vector<double> ours = units_of(layer, with), theirs = units_of(layer, result.weights);
      std::vector<double> products(at(layer.units * layer.units)), gains(products.size());
      double most = 0;
      for (std::int64_t i = 0; i < layer.units; ++i) {
        for (std::int64_t j = 0; j < layer.units; ++j) {
          double product = 0;
          for (std::int64_t k = 0; k < size; ++k)
            product += ours[at(i * size + k)] * theirs[at(j * size + k)];
          products[at(i * layer.units + j)] = product;
          gains[at(i * layer.units + j)] = signs ? std::abs(product) : product;
          most = std::max(most, std::abs(product));
        }
      }
      const std::vector<std::int64_t> from = best_assignment(gains, layer.units);
      // As they are, unless something better than rounding is to be had: else equal units would change for ever.
      double gain = 0;
      for (std::int64_t i = 0; i < layer.units; ++i)
        gain += gains[at(i * layer.units + from[at(i)])] - products[at(i * layer.units + i)];
      if (!(gain > 1e-12 * most * static_cast<double>(layer.units))) continue;
      changed = true;
      for (std::int64_t i = 0; i < layer.units; ++i) {
        const std::int64_t j = from[at(i)];
        const double sign = signs && products[at(i * layer.units + j)] < 0 ? -1 : 1;
        result.moved += j != i;
        result.flipped += sign < 0;
        for_unit(layer, i, [&](std::size_t index, std::int64_t place) {
          result.weights[index] = sign * theirs[at(j * size + place)];
        });
      }
    }
  }
  return result;
}

}  // namespace qmse
