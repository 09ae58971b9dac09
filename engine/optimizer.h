// What a training step needs of an optimizer. The optimizers themselves are in optim/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/parameters.h"

namespace qmse {

// Numbers in device memory that change from step to step.
struct OptimizerInputs {
  const double* learning_rate = nullptr;
  const std::uint64_t* step = nullptr;  // steps taken before this one
  const std::int64_t* held = nullptr;   // StepCounter::held: from 0 up nothing is updated; null: always is
};

// Bound to one parameter store, which must outlive it.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  virtual std::string_view name() const = 0;
  virtual const ParameterStore& store() const = 0;
  // Updates the weights from the gradients of the store. Allocates nothing.
  virtual void step(const OptimizerInputs& inputs) = 0;

  // What it keeps between steps, for checkpoints: flat buffers laid out as the store's weights.
  struct State {
    std::string name;  // "momentum"
    void* flat;
  };
  virtual std::vector<State> state() const = 0;
};

}  // namespace qmse
