#include "analysis/mlp/gpu_ensemble.h"

#include <algorithm>
#include <cstring>
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
  return on;
}

// What is copied to the device as one piece.
class Image {
 public:
  // Where `values` will be, counted from the beginning.
  std::size_t add(std::span<const double> values) {
    const std::size_t at = numbers_.size();
    numbers_.insert(numbers_.end(), values.begin(), values.end());
    return at;
  }
  std::size_t add_zeros(std::int64_t count) {
    const std::size_t at = numbers_.size();
    numbers_.resize(at + static_cast<std::size_t>(count));
    return at;
  }
  const std::vector<double>& numbers() const { return numbers_; }

 private:
  std::vector<double> numbers_;
};

}  // namespace

GpuEnsemble::GpuEnsemble(CudaContext& gpu, const Samples& samples, const std::vector<Member>& members)
    : gpu_(gpu), count_(static_cast<std::int64_t>(members.size())) {
  if (members.empty()) throw ShapeError("an ensemble has at least one network");
  samples_ = {samples.count, samples.inputs, samples.outputs, samples.stride, nullptr, nullptr};
  Image image;
  const std::size_t x = image.add(samples.x), y = image.add(samples.y);
  struct Places {
    std::size_t weights, velocity, factors, scratch;
  };
  std::vector<EnsembleMember> described_members;
  std::vector<Places> places;
  double present = 0;  // stands for an array that there will be
  for (const Member& member : members) {
    const Mlp checked(member.shape, member.objective, samples);
    if (member.weights.size() != checked.parameters())
      throw ShapeError("a network with " + std::to_string(checked.parameters()) +
                       " parameters cannot start from " + std::to_string(member.weights.size()));
    EnsembleMember on = described(member);
    on.velocity = on.momentum != 0 ? &present : nullptr;
    on.factors = member.objective.slope_factors.empty() ? nullptr : &present;
    const std::int64_t scratch = ensemble_scratch(on, samples_);
    scratch_ = std::max(scratch_, scratch);
    parameters_.push_back(member.shape.parameters());
    Places at{};
    at.weights = image.add(member.weights);
    if (on.velocity != nullptr) at.velocity = image.add_zeros(parameters_.back());
    if (on.factors != nullptr) at.factors = image.add(member.objective.slope_factors);
    at.scratch = image.add_zeros(scratch);
    places.push_back(at);
    described_members.push_back(on);
  }
  const std::vector<double>& numbers = image.numbers();
  numbers_ = Buffer(gpu.memory(), numbers.size() * sizeof(double), "networks of an ensemble");
  host_to_device(gpu, numbers_.as<double>(), numbers.data(), numbers.size() * sizeof(double));
  double* base = numbers_.as<double>();
  samples_.x = base + x;
  samples_.y = base + y;
  for (std::size_t k = 0; k < members.size(); ++k) {
    EnsembleMember& on = described_members[k];
    on.weights = base + places[k].weights;
    if (on.velocity != nullptr) on.velocity = base + places[k].velocity;
    if (on.factors != nullptr) on.factors = base + places[k].factors;
    on.scratch = base + places[k].scratch;
  }
  members_ = Buffer(gpu.memory(), described_members.size() * sizeof(EnsembleMember), "an ensemble's members");
  host_to_device(gpu, members_.as<EnsembleMember>(), described_members.data(),
                 described_members.size() * sizeof(EnsembleMember));
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
  std::vector<EnsembleMember> members = members_on_device();
  lr_ = Buffer(gpu_.memory(), lengths.size() * sizeof(double), "an ensemble's step lengths");
  host_to_device(gpu_, lr_.as<double>(), lengths.data(), lengths.size() * sizeof(double));
  for (std::size_t k = 0; k < members.size(); ++k) members[k].lr = lr_.as<double>() + k * steps;
  host_to_device(gpu_, members_.as<EnsembleMember>(), members.data(),
                 members.size() * sizeof(EnsembleMember));
  ensemble_descent(gpu_, count_, members_.as<EnsembleMember>(), samples_, static_cast<std::int64_t>(steps),
                   scratch_);
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
    device_to_host(gpu_, state.weights.data(), on.weights, state.weights.size() * sizeof(double));
    states.push_back(std::move(state));
  }
  return states;
}

bool GpuEnsemble::all_done() const {
  const std::vector<EnsembleMember> members = members_on_device();
  return std::all_of(members.begin(), members.end(), [](const auto& member) { return member.done != 0; });
}

}  // namespace qmse
