// Adam: PyTorch's update rule (kernels/adam/adam.h).
#pragma once

#include "engine/optimizer.h"
#include "kernels/adam/adam.h"

namespace qmse {

class Adam final : public Optimizer {
 public:
  // Throws ConfigError unless the betas are in [0, 1), epsilon is a normal number of the store's type above 0
  // and weight_decay is at least 0 and finite.
  Adam(ParameterStore& store, const AdamHyper& hyper);
  std::string_view name() const override { return "adam"; }
  void step(const OptimizerInputs& inputs) override;
  std::vector<State> state() const override;

 private:
  template <class T>
  void step_as(const OptimizerInputs& inputs);

  ParameterStore* store_;
  AdamHyper hyper_;
  Buffer first_moments_;
  Buffer second_moments_;
  Buffer partials_;
};

}  // namespace qmse
