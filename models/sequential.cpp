#include "models/sequential.h"

#include <stdexcept>

namespace qmse {

Sequential& Sequential::add(const std::string& name, std::unique_ptr<const Layer> layer) {
  for (const Entry& entry : layers_) {
    if (entry.name == name) throw std::logic_error("two layers are called '" + name + "'");
  }
  Entry entry{name, std::move(layer), {}};
  try {
    const Shape output = entry.layer->output_shape(output_);
    entry.parameters = entry.layer->parameters(output_);
    output_ = output;
  } catch (const ShapeError& error) {
    throw ShapeError("layer '" + name + "': " + error.what());
  }
  for (ParameterSpec& spec : entry.parameters) spec.name = name + "." + spec.name;
  layers_.push_back(std::move(entry));
  return *this;
}

std::vector<ParameterSpec> Sequential::parameters() const {
  std::vector<ParameterSpec> specs;
  for (const Entry& entry : layers_)
    specs.insert(specs.end(), entry.parameters.begin(), entry.parameters.end());
  return specs;
}

Value Sequential::record(Tape& tape, ParameterStore& store, Value input) const {
  if (tape.shape(input).without_batch() != input_) {
    throw ShapeError("the model takes samples of " + to_string(input_) + ", not " +
                     to_string(tape.shape(input).without_batch()));
  }
  Value value = input;
  std::size_t next_parameter = 0;
  for (const Entry& entry : layers_) {
    std::vector<Value> parameters;
    for (std::size_t i = 0; i < entry.parameters.size(); ++i) {
      parameters.push_back(tape.parameter(store, next_parameter++));
    }
    value = entry.layer->record(tape, entry.name, value, parameters);
  }
  return value;
}

}  // namespace qmse
