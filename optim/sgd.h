// SGD with momentum, Nesterov and weight decay: PyTorch's update rule (kernels/sgd/sgd.h).
#pragma once

#include "engine/optimizer.h"
#include "kernels/sgd/sgd.h"

namespace qmse {

class Sgd final : public Optimizer {
 public:
  // Throws ConfigError unless 0 <= momentum < 1, weight_decay >= 0 and finite, and Nesterov has momentum.
  Sgd(ParameterStore& store, const SgdHyper& hyper);
  std::string_view name() const override { return "sgd"; }
  void step(const OptimizerInputs& inputs) override;
  std::vector<State> state() const override;

 private:
  template <class T>
  void step_as(const OptimizerInputs& inputs);

  ParameterStore* store_;
  SgdHyper hyper_;
  Buffer momenta_;  // empty without momentum
  Buffer partials_;
};

}  // namespace qmse
