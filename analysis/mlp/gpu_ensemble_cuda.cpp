#include "analysis/mlp/gpu_ensemble.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace qmse {

GpuEnsemble::GpuEnsemble(CudaContext& gpu, const Samples& samples, const std::vector<Member>& members)
    : gpu_(gpu), count_(static_cast<std::int64_t>(members.size())) {
  const Layout layout = lay_out(samples, members);
  scratch_ = layout.scratch;
  for (const Member& member : members) parameters_.push_back(member.shape.parameters());
  numbers_ = Buffer(gpu.memory(), layout.numbers.size() * sizeof(double), "networks of an ensemble");
  host_to_device(gpu, numbers_.data(), layout.numbers.data(), numbers_.bytes());
  const double* x = numbers_.as<double>();
  samples_ = {samples.count, samples.inputs, samples.outputs, samples.stride, x, x + samples.x.size()};
  members_ = Buffer(gpu.memory(), layout.members.size() * sizeof(EnsembleMember), "an ensemble's members");
  host_to_device(gpu, members_.data(), layout.members.data(), members_.bytes());
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
