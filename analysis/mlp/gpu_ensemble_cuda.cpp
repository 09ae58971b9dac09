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
  EnsembleMember on{};
  for (std::size_t l = 0; l < shape.widths.size(); ++l)
    on.widths[l] = static_cast<std::int32_t>(shape.widths[l]);
  on.layers = static_cast<std::int32_t>(shape.layers());
  on.biases = shape.biases ? 1 : 0;
  on.activation = shape.activation;
  on.loss = member.objective.loss;
  on.noise = member.rule.noise;
  on.leak = shape.leak;
  on.weight_decay = member.objective.weight_decay;
  on.momentum = member.rule.momentum;
  on.noise_scale = member.rule.noise_scale;
  on.batch = member.rule.batch;
  on.seed = member.seed;
  on.finite = 1;
  on.weights = on.velocity = on.factors = on.scratch = EnsembleMember::kNone;
  return on;
}

}  // namespace

GpuEnsemble::GpuEnsemble(CudaContext& gpu, const Samples& samples, const std::vector<Member>& members)
    : gpu_(gpu), count_(static_cast<std::int64_t>(members.size())) {
  if (members.empty()) throw ShapeError("an ensemble has at least one network");
  samples_ = {samples.count, samples.inputs, samples.outputs, samples.stride, nullptr, nullptr};
  std::vector<double> numbers;
  const auto add = [&](std::span<const double> values) {
    const auto at = static_cast<std::int64_t>(numbers.size());
    numbers.insert(numbers.end(), values.begin(), values.end());
    return at;
  };
  const auto add_zeros = [&](std::int64_t count) {
    const auto at = static_cast<std::int64_t>(numbers.size());
    numbers.resize(numbers.size() + static_cast<std::size_t>(count));
    return at;
  };
  const std::int64_t x = add(samples.x), y = add(samples.y);
  std::vector<EnsembleMember> described_members;
  for (const Member& member : members) {
    const Mlp checked(member.shape, member.objective, samples);
    if (member.weights.size() != checked.parameters()) {
      throw ShapeError("a network with " + std::to_string(checked.parameters()) +
                       " parameters cannot start from " + std::to_string(member.weights.size()));
    }
    EnsembleMember on = described(member);
    on.weights = add(member.weights);
    parameters_.push_back(member.shape.parameters());
    if (on.momentum != 0) on.velocity = add_zeros(parameters_.back());
    if (!member.objective.slope_factors.empty()) on.factors = add(member.objective.slope_factors);
    const std::int64_t scratch = ensemble_scratch(on, samples_);
    scratch_ = std::max(scratch_, scratch);
    on.scratch = add_zeros(scratch);
    described_members.push_back(on);
  }
  numbers_ = Buffer(gpu.memory(), numbers.size() * sizeof(double), "networks of an ensemble");
  host_to_device(gpu, numbers_.data(), numbers.data(), numbers.size() * sizeof(double));
  samples_.x = numbers_.as<double>() + x;
  samples_.y = numbers_.as<double>() + y;
  members_ = Buffer(gpu.memory(), described_members.size() * sizeof(EnsembleMember), "an ensemble's members");
  host_to_device(gpu, members_.data(), described_members.data(), members_.bytes());
}

void GpuEnsemble::advance(const std::vector<std::vector<double>>& lr) {
  if (lr.size() != parameters_.size())
    throw ShapeError("an ensemble of " + std::to_string(count_) + " networks has the step lengths of " +
                     std::to_string(lr.size()));
  const std::size_t steps = lr.front().size();
  std::vector<double> lengths;
  for (const std::vector<double>& each : lr) {
    if (each.size() != steps) throw ShapeError("the networks of an ensemble take equally many steps at once");
    lengths.insert(lengths.end(), each.begin(), each.end());
  }
  if (steps == 0) return;
  lr_ = Buffer(gpu_.memory(), lengths.size() * sizeof(double), "an ensemble's step lengths");
  host_to_device(gpu_, lr_.data(), lengths.data(), lr_.bytes());
  ensemble_descent(gpu_, count_, members_.as<EnsembleMember>(), numbers_.as<double>(), samples_,
                   lr_.as<double>(), static_cast<std::int64_t>(steps), scratch_);
}

std::vector<EnsembleMember> GpuEnsemble::members_on_device() const {
  std::vector<EnsembleMember> members(parameters_.size());
  device_to_host(gpu_, members.data(), members_.as<EnsembleMember>(),
                 members.size() * sizeof(EnsembleMember));
  return members;
}

std::vector<GpuEnsemble::State> GpuEnsemble::states() const {
  std::vector<State> states;
  const std::vector<EnsembleMember> members = members_on_device();
  for (std::size_t k = 0; k < members.size(); ++k) {
    const EnsembleMember& on = members[k];
    State state{.weights = std::vector<double>(static_cast<std::size_t>(parameters_[k])),
                .loss = on.last_loss,
                .steps = on.steps,
                .done = on.done != 0,
                .finite = on.finite != 0};
    device_to_host(gpu_, state.weights.data(), numbers_.as<double>() + on.weights,
                   state.weights.size() * sizeof(double));
    states.push_back(std::move(state));
  }
  return states;
}

bool GpuEnsemble::all_done() const {
  const std::vector<EnsembleMember> members = members_on_device();
  return std::all_of(members.begin(), members.end(), [](const auto& member) { return member.done != 0; });
}

}  // namespace qmse
