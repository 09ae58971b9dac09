#include "analysis/inspect/units.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>

namespace qmse {
namespace {

std::optional<Value> find_value(const Tape& tape, const std::string& name) {
  for (int id = 0; id < tape.value_count(); ++id) {
    if (tape.name(Value{id}) == name) return Value{id};
  }
  return std::nullopt;
}

// Of f64 parameters on the CPU.
std::span<const double> weights_of(const ParameterStore& store, std::size_t parameter) {
  return {static_cast<const double*>(store.weights(parameter)),
          static_cast<std::size_t>(store.spec(parameter).shape.count())};
}

// What goes into a unit: its row of weights and its bias.
std::vector<double> incoming(const ParameterStore& store, std::size_t weight, std::size_t bias,
                             std::int64_t units, std::int64_t unit) {
  const std::span<const double> all = weights_of(store, weight);
  const auto size = static_cast<std::ptrdiff_t>(all.size()) / units;
  std::vector<double> row(all.begin() + unit * size, all.begin() + (unit + 1) * size);
  row.push_back(weights_of(store, bias)[static_cast<std::size_t>(unit)]);
  return row;
}

// What comes out of it: its columns of the next layer's weights, [out][units][rest].
std::vector<double> outgoing(const ParameterStore& store, std::size_t next, std::int64_t units,
                             std::int64_t unit) {
  const std::span<const double> all = weights_of(store, next);
  const std::int64_t rows = store.spec(next).shape[0],
                     rest = static_cast<std::int64_t>(all.size()) / rows / units;
  std::vector<double> columns;
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto from = all.begin() + (row * units + unit) * rest;
    columns.insert(columns.end(), from, from + rest);
  }
  return columns;
}

}  // namespace

UnitCounter::UnitCounter(const Tape& tape, const ParameterStore& store, bool relu)
    : tape_(&tape), store_(&store), relu_(relu) {
  const std::string ending = ".weight";
  for (std::size_t i = 0; i < store.size(); ++i) {
    const std::string& name = store.spec(i).name;
    if (!name.ends_with(ending)) continue;
    Layer layer;
    layer.name = name.substr(0, name.size() - ending.size());
    layer.weight = i;
    layer.bias = store.index_of(layer.name + ".bias");
    layer.value = find_value(tape, layer.name).value();
    const Shape& shape = tape.shape(layer.value);
    layer.units = shape[1];
    layer.places = shape.without_batch().count() / layer.units;
    layer.active.assign(static_cast<std::size_t>(layer.units), 0);
    layer.inactive = layer.active;
    layers_.push_back(std::move(layer));
  }
}

void UnitCounter::add(std::int64_t rows) {
  for (std::size_t l = 0; relu_ && l + 1 < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    const double* u = tape_->data_as<double>(layer.value);
    for (std::int64_t n = 0; n < rows; ++n) {
      for (std::size_t unit = 0; unit < layer.active.size(); ++unit) {
        for (std::int64_t place = 0; place < layer.places; ++place) {
          if (*u++ > 0) {
            layer.active[unit] = 1;
          } else {
            layer.inactive[unit] = 1;
          }
        }
      }
    }
  }
}

std::vector<LayerUnits> UnitCounter::counts() const {
  std::vector<LayerUnits> all;
  for (std::size_t l = 0; l + 1 < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    LayerUnits counts{.layer = layer.name, .units = layer.units};
    // Each distinct row, with the outgoing weights of the units that have it.
    std::map<std::vector<double>, std::vector<std::vector<double>>> seen;
    for (std::int64_t unit = 0; unit < layer.units; ++unit) {
      if (relu_) {
        counts.dead += layer.active[static_cast<std::size_t>(unit)] == 0 ? 1 : 0;
        counts.always_on += layer.inactive[static_cast<std::size_t>(unit)] == 0 ? 1 : 0;
      }
      auto& others = seen[incoming(*store_, layer.weight, layer.bias, layer.units, unit)];
      std::vector<double> out = outgoing(*store_, layers_[l + 1].weight, layer.units, unit);
      counts.duplicate += others.empty() ? 0 : 1;
      counts.tied += std::find(others.begin(), others.end(), out) != others.end() ? 1 : 0;
      others.push_back(std::move(out));
    }
    all.push_back(counts);
  }
  return all;
}

namespace {

// Whether each of `size` numbers a row has one sign (above 0 or not) in all rows.
bool has_one_sign(const double* u, std::int64_t rows, std::int64_t size) {
  for (std::int64_t n = 1; n < rows; ++n) {
    for (std::int64_t k = 0; k < size; ++k) {
      if ((u[n * size + k] > 0) != (u[k] > 0)) return false;
    }
  }
  return true;
}

// The first largest place of a window of ReLU's outputs; -1 where nothing is above 0.
std::int64_t largest_place(const double* image, std::int64_t width, std::int64_t window) {
  std::int64_t best = -1;
  double most = 0;
  for (std::int64_t y = 0; y < window; ++y) {
    for (std::int64_t x = 0; x < window; ++x) {
      if (image[y * width + x] > most) {
        most = image[y * width + x];
        best = y * width + x;
      }
    }
  }
  return best;
}

// Whether every window of the max-pool `after` of `before` [N, C, H, W] has one largest place in all rows.
bool has_one_choice(const Tape& tape, Value before, Value after) {
  const Shape &in = tape.shape(before), &out = tape.shape(after);
  const std::int64_t height = in[2], width = in[3], window = in[2] / out[2];
  const double* images = tape.data_as<double>(before);
  for (std::int64_t channel = 0; channel < in[1]; ++channel) {
    for (std::int64_t y = 0; y < out[2]; ++y) {
      for (std::int64_t x = 0; x < out[3]; ++x) {
        const auto choice = [&](std::int64_t n) {
          return largest_place(images + ((n * in[1] + channel) * height + y * window) * width + x * window,
                               width, window);
        };
        const std::int64_t first = choice(0);
        for (std::int64_t n = 1; n < in[0]; ++n) {
          if (choice(n) != first) return false;
        }
      }
    }
  }
  return true;
}

}  // namespace

bool is_affine_on_batch(const Tape& tape) {
  // A ReLU is followed by a max-pool, or stands alone; both are told by their names and shapes.
  for (int id = 1; id < tape.value_count(); ++id) {
    const Value value{id};
    if (tape.is_leaf(value)) continue;
    const std::string& name = tape.name(value);
    if (name.starts_with("pool")) {
      if (const auto relu = find_value(tape, "relu" + name.substr(4)); !has_one_choice(tape, *relu, value))
        return false;
    } else if (name.starts_with("act") || name == "relu_fc1") {
      const Shape& shape = tape.shape(value);
      if (!has_one_sign(tape.data_as<double>(value), shape[0], shape.without_batch().count())) return false;
    }
  }
  return true;
}

}  // namespace qmse
