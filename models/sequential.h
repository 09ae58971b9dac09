// Layers one after the other, with names: every model of the library is one of these.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/layer.h"

namespace qmse {

class Sequential {
 public:
  // `input` is the shape of one sample.
  explicit Sequential(const Shape& input) : input_(input), output_(input) {}

  // Appends a layer. Throws ShapeError naming the layer where it cannot take what comes before it,
  // std::logic_error where the name is taken.
  Sequential& add(const std::string& name, std::unique_ptr<const Layer> layer);
  template <class L, class... Arguments>
  Sequential& emplace(const std::string& name, Arguments&&... arguments) {
    return add(name, std::make_unique<const L>(std::forward<Arguments>(arguments)...));
  }

  const Shape& input_shape() const { return input_; }
  const Shape& output_shape() const { return output_; }
  std::size_t size() const { return layers_.size(); }

  // What a ParameterStore for this model holds, names as in PyTorch's state_dict: "conv1.weight".
  std::vector<ParameterSpec> parameters() const;

  // Records the model from the batch `input` [N, ...]. `store` was made from parameters().
  Value record(Tape& tape, ParameterStore& store, Value input) const;

 private:
  struct Entry {
    std::string name;
    std::unique_ptr<const Layer> layer;
    std::vector<ParameterSpec> parameters;
  };

  Shape input_, output_;
  std::vector<Entry> layers_;
};

}  // namespace qmse
