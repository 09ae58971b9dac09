#include "analysis/mlp/mlp.h"

#include <algorithm>
#include <string>
#include <utility>

#include "analysis/mlp/double4.h"
#include "base/error.h"

namespace qmse {
namespace {

constexpr std::int64_t kChunk = kMlpChunk;

std::int64_t rounded_up(std::int64_t count) { return (count + 3) / 4 * 4; }

template <class Function>
void for_each_lane(std::int64_t units, std::int64_t lanes, const Function& function) {
  for (std::int64_t i = 0; i < units; ++i) {
    for (std::int64_t n = 0; n < lanes; n += kSimdLanes<double>) function(i, n);
  }
}

}  // namespace

bool is_piecewise_linear(HiddenActivation activation) {
  return activation != HiddenActivation::tanh && activation != HiddenActivation::sigmoid;
}

std::vector<std::int64_t> layer_widths(std::int64_t inputs, std::vector<std::int64_t> hidden,
                                       std::int64_t outputs) {
  hidden.insert(hidden.begin(), inputs);
  hidden.push_back(outputs);
  return hidden;
}

std::int64_t MlpShape::hidden_units() const {
  std::int64_t units = 0;
  for (std::int64_t layer = 1; layer < layers(); ++layer) units += widths[static_cast<std::size_t>(layer)];
  return units;
}

std::int64_t MlpShape::weight_offset(std::int64_t layer) const {
  std::int64_t offset = 0;
  for (std::int64_t l = 1; l < layer; ++l) {
    const std::int64_t in = widths[static_cast<std::size_t>(l - 1)],
                       out = widths[static_cast<std::size_t>(l)];
    offset += in * out + (biases ? out : 0);
  }
  return offset;
}

std::int64_t MlpShape::bias_offset(std::int64_t layer) const {
  return weight_offset(layer) +
         widths[static_cast<std::size_t>(layer - 1)] * widths[static_cast<std::size_t>(layer)];
}

std::int64_t MlpShape::parameters() const { return weight_offset(layers() + 1); }

Mlp::Mlp(MlpShape shape, MlpObjective objective, const Samples& samples)
    : shape_(std::move(shape)), objective_(std::move(objective)), samples_(&samples) {
  if (shape_.layers() < 1 ||
      std::any_of(shape_.widths.begin(), shape_.widths.end(), [](auto w) { return w < 1; }))
    throw ShapeError("a network needs inputs, outputs and layers of at least one unit");
  if (shape_.inputs() != samples.inputs || shape_.outputs() != samples.outputs) {
    throw ShapeError("a network of " + std::to_string(shape_.inputs()) + " inputs and " +
                     std::to_string(shape_.outputs()) + " outputs does not fit samples of " +
                     std::to_string(samples.inputs) + " and " + std::to_string(samples.outputs));
  }
  if (!objective_.slope_factors.empty() &&
      objective_.slope_factors.size() != static_cast<std::size_t>(shape_.hidden_units() * samples.stride))
    throw ShapeError("slope factors need one number for each hidden unit and sample");
  room_ = std::min(kChunk, samples.stride);
  layers_.resize(static_cast<std::size_t>(shape_.layers() + 1));
  for (std::int64_t l = 1; l <= shape_.layers(); ++l) {
    Layer& layer = layers_[static_cast<std::size_t>(l)];
    for (Rows Layer::*of : {&Layer::pre, &Layer::value, &Layer::slope, &Layer::back, &Layer::delta,
                            &Layer::bend, &Layer::pre_dot, &Layer::value_dot, &Layer::delta_dot})
      (layer.*of).resize(static_cast<std::size_t>(width(l) * room_));
  }
  batch_x_.resize(static_cast<std::size_t>(samples.inputs * room_));
  batch_y_.resize(static_cast<std::size_t>(samples.outputs * room_));
  if (!objective_.slope_factors.empty())
    batch_factors_.resize(static_cast<std::size_t>(shape_.hidden_units() * room_));
  sample_losses_.resize(static_cast<std::size_t>(room_));
}

void Mlp::check(std::span<const double> w) const {
  if (w.size() != parameters()) {
    throw ShapeError("a network with " + std::to_string(parameters()) + " parameters was given " +
                     std::to_string(w.size()));
  }
}

WeightView Mlp::weights(std::span<const double> w, std::int64_t layer, bool transposed) const {
  const double* at = w.data() + shape_.weight_offset(layer);
  return transposed ? WeightView{at, 1, width(layer - 1)} : WeightView{at, width(layer - 1), 1};
}

const double* Mlp::bias(std::span<const double> w, std::int64_t layer) const {
  return shape_.biases ? w.data() + shape_.bias_offset(layer) : nullptr;
}

MutableSampleRows Mlp::rows(std::int64_t layer, Rows Layer::*of) {
  return {(layers_[static_cast<std::size_t>(layer)].*of).data(), room_};
}

SampleRows Mlp::values(const Chunk& chunk, std::int64_t layer) {
  return layer == 0 ? chunk.x : SampleRows(rows(layer, &Layer::value));
}

std::int64_t Mlp::count(const MlpBatch& batch) const {
  return batch.samples.empty() ? samples_->count : static_cast<std::int64_t>(batch.samples.size());
}

Mlp::Chunk Mlp::chunk_at(const MlpBatch& batch, std::int64_t begin) {
  const std::int64_t number = std::min(room_, count(batch) - begin), stride = samples_->stride;
  Chunk chunk{.begin = begin, .count = number, .padded = rounded_up(number), .x = {}, .y = {}, .factors = {}};
  if (batch.samples.empty()) {
    chunk.x = {samples_->x.data() + begin, stride};
    chunk.y = {samples_->y.data() + begin, stride};
    if (!objective_.slope_factors.empty()) chunk.factors = {objective_.slope_factors.data() + begin, stride};
    return chunk;
  }
  const auto gather = [&](std::int64_t rows, const double* from, Rows& to) {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t n = 0; n < chunk.padded; ++n) {
        const std::int32_t sample = n < number ? batch.samples[static_cast<std::size_t>(begin + n)] : 0;
        to[static_cast<std::size_t>(row * room_ + n)] = n < number ? from[row * stride + sample] : 0.0;
      }
    }
    return SampleRows{to.data(), room_};
  };
  chunk.x = gather(samples_->inputs, samples_->x.data(), batch_x_);
  chunk.y = gather(samples_->outputs, samples_->y.data(), batch_y_);
  if (!objective_.slope_factors.empty())
    chunk.factors = gather(shape_.hidden_units(), objective_.slope_factors.data(), batch_factors_);
  return chunk;
}

namespace {

// value = factor * a(u), and its first and second derivative, at the units of a layer.
struct LayerActivation {
  std::int64_t units, lanes;
  double leak;
  SampleRows factors, pre;
  MutableSampleRows value, slope, bend;

  template <HiddenActivation kActivation>
  void at() const {
    for_each_lane(units, lanes, [&](std::int64_t i, std::int64_t n) {
      ActivationPoint<Double4> point =
          activation_at<kActivation>(simd_load(pre.at + i * pre.stride + n), leak);
      if (factors.at != nullptr) {
        const Double4 factor = simd_load(factors.at + i * factors.stride + n);
        point = {factor * point.value, factor * point.slope, factor * point.bend};
      }
      simd_store(value.at + i * value.stride + n, point.value);
      simd_store(slope.at + i * slope.stride + n, point.slope);
      if (bend.at != nullptr) simd_store(bend.at + i * bend.stride + n, point.bend);
    });
  }
};

// Four samples, the first of them n.
struct FourSamples {
  SampleRows f, y;
  MutableSampleRows delta;  // null where it is not wanted
  std::span<const float> directions;
  std::int64_t n, c, place, count;  // place: of the first sample in its batch; count: samples that there are

  Double4 output(std::int64_t o) const { return simd_load(f.at + o * f.stride + n); }
  Double4 target(std::int64_t o) const { return simd_load(y.at + o * y.stride + n); }
  Double4 minus_direction(std::int64_t o) const {
    Double4 v{};
    for (std::int64_t lane = 0; lane < std::min<std::int64_t>(4, count); ++lane)
      v[lane] = -static_cast<double>(directions[static_cast<std::size_t>((place + lane) * c + o)]);
    return v;
  }
  void set_delta(std::int64_t o, Double4 value) const {
    if (delta.at != nullptr) simd_store(delta.at + o * delta.stride + n, value);
  }
};

}  // namespace

void Mlp::forward(std::span<const double> w, const Chunk& chunk, bool with_bend) {
  std::int64_t unit = 0;
  for (std::int64_t l = 1; l <= shape_.layers(); ++l) {
    const bool last = l == shape_.layers();
    const MutableSampleRows pre = rows(l, last ? &Layer::value : &Layer::pre);
    layer_product(width(l), width(l - 1), chunk.padded, weights(w, l), values(chunk, l - 1), bias(w, l), pre);
    if (last) return;
    SampleRows factors = chunk.factors;
    if (factors.at != nullptr) factors.at += unit * factors.stride;
    unit += width(l);
    const MutableSampleRows bend = with_bend ? rows(l, &Layer::bend) : MutableSampleRows{};
    const LayerActivation activation{
        width(l), chunk.padded, shape_.leak, factors, pre, rows(l, &Layer::value), rows(l, &Layer::slope),
        bend};
    with_hidden_activation(shape_.activation, activation);
  }
}

double Mlp::losses(const Chunk& chunk, const MlpBatch& batch, bool with_delta) {
  const std::int64_t c = shape_.outputs();
  const MutableSampleRows f = rows(shape_.layers(), &Layer::value),
                          delta = rows(shape_.layers(), &Layer::delta);
  for (std::int64_t n = 0; n < chunk.padded; n += kSimdLanes<double>) {
    const FourSamples four{f,
                           {chunk.y.at, chunk.y.stride},
                           with_delta ? delta : MutableSampleRows{},
                           batch.directions,
                           n,
                           c,
                           chunk.begin + n,
                           chunk.count - n};
    simd_store(sample_losses_.data() + n, mlp_sample_loss<Double4>(objective_.loss, c, four));
  }
  for (std::int64_t n = chunk.count; n < chunk.padded; ++n) {  // padding counts for nothing
    sample_losses_[static_cast<std::size_t>(n)] = 0;
    for (std::int64_t o = 0; with_delta && o < c; ++o) delta.at[o * delta.stride + n] = 0;
  }
  return simd_sum(sample_losses_.data(), chunk.padded);
}

void Mlp::backward(std::span<const double> w, const Chunk& chunk, bool with_back) {
  for (std::int64_t l = shape_.layers() - 1; l >= 1; --l) {
    const MutableSampleRows back = rows(l, &Layer::back), delta = rows(l, &Layer::delta);
    const SampleRows slope = rows(l, &Layer::slope), above = rows(l + 1, &Layer::delta);
    const WeightView columns = weights(w, l + 1, true);
    scaled_layer_product(width(l), width(l + 1), chunk.padded, columns, above, slope, delta);
    if (with_back) layer_product(width(l), width(l + 1), chunk.padded, columns, above, nullptr, back);
  }
}

void Mlp::add_gradient(const Chunk& chunk, double* gradient) {
  for (std::int64_t l = 1; l <= shape_.layers(); ++l) {
    const MutableSampleRows delta = rows(l, &Layer::delta);
    add_outer_sums(width(l), width(l - 1), chunk.padded, delta, values(chunk, l - 1),
                   gradient + shape_.weight_offset(l));
    if (shape_.biases) add_row_sums(width(l), chunk.padded, delta, gradient + shape_.bias_offset(l));
  }
}

double Mlp::loss(std::span<const double> w, const MlpBatch& batch) {
  check(w);
  double sum = 0, squares = 0;
  for (std::int64_t begin = 0; begin < count(batch); begin += room_) {
    const Chunk chunk = chunk_at(batch, begin);
    forward(w, chunk);
    sum += losses(chunk, batch, false);
  }
  if (objective_.weight_decay != 0) {
    for (const double value : w) squares += value * value;
  }
  return sum / static_cast<double>(count(batch)) + 0.5 * objective_.weight_decay * squares;
}

double Mlp::gradient(std::span<const double> w, std::span<double> gradient, const MlpBatch& batch) {
  check(w);
  check(gradient);
  if (objective_.loss == MlpLoss::qmse &&
      batch.directions.size() != static_cast<std::size_t>(count(batch) * shape_.outputs()))
    throw ShapeError("the loss qmse needs a direction for every sample");
  std::fill(gradient.begin(), gradient.end(), 0.0);
  double sum = 0, squares = 0;
  for (std::int64_t begin = 0; begin < count(batch); begin += room_) {
    const Chunk chunk = chunk_at(batch, begin);
    forward(w, chunk);
    sum += losses(chunk, batch, true);
    backward(w, chunk);
    add_gradient(chunk, gradient.data());
  }
  const auto number = static_cast<double>(count(batch));
  const double decay = objective_.weight_decay;
  for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] /= number;
  if (decay != 0) {
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      gradient[i] += decay * w[i];
      squares += w[i] * w[i];
    }
  }
  return sum / number + 0.5 * decay * squares;
}

}  // namespace qmse
