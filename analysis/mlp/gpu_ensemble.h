// Descents of many small networks at once on a GPU (kernels/ensemble_mlp), each with the bits of Descent.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "analysis/mlp/descent.h"
#include "device/context.h"
#include "device/cuda_context.h"

namespace qmse {

class GpuEnsemble {
 public:
  struct Member {
    MlpShape shape;
    MlpObjective objective;
    std::vector<double> weights;
    DescentRule rule;
    std::uint64_t seed = 1;
  };

  // `gpu` must outlive it. ShapeError where a member does not fit the samples, has more than
  // kMaxEnsembleLayers layers or a rule that is for Descent alone (Adam, batches by epochs, QMSE's
  // noise, v not on the sphere), or where there is none.
  GpuEnsemble(CudaContext& gpu, const Samples& samples, const std::vector<Member>& members);

  // One launch: member k takes the steps lr[k], as many for each member, but none once it is done.
  void advance(const std::vector<std::vector<double>>& lr);

  // What Descent says of a network; waits for the GPU.
  struct State {
    std::vector<double> weights;
    double loss = 0;
    std::int64_t steps = 0;
    bool done = false, finite = true;
  };
  std::vector<State> states() const;
  bool all_done() const;

  // What ensemble_descent() takes: every member with its places in `numbers`, where the samples' x come first,
  // then their y. `scratch` is the largest ensemble_scratch().
  struct Layout {
    std::vector<double> numbers;
    std::vector<EnsembleMember> members;
    std::int64_t scratch = 0;
  };
  static Layout lay_out(const Samples& samples, const std::vector<Member>& members);

 private:
  std::vector<EnsembleMember> members_on_device() const;

  CudaContext& gpu_;
  EnsembleSamples samples_{};
  std::int64_t count_, scratch_ = 0;
  std::vector<std::int64_t> parameters_;
  Buffer numbers_, members_, lr_;
};

}  // namespace qmse
