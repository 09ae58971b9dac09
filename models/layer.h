// What a layer is: the shapes it maps, the parameters it asks for, and how it is recorded on a tape.
// docs/extending.md shows how to add one.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/parameters.h"
#include "engine/tape.h"

namespace qmse {

class Layer {
 public:
  virtual ~Layer() = default;

  // Shape of one sample's output, from one sample's input (no batch dimension). Throws ShapeError where it
  // cannot take it.
  virtual Shape output_shape(const Shape& input) const = 0;

  // The parameters it asks for, names local to the layer: "weight", "bias".
  virtual std::vector<ParameterSpec> parameters(const Shape& input) const {
    (void)input;
    return {};
  }

  // Records the layer on the tape under `name`; `parameters` in the order of parameters().
  virtual Value record(Tape& tape, const std::string& name, Value input,
                       std::span<const Value> parameters) const = 0;
};

}  // namespace qmse
