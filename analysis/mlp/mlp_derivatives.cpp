// What is beyond the gradient: curvature by the R-operator, and derivatives sample by sample.
#include <algorithm>
#include <cmath>

#include "analysis/mlp/double4.h"
#include "analysis/mlp/mlp.h"
#include "base/error.h"

namespace qmse {

// delta_dot of the outputs: the loss's Hessian times what the outputs do.
void Mlp::loss_tangent(const Chunk& chunk) {
  const std::int64_t c = shape_.outputs(), last = shape_.layers();
  const MutableSampleRows f = rows(last, &Layer::value), dot = rows(last, &Layer::pre_dot),
                          out = rows(last, &Layer::delta_dot);
  for (std::int64_t n = 0; n < chunk.padded; ++n) {
    const bool padding = n >= chunk.count;
    const auto error = [&](std::int64_t o) {
      return f.at[o * room_ + n] - chunk.y.at[o * chunk.y.stride + n];
    };
    double squares = 0, along = 0;
    for (std::int64_t o = 0; o < c; ++o) {
      squares += error(o) * error(o);
      along += error(o) * dot.at[o * room_ + n];
    }
    for (std::int64_t o = 0; o < c; ++o) {
      const double moved = dot.at[o * room_ + n];
      double& value = out.at[o * room_ + n];
      if (padding) {
        value = 0;
      } else if (objective_.loss == MlpLoss::bce) {
        const double p = logistic(simd_set(f.at[o * room_ + n]))[0];
        value = p * (1 - p) * moved;
      } else if (objective_.loss == MlpLoss::expected_qmse) {
        value = (squares + 1.0 / static_cast<double>(c)) * moved + 2 * error(o) * along;
      } else {
        value = moved;
      }
    }
  }
}

void Mlp::add_tangent(std::span<const double> w, std::span<const double> v, const Chunk& chunk,
                      Curvature curvature, double* product) {
  const bool whole = curvature == Curvature::hessian;
  const auto each = [&](std::int64_t l, const auto& value) {
    for (std::int64_t i = 0; i < width(l); ++i) {
      for (std::int64_t n = 0; n < chunk.padded; n += kSimdLanes<double>) value(i * room_ + n);
    }
  };
  for (std::int64_t l = 1; l <= shape_.layers(); ++l) {
    const MutableSampleRows pre_dot = rows(l, &Layer::pre_dot), value_dot = rows(l, &Layer::value_dot),
                            slope = rows(l, &Layer::slope);
    layer_product(width(l), width(l - 1), chunk.padded, weights(v, l), values(chunk, l - 1), bias(v, l),
                  pre_dot);
    if (l > 1) {
      add_layer_product(width(l), width(l - 1), chunk.padded, weights(w, l), rows(l - 1, &Layer::value_dot),
                        pre_dot);
    }
    if (l == shape_.layers()) break;
    each(l, [&](std::int64_t at) {
      simd_store(value_dot.at + at, simd_load(slope.at + at) * simd_load(pre_dot.at + at));
    });
  }
  loss_tangent(chunk);
  for (std::int64_t l = shape_.layers() - 1; l >= 1; --l) {
    const MutableSampleRows dot = rows(l, &Layer::delta_dot), slope = rows(l, &Layer::slope),
                            back = rows(l, &Layer::back), bend = rows(l, &Layer::bend),
                            pre_dot = rows(l, &Layer::pre_dot);
    layer_product(width(l), width(l + 1), chunk.padded, weights(w, l + 1, true),
                  rows(l + 1, &Layer::delta_dot), nullptr, dot);
    if (whole) {
      add_layer_product(width(l), width(l + 1), chunk.padded, weights(v, l + 1, true),
                        rows(l + 1, &Layer::delta), dot);
    }
    each(l, [&](std::int64_t at) {
      Double4 value = simd_load(dot.at + at) * simd_load(slope.at + at);
      if (whole) value += simd_load(back.at + at) * simd_load(bend.at + at) * simd_load(pre_dot.at + at);
      simd_store(dot.at + at, value);
    });
  }
  for (std::int64_t l = 1; l <= shape_.layers(); ++l) {
    const MutableSampleRows dot = rows(l, &Layer::delta_dot);
    double* to = product + shape_.weight_offset(l);
    add_outer_sums(width(l), width(l - 1), chunk.padded, dot, values(chunk, l - 1), to);
    if (whole && l > 1) {
      add_outer_sums(width(l), width(l - 1), chunk.padded, rows(l, &Layer::delta),
                     rows(l - 1, &Layer::value_dot), to);
    }
    if (shape_.biases) add_row_sums(width(l), chunk.padded, dot, product + shape_.bias_offset(l));
  }
}

void Mlp::curvature_products(std::span<const double> w, std::int64_t count,
                             std::span<const double> directions, std::span<double> products,
                             Curvature curvature) {
  check(w);
  const std::size_t size = parameters(), number = static_cast<std::size_t>(count);
  if (directions.size() != number * size || products.size() != number * size)
    throw ShapeError("curvature products need rows of as many doubles as there are parameters");
  if (objective_.loss == MlpLoss::qmse) throw ConfigError("the loss qmse has no Hessian: take expected_qmse");
  std::fill(products.begin(), products.end(), 0.0);
  for (std::int64_t begin = 0; begin < samples_->count; begin += room_) {
    const Chunk chunk = chunk_at({}, begin);
    forward(w, chunk, true);
    losses(chunk, {}, true);
    backward(w, chunk, true);
    for (std::size_t i = 0; i < number; ++i)
      add_tangent(w, directions.subspan(i * size, size), chunk, curvature, products.data() + i * size);
  }
  for (std::size_t i = 0; i < products.size(); ++i) {
    products[i] =
        products[i] / static_cast<double>(samples_->count) + objective_.weight_decay * directions[i];
  }
}

std::vector<double> Mlp::curvature_matrix(std::span<const double> w, Curvature curvature) {
  const std::size_t size = parameters();
  std::vector<double> unit(size * size), matrix(size * size);
  for (std::size_t i = 0; i < size; ++i) unit[i * size + i] = 1;
  curvature_products(w, static_cast<std::int64_t>(size), unit, matrix, curvature);
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const double mean = 0.5 * (matrix[i * size + j] + matrix[j * size + i]);
      matrix[i * size + j] = matrix[j * size + i] = mean;
    }
  }
  return matrix;
}

// What backward() has left of one sample, as a row of derivatives.
void Mlp::write_row(const Chunk& chunk, std::int64_t lane, double* row) {
  for (std::int64_t l = 1; l <= shape_.layers(); ++l) {
    const MutableSampleRows delta = rows(l, &Layer::delta);
    const SampleRows input = values(chunk, l - 1);
    for (std::int64_t i = 0; i < width(l); ++i) {
      const double d = delta.at[i * room_ + lane];
      for (std::int64_t k = 0; k < width(l - 1); ++k)
        row[shape_.weight_offset(l) + i * width(l - 1) + k] = d * input.at[k * input.stride + lane];
      if (shape_.biases) row[shape_.bias_offset(l) + i] = d;
    }
  }
}

std::vector<double> Mlp::sample_gradients(std::span<const double> w) {
  check(w);
  if (objective_.loss == MlpLoss::qmse)
    throw ConfigError("the loss qmse has no gradient of a sample without v");
  std::vector<double> gradients(static_cast<std::size_t>(samples_->count) * parameters());
  for (std::int64_t begin = 0; begin < samples_->count; begin += room_) {
    const Chunk chunk = chunk_at({}, begin);
    forward(w, chunk);
    losses(chunk, {}, true);
    backward(w, chunk);
    for (std::int64_t n = 0; n < chunk.count; ++n)
      write_row(chunk, n, gradients.data() + static_cast<std::size_t>(begin + n) * parameters());
  }
  return gradients;
}

std::vector<double> Mlp::jacobian(std::span<const double> w) {
  check(w);
  const std::int64_t c = shape_.outputs();
  std::vector<double> jacobian(static_cast<std::size_t>(samples_->count * c) * parameters());
  for (std::int64_t begin = 0; begin < samples_->count; begin += room_) {
    const Chunk chunk = chunk_at({}, begin);
    forward(w, chunk);
    std::vector<double>& delta = layers_.back().delta;
    for (std::int64_t o = 0; o < c; ++o) {
      std::fill(delta.begin(), delta.end(), 0.0);
      std::fill_n(delta.begin() + o * room_, chunk.count, 1.0);
      backward(w, chunk);
      for (std::int64_t n = 0; n < chunk.count; ++n)
        write_row(chunk, n, jacobian.data() + static_cast<std::size_t>((begin + n) * c + o) * parameters());
    }
  }
  return jacobian;
}

std::vector<double> Mlp::outputs(std::span<const double> w) {
  check(w);
  std::vector<double> all(static_cast<std::size_t>(shape_.outputs() * samples_->stride));
  for (std::int64_t begin = 0; begin < samples_->count; begin += room_) {
    const Chunk chunk = chunk_at({}, begin);
    forward(w, chunk);
    const MutableSampleRows f = rows(shape_.layers(), &Layer::value);
    for (std::int64_t o = 0; o < shape_.outputs(); ++o)
      std::copy_n(f.at + o * room_, chunk.count, all.begin() + o * samples_->stride + begin);
  }
  return all;
}

std::vector<double> Mlp::pre_activations(std::span<const double> w) {
  check(w);
  std::vector<double> all(static_cast<std::size_t>(shape_.hidden_units() * samples_->stride));
  for (std::int64_t begin = 0; begin < samples_->count; begin += room_) {
    const Chunk chunk = chunk_at({}, begin);
    forward(w, chunk);
    std::int64_t unit = 0;
    for (std::int64_t l = 1; l < shape_.layers(); ++l) {
      const MutableSampleRows pre = rows(l, &Layer::pre);
      for (std::int64_t i = 0; i < width(l); ++i, ++unit)
        std::copy_n(pre.at + i * room_, chunk.count, all.begin() + unit * samples_->stride + begin);
    }
  }
  return all;
}

double Mlp::residual_sq(std::span<const double> w) {
  const std::vector<double> f = outputs(w);
  double sum = 0;
  for (std::size_t i = 0; i < f.size(); ++i) sum += (f[i] - samples_->y[i]) * (f[i] - samples_->y[i]);
  return sum / static_cast<double>(samples_->count);
}

}  // namespace qmse
