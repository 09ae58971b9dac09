#include "models/sequential.h"

#include <stdexcept>

#include "models/layers.h"
#include "models/operations.h"

namespace qmse {

namespace {

bool is_relu(const Layer& layer) {
  const auto* activation = dynamic_cast<const ActivationLayer*>(&layer);
  return activation != nullptr && activation->activation() == Activation::relu;
}

}  // namespace

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
  for (std::size_t index = 0; index < layers_.size();) {
    const Entry& entry = layers_[index];
    std::vector<Value> parameters;
    for (std::size_t i = 0; i < entry.parameters.size(); ++i) {
      parameters.push_back(tape.parameter(store, next_parameter++));
    }
    const std::size_t fused = tape.options().fuse ? record_fused(tape, index, value, parameters) : 0;
    if (fused == 0) value = entry.layer->record(tape, entry.name, value, parameters);
    index += fused == 0 ? 1 : fused;
  }
  return value;
}

bool Sequential::is_conv_block(std::size_t index) const {
  return index + 2 < layers_.size() &&
         dynamic_cast<const Conv2dLayer*>(layers_[index].layer.get()) != nullptr &&
         is_relu(*layers_[index + 1].layer) &&
         dynamic_cast<const MaxPool2dLayer*>(layers_[index + 2].layer.get()) != nullptr;
}

std::size_t Sequential::record_fused(Tape& tape, std::size_t index, Value& value,
                                     std::span<const Value> parameters) const {
  const Entry& entry = layers_[index];
  if (is_conv_block(index)) {
    const auto& conv = dynamic_cast<const Conv2dLayer&>(*entry.layer);
    const auto& pool = dynamic_cast<const MaxPool2dLayer&>(*layers_[index + 2].layer);
    const Layout layout =
        is_conv_block(index + 3) ? preferred_layout(tape, conv.out_channels()) : Layout::plain;
    value = record_conv_block(tape, entry.name, value, parameters[0], parameters[1],
                              {conv.padding(), conv.stride()}, pool.window(), layout);
    return 3;
  }
  const bool linear_relu = index + 1 < layers_.size() &&
                           dynamic_cast<const LinearLayer*>(entry.layer.get()) != nullptr &&
                           is_relu(*layers_[index + 1].layer);
  if (linear_relu) {
    value = record_linear(tape, entry.name, value, parameters[0], parameters[1], Activation::relu);
    return 2;
  }
  return 0;
}

}  // namespace qmse
