#include "experiment/run/diagnosis.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <string_view>

#include "algebra/lanczos.h"
#include "algebra/norm.h"
#include "base/error.h"
#include "experiment/run/setup.h"
#include "random/shuffle.h"

namespace qmse {
namespace {

// How far the weights are moved for a product with the Hessian: so far that roundings of f32 stay small, and
// no farther, since the Hessian changes on the way.
constexpr double kReach = 3e-3;
// Of no epoch: there are fewer.
constexpr std::uint32_t kNoEpoch = UINT32_MAX;

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

// v for every image, as inspect has it.
QmseOptions options_of(const TrainConfig& config) {
  QmseOptions options;
  options.distribution = config.loss_options.qmse.distribution;
  options.seed = config.seed_v.value_or(config.seed.value_or(0));
  return options;
}

}  // namespace

Diagnoser::Diagnoser(const TrainConfig& config, Context& context, const Sequential& model,
                     const ResidentData<float>& data)
    : context_(&context),
      batch_size_(config.batch_size),
      seed_(*config.seed_data),
      qmse_(options_of(config)),
      trained_(make_loss(config)),
      store_(context, DType::f32, model.parameters()),
      pass_(context, [&](Tape& tape, Value input) { return model.record(tape, store_, input); }, data, qmse_,
            std::min(kImages, data.samples), {.keep_loss_details = true}),
      order_(context.memory(), static_cast<std::size_t>(pass_.batch()) * sizeof(std::uint32_t),
             "diagnosed images"),
      numbers_(context.memory(), sizeof(Numbers), "numbers of the diagnosis") {
  std::vector<std::uint32_t> order(static_cast<std::size_t>(data.samples));
  shuffled_order(seed_, kNoEpoch, data.samples, order.data());
  host_to_device(context, order_.data(), order.data(), order_.bytes());
  find_units();
}

void Diagnoser::find_units() {
  constexpr std::string_view kEnding = ".weight";
  std::size_t hidden = 0;
  for (std::size_t i = 0; i < store_.size(); ++i) {
    const ParameterSpec& spec = store_.spec(i);
    if (!spec.name.ends_with(kEnding)) continue;
    hidden = units_.size();  // those of the last layer are the outputs
    const std::string layer = spec.name.substr(0, spec.name.size() - kEnding.size());
    const std::int64_t bias = store_.offset(store_.index_of(layer + ".bias"));
    const std::int64_t units = spec.shape[0], count = spec.shape.count() / units;
    for (std::int64_t unit = 0; unit < units; ++unit)
      units_.push_back({store_.offset(i) + unit * count, count, bias + unit});
  }
  units_.resize(hidden);
}

void Diagnoser::set_numbers(const Numbers& numbers) {
  host_to_device(*context_, numbers_.data(), &numbers, sizeof(numbers));
}

void Diagnoser::forward(std::span<const float> weights) {
  host_to_device(*context_, store_.weights(), weights.data(), weights.size_bytes());
  pass_.forward(order_.as<std::uint32_t>(), &numbers_.as<Numbers>()->first);
}

std::vector<float> Diagnoser::read(const void* device, std::int64_t count) const {
  std::vector<float> values(static_cast<std::size_t>(count));
  device_to_host(*context_, values.data(), device, values.size() * sizeof(float));
  return values;
}

std::vector<float> Diagnoser::gradient(const Loss& loss) {
  pass_.backward(loss, nullptr);
  return read(store_.gradients(), store_.flat_size());
}

std::vector<float> Diagnoser::gradient_of_draw(std::int64_t steps, std::uint32_t draw) {
  set_numbers({.first = 0, .step = static_cast<std::uint64_t>(steps), .redraw = draw});
  const Numbers* numbers = numbers_.as<Numbers>();
  pass_.backward(qmse_, &numbers->step, &numbers->redraw);
  return read(store_.gradients(), store_.flat_size());
}

void Diagnoser::note_moving(const std::vector<float>& gradient) {
  const auto is_zero = [](float value) { return value == 0; };
  for (std::size_t i = 0; i < units_.size(); ++i) {
    const auto weights = gradient.begin() + units_[i].weights;
    if (!std::all_of(weights, weights + units_[i].count, is_zero) ||
        !is_zero(gradient[static_cast<std::size_t>(units_[i].bias)]))
      moving_[i] = 1;
  }
}

Diagnosis Diagnoser::run(const ParameterStore& weights, std::int64_t steps) {
  const auto began = std::chrono::steady_clock::now();
  Diagnosis found;
  moving_.assign(units_.size(), 0);
  const std::vector<float> here = read(weights.weights(), weights.flat_size());
  set_numbers({});
  forward(here);
  const std::vector<float> mse = gradient(mse_), drift = gradient(expected_);
  note_moving(mse);
  note_moving(drift);

  const std::int64_t images = pass_.batch();
  std::vector<float> residual_sq = read(pass_.residual_sq(), images);
  if (all_finite(residual_sq)) {
    std::sort(residual_sq.begin(), residual_sq.end());
    const auto at_share = [&](double share) {
      const auto place = static_cast<std::size_t>(std::ceil(share * static_cast<double>(images))) - 1;
      return static_cast<double>(residual_sq[place]);
    };
    double sum = 0;
    for (const float square : residual_sq) sum += static_cast<double>(square);
    found.residual_norm = std::sqrt(sum / static_cast<double>(images));
    found.residual_sq_q10 = at_share(0.1);
    found.residual_sq_q50 = at_share(0.5);
    found.residual_sq_q90 = at_share(0.9);
    found.residual_sq_max = at_share(1);
  }
  const double drift_sq = dot(drift, drift);
  found.mse_gradient = std::sqrt(dot(mse, mse));
  found.qmse_gradient = std::sqrt(drift_sq);
  found.cosine = dot(mse, drift) / (found.mse_gradient * found.qmse_gradient);

  // The noise of v is independent from image to image, so that its square in a batch of another size is that of
  // these images times the ratio of the sizes.
  double noise = 0;
  std::int64_t negative = 0;
  const std::int64_t outputs = pass_.tape().shape(pass_.output())[1];
  for (std::uint32_t draw = 0; draw < kDraws; ++draw) {
    std::vector<float> drawn = gradient_of_draw(steps, draw);
    note_moving(drawn);
    for (std::size_t i = 0; i < drawn.size(); ++i) drawn[i] -= drift[i];
    noise += dot(drawn, drawn) / kDraws;
    std::vector<std::vector<float>> of;  // r, v
    for (const LossDetail& detail : pass_.details()) of.push_back(read(detail.data, images * outputs));
    for (std::int64_t n = 0; n < images; ++n) {
      double a = 0;
      for (std::int64_t i = n * outputs; i < (n + 1) * outputs; ++i) {
        const auto at = static_cast<std::size_t>(i);
        a += static_cast<double>(of[0][at]) *
             (static_cast<double>(of[0][at]) + static_cast<double>(of[1][at]));
      }
      negative += a < 0 ? 1 : 0;
    }
  }
  noise *= static_cast<double>(images) / static_cast<double>(batch_size_);
  found.noise_to_drift = std::sqrt(noise / drift_sq);
  if (std::isfinite(found.residual_norm))
    found.negative_share = static_cast<double>(negative) / static_cast<double>(kDraws * images);
  found.dead_units = std::count(moving_.begin(), moving_.end(), 0);
  if (std::isfinite(found.qmse_gradient)) found.sharpness = sharpness(here);
  found.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return found;
}

double Diagnoser::sharpness(const std::vector<float>& weights) {
  std::vector<float> there(weights.size());
  const auto product = [&](std::span<const double> in, std::span<double> out) {
    std::fill(out.begin(), out.end(), 0.0);
    const double reach = kReach / norm(in);
    for (const double side : {1.0, -1.0}) {
      for (std::size_t i = 0; i < there.size(); ++i)
        there[i] = static_cast<float>(static_cast<double>(weights[i]) + side * reach * in[i]);
      forward(there);
      const std::vector<float> gradient = this->gradient(*trained_);
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] += side * static_cast<double>(gradient[i]) / (2 * reach);
    }
  };
  try {
    return spectral_nodes(product, store_.flat_size(), kLanczosSteps, seed_, 0).nodes.back();
  } catch (const NumericError&) {  // beside these weights something is not finite
    return Diagnosis::kNone;
  }
}

}  // namespace qmse
