// A node of one input and no parameters, from the two calls that run it.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "engine/tape.h"
#include "engine/with_context.h"

namespace qmse {

template <class Forward, class Backward>
class MapOperation final : public Operation {
 public:
  MapOperation(Context& context, DType dtype, Forward forward, Backward backward)
      : context_(&context), dtype_(dtype), forward_(std::move(forward)), backward_(std::move(backward)) {}

  void forward(const ForwardBuffers& b) override {
    with_context(*context_, dtype_, [&]<class T>(auto& backend) {
      forward_(backend, static_cast<const T*>(b.inputs[0]), static_cast<T*>(b.output));
    });
  }
  void backward(const BackwardBuffers& b) override {
    with_context(*context_, dtype_, [&]<class T>(auto& backend) {
      backward_(backend, static_cast<const T*>(b.inputs[0]), static_cast<const T*>(b.output),
                static_cast<const T*>(b.output_gradient), static_cast<T*>(b.input_gradients[0]));
    });
  }

 private:
  Context* context_;
  DType dtype_;
  Forward forward_;
  Backward backward_;
};

// Records forward(backend, x, y) and backward(backend, x, y, dy, dx) as a node whose output has shape
// `output` and the input's layout. Both are generic lambdas: they are called with float for either backend
// and with double for the CPU. They allocate nothing.
template <class Forward, class Backward>
Value record_map(Tape& tape, const std::string& name, Value input, const Shape& output, Forward forward,
                 Backward backward) {
  auto operation = std::make_unique<MapOperation<Forward, Backward>>(tape.context(), tape.options().dtype,
                                                                     std::move(forward), std::move(backward));
  return tape.record(name, output, {input}, std::move(operation), tape.layout(input));
}

}  // namespace qmse
