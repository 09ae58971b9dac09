#include "engine/tape.h"

#include <algorithm>
#include <stdexcept>

#include "device/branches.h"
#include "device/range.h"
#include "engine/with_context.h"
#include "kernels/reduce/reduce.h"

namespace qmse {

Tape::Tape(Context& context, const Options& options)
    : context_(&context),
      options_(options),
      finite_index_(context.memory(), sizeof(std::int64_t), "tape.finite_index") {
  if (options.dtype != DType::f32 && options.dtype != DType::f64) {
    throw std::logic_error("a tape computes in f32 or f64, not " + std::string(qmse::name(options.dtype)));
  }
  if (options.dtype == DType::f64 && context.is_cuda()) throw std::logic_error("f64 runs on the CPU only");
}

std::size_t Tape::bytes(const Shape& shape) const {
  return static_cast<std::size_t>(shape.count()) * size_of(options_.dtype);
}

Value Tape::append(Slot slot) {
  const Value value{value_count()};
  if (slot.storage < 0) slot.storage = value.id;
  slots_.push_back(std::move(slot));
  written_.push_back(0);
  return value;
}

Value Tape::input(const std::string& name, const Shape& shape) {
  Slot slot;
  slot.name = name;
  slot.shape = shape;
  slot.leaf = true;
  slot.data_buffer = Buffer(context_->memory(), bytes(shape), name);
  slot.data = slot.data_buffer.data();
  return append(std::move(slot));
}

Value Tape::parameter(ParameterStore& store, std::size_t index) {
  if (store.dtype() != options_.dtype) throw std::logic_error("the parameters and the tape differ in dtype");
  for (const ParameterLeaf& leaf : parameters_) {
    if (leaf.store == &store && leaf.index == index) return leaf.value;
  }
  Slot slot;
  slot.name = store.spec(index).name;
  slot.shape = store.spec(index).shape;
  slot.leaf = true;
  slot.needs_gradient = options_.gradients;
  slot.data = store.weights(index);
  slot.gradient = options_.gradients ? store.gradients(index) : nullptr;
  const Value value = append(std::move(slot));
  parameters_.push_back({&store, index, value});
  return value;
}

Value Tape::record(const std::string& name, const Shape& shape, const std::vector<Value>& inputs,
                   std::unique_ptr<Operation> operation, Layout layout) {
  most_inputs_ = std::max(most_inputs_, inputs.size());
  Node node;
  node.operation = std::move(operation);
  node.inputs = inputs;
  node.output = Value{value_count()};
  node.input_gradients.resize(inputs.size());
  node.adds.resize(inputs.size());

  Slot output;
  output.name = name;
  output.shape = shape;
  output.layout = layout;
  for (const Value input : inputs) {
    Slot& source = slot(input);
    Slot& owner = slot(Value{source.storage});
    output.needs_gradient |= source.needs_gradient;
    node.input_data.push_back(source.data);
    if (source.needs_gradient && ++owner.readers > 1) reserve_addends(bytes(source.shape));
  }
  output.data_buffer = Buffer(context_->memory(), bytes(shape), name);
  output.data = output.data_buffer.data();
  if (output.needs_gradient) {
    output.gradient_buffer = Buffer(context_->memory(), bytes(shape), "gradient of " + name);
    output.gradient = output.gradient_buffer.data();
  }
  nodes_.push_back(std::move(node));
  return append(std::move(output));
}

Value Tape::reshape(const std::string& name, Value value, const Shape& shape) {
  const Slot& source = slot(value);
  if (shape.count() != source.shape.count()) {
    throw ShapeError("'" + name + "' cannot turn " + to_string(source.shape) + " into " + to_string(shape) +
                     ": the numbers of elements differ");
  }
  if (source.layout != Layout::plain) throw ShapeError("'" + name + "' cannot reshape a blocked tensor");
  Slot view;
  view.name = name;
  view.shape = shape;
  view.needs_gradient = source.needs_gradient;
  view.data = source.data;
  view.gradient = source.gradient;
  view.storage = source.storage;
  return append(std::move(view));
}

// Any node so far may be a later writer of that gradient, through any of its inputs.
void Tape::reserve_addends(std::size_t bytes) {
  addends_.resize(most_inputs_);
  for (Buffer& addend : addends_) {
    if (addend.bytes() < bytes) addend = Buffer(context_->memory(), bytes, "tape.addend");
  }
}

void Tape::forward() {
  const Range phase("forward");
  for (Node& node : nodes_) {
    const Range range(name(node.output).c_str());
    node.operation->forward({node.input_data, slot(node.output).data});
  }
}

void Tape::add_gradient(void* into, const void* from, std::int64_t count) {
  with_context(*context_, options_.dtype, [&]<class T>(auto& backend) {
    add(backend, count, static_cast<const T*>(from), static_cast<T*>(into));
  });
}

void Tape::backward(Value root) {
  if (!slot(root).needs_gradient)
    throw std::logic_error("'" + name(root) + "' needs no gradient: nothing to differentiate");
  const Range phase("backward");
  Branches branches(context_->cuda());
  std::fill(written_.begin(), written_.end(), char{0});
  written_[static_cast<std::size_t>(slot(root).storage)] = 1;

  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    const Slot& output = slot(node->output);
    // A reshape of this output shares its storage, so its gradient counts as written here too.
    if (!output.needs_gradient || !written_[static_cast<std::size_t>(output.storage)]) continue;

    // The first writer of a gradient overwrites; a later one writes beside it and is added.
    for (std::size_t i = 0; i < node->inputs.size(); ++i) {
      const Slot& input = slot(node->inputs[i]);
      char& written = written_[static_cast<std::size_t>(input.storage)];
      node->adds[i] = input.needs_gradient && written;
      node->input_gradients[i] = node->adds[i] ? addends_[i].data() : input.gradient;
      if (input.needs_gradient) written = 1;
    }
    const Range range(name(node->output).c_str());
    node->operation->backward({node->input_data, output.data, output.gradient, node->input_gradients});
    for (std::size_t i = 0; i < node->inputs.size(); ++i) {
      const Slot& input = slot(node->inputs[i]);
      if (!node->adds[i]) continue;
      branches.join();  // either gradient may be of weights
      add_gradient(input.gradient, addends_[i].data(), input.shape.count());
    }
  }
  branches.join();

  for (const ParameterLeaf& leaf : parameters_) {
    if (slot(leaf.value).needs_gradient && !written_[static_cast<std::size_t>(leaf.value.id)]) {
      fill_zero(*context_, slot(leaf.value).gradient, bytes(slot(leaf.value).shape));
    }
  }
}

std::vector<Tape::Choice> Tape::choices() const {
  std::vector<Choice> all;
  for (const Node& node : nodes_) {
    std::string algorithm = node.operation->algorithm();
    if (!algorithm.empty()) all.push_back({name(node.output), std::move(algorithm), node.operation->slow()});
  }
  return all;
}

Value Tape::first_non_finite() {
  for (int id = 0; id < value_count(); ++id) {
    const Slot& candidate = slots_[static_cast<std::size_t>(id)];
    const bool parameter = candidate.leaf && candidate.data_buffer.data() == nullptr;
    if (parameter) continue;
    const std::int64_t count = candidate.shape.count();
    auto* found = finite_index_.as<std::int64_t>();
    with_context(*context_, options_.dtype, [&]<class T>(auto& backend) {
      qmse::first_non_finite(backend, count, static_cast<const T*>(candidate.data), found);
    });
    std::int64_t index = 0;
    device_to_host(*context_, &index, found, sizeof(index));
    if (index < count) return Value{id};
  }
  return Value{};
}

}  // namespace qmse
