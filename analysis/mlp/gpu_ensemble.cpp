#include "analysis/mlp/gpu_ensemble.h"

#include <algorithm>
#include <span>
#include <string>

#include "base/error.h"

namespace qmse {
namespace {

EnsembleMember described(const GpuEnsemble::Member& member) {
  const MlpShape& shape = member.shape;
  if (shape.layers() > kMaxEnsembleLayers) {
    throw ShapeError("networks on a GPU have at most " + std::to_string(kMaxEnsembleLayers) +
                     " layers, not " + std::to_string(shape.layers()));
  }
  const DescentRule& rule = member.rule;
  if (rule.adam || rule.order != BatchOrder::replacement || rule.qmse_noise != QmseNoise::none ||
      rule.directions != DirectionDistribution::sphere) {
    throw ShapeError(
        "networks on a GPU have neither Adam nor batches by epochs nor QMSE's noise nor another v than the "
        "sphere's");
  }
  EnsembleMember on{};
  for (std::size_t l = 0; l < shape.widths.size(); ++l)
    on.widths[l] = static_cast<std::int32_t>(shape.widths[l]);
  on.layers = static_cast<std::int32_t>(shape.layers());
  on.biases = shape.biases ? 1 : 0;
  on.activation = shape.activation;
  on.loss = member.objective.loss;
  on.noise = rule.noise;
  on.leak = shape.leak;
  on.weight_decay = member.objective.weight_decay;
  on.momentum = rule.momentum;
  on.noise_scale = rule.noise_scale;
  on.batch = rule.batch;
  on.seed = member.seed;
  on.finite = 1;
  on.weights = on.velocity = on.factors = on.scratch = EnsembleMember::kNone;
  return on;
}

}  // namespace

GpuEnsemble::Layout GpuEnsemble::lay_out(const Samples& samples, const std::vector<Member>& members) {
  if (members.empty()) throw ShapeError("an ensemble has at least one network");
  Layout layout;
  const auto add = [&](std::span<const double> values) {
    const auto at = static_cast<std::int64_t>(layout.numbers.size());
    layout.numbers.insert(layout.numbers.end(), values.begin(), values.end());
    return at;
  };
  const auto add_zeros = [&](std::int64_t count) {
    const auto at = static_cast<std::int64_t>(layout.numbers.size());
    layout.numbers.resize(layout.numbers.size() + static_cast<std::size_t>(count));
    return at;
  };
  add(samples.x);
  add(samples.y);
  const EnsembleSamples sizes{samples.count,  samples.inputs, samples.outputs,
                              samples.stride, nullptr,        nullptr};
  for (const Member& member : members) {
    const Mlp checked(member.shape, member.objective, samples);
    if (member.weights.size() != checked.parameters()) {
      throw ShapeError("a network with " + std::to_string(checked.parameters()) +
                       " parameters cannot start from " + std::to_string(member.weights.size()));
    }
    EnsembleMember on = described(member);
    on.weights = add(member.weights);
    if (on.momentum != 0) on.velocity = add_zeros(member.shape.parameters());
    if (!member.objective.slope_factors.empty()) on.factors = add(member.objective.slope_factors);
    const std::int64_t scratch = ensemble_scratch(on, sizes);
    layout.scratch = std::max(layout.scratch, scratch);
    on.scratch = add_zeros(scratch);
    layout.members.push_back(on);
  }
  return layout;
}

}  // namespace qmse
