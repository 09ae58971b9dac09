#include "models/operations.h"

#include "engine/with_context.h"
#include "kernels/bias_activation/bias_activation.h"
#include "kernels/conv_block/conv_block.h"
#include "kernels/linear/linear.h"
#include "kernels/max_pool2d/max_pool2d.h"
#include "models/map_operation.h"

namespace qmse {

namespace {

// Runs `check` and puts the node's name before what it throws.
template <class Check>
void check_for(const std::string& name, const Check& check) {
  try {
    check();
  } catch (const ShapeError& error) {
    throw ShapeError("'" + name + "': " + error.what());
  }
}

void require(bool condition, const std::string& name, const std::string& what) {
  if (!condition) throw ShapeError("'" + name + "': " + what);
}

template <class T>
const T* in(void* const pointer) {
  return static_cast<const T*>(pointer);
}

template <class T>
class Conv2dOperation : public Operation {
 public:
  Conv2dOperation(Context& context, const Conv2dShape& shape, BackwardNeeds needs)
      : plan_(with_context<T>(
            context, [&](auto& backend) { return make_conv2d(backend, Precision<T>(), shape, needs); })) {}

  void forward(const ForwardBuffers& b) override {
    plan_->forward(in<T>(b.inputs[0]), in<T>(b.inputs[1]), in<T>(b.inputs[2]), static_cast<T*>(b.output));
  }
  void backward(const BackwardBuffers& b) override {
    const T* dy = static_cast<const T*>(b.output_gradient);
    if (b.input_gradients[1] != nullptr) {
      plan_->backward_weights(in<T>(b.inputs[0]), dy, static_cast<T*>(b.input_gradients[1]),
                              static_cast<T*>(b.input_gradients[2]));
    }
    if (b.input_gradients[0] != nullptr) {
      plan_->backward_data(in<T>(b.inputs[1]), dy, static_cast<T*>(b.input_gradients[0]));
    }
  }

  std::string algorithm() const override { return plan_->algorithm(); }
  bool slow() const override { return plan_->slow(); }

 private:
  std::unique_ptr<Conv2d<T>> plan_;
};

template <class T>
class ConvBlockOperation : public Operation {
 public:
  ConvBlockOperation(Context& context, const ConvBlockShape& shape, BackwardNeeds needs)
      : plan_(with_context<T>(
            context, [&](auto& backend) { return make_conv_block(backend, Precision<T>(), shape, needs); })) {
  }

  void forward(const ForwardBuffers& b) override {
    plan_->forward(in<T>(b.inputs[0]), in<T>(b.inputs[1]), in<T>(b.inputs[2]), static_cast<T*>(b.output));
  }
  void backward(const BackwardBuffers& b) override {
    plan_->backward(in<T>(b.inputs[0]), in<T>(b.inputs[1]), static_cast<const T*>(b.output_gradient),
                    static_cast<T*>(b.input_gradients[0]), static_cast<T*>(b.input_gradients[1]),
                    static_cast<T*>(b.input_gradients[2]));
  }

  std::string algorithm() const override { return plan_->algorithm(); }
  bool slow() const override { return plan_->slow(); }

 private:
  std::unique_ptr<ConvBlock<T>> plan_;
};

template <class T>
class LinearOperation : public Operation {
 public:
  LinearOperation(Context& context, const LinearShape& shape, BackwardNeeds needs)
      : plan_(with_context<T>(
            context, [&](auto& backend) { return make_linear(backend, Precision<T>(), shape, needs); })) {}

  void forward(const ForwardBuffers& b) override {
    plan_->forward(in<T>(b.inputs[0]), in<T>(b.inputs[1]), in<T>(b.inputs[2]), static_cast<T*>(b.output));
  }
  void backward(const BackwardBuffers& b) override {
    plan_->backward(in<T>(b.inputs[0]), in<T>(b.inputs[1]), static_cast<const T*>(b.output),
                    static_cast<const T*>(b.output_gradient), static_cast<T*>(b.input_gradients[0]),
                    static_cast<T*>(b.input_gradients[1]), static_cast<T*>(b.input_gradients[2]));
  }

  std::string algorithm() const override { return plan_->algorithm(); }

 private:
  std::unique_ptr<Linear<T>> plan_;
};

template <class T>
class MaxPool2dOperation : public Operation {
 public:
  MaxPool2dOperation(Context& context, const MaxPool2dShape& shape)
      : context_(&context),
        shape_(shape),
        choice_(
            context.memory(),
            static_cast<std::size_t>(shape.batch * shape.channels * shape.out_height() * shape.out_width()),
            "choices of the max-pool") {}

  void forward(const ForwardBuffers& b) override {
    with_context<T>(*context_, [&](auto& backend) {
      max_pool2d_forward(backend, shape_, in<T>(b.inputs[0]), static_cast<T*>(b.output),
                         choice_.as<std::uint8_t>());
    });
  }
  void backward(const BackwardBuffers& b) override {
    with_context<T>(*context_, [&](auto& backend) {
      max_pool2d_backward(backend, shape_, static_cast<const T*>(b.output_gradient),
                          static_cast<const std::uint8_t*>(choice_.data()),
                          static_cast<T*>(b.input_gradients[0]));
    });
  }

 private:
  Context* context_;
  MaxPool2dShape shape_;
  Buffer choice_;
};

Conv2dShape conv2d_shape(const Tape& tape, const std::string& name, Value x, Value weight, Value bias,
                         const Conv2dOptions& options) {
  const Shape& in_shape = tape.shape(x);
  const Shape& w_shape = tape.shape(weight);
  require(in_shape.dimensions() == 4 && w_shape.dimensions() == 4 && in_shape[1] == w_shape[1] &&
              tape.shape(bias) == Shape{w_shape[0]},
          name,
          "a convolution of " + to_string(in_shape) + " with weight " + to_string(w_shape) + " and bias " +
              to_string(tape.shape(bias)) + " does not fit: needs [N, I, H, W], [O, I, kh, kw] and [O]");
  const Conv2dShape shape{in_shape[0], in_shape[1], in_shape[2],     in_shape[3],   w_shape[0],
                          w_shape[2],  w_shape[3],  options.padding, options.stride};
  check_for(name, [&] { check(shape); });
  return shape;
}

BackwardNeeds backward_needs(const Tape& tape, Value x, Value weight) {
  return {tape.needs_gradient(x), tape.needs_gradient(weight)};
}

void require_plain(const Tape& tape, const std::string& name, Value x) {
  require(tape.layout(x) == Layout::plain, name, "its input '" + tape.name(x) + "' is in a blocked layout");
}

}  // namespace

Value record_conv2d(Tape& tape, const std::string& name, Value x, Value weight, Value bias,
                    const Conv2dOptions& options) {
  require_plain(tape, name, x);
  const Conv2dShape shape = conv2d_shape(tape, name, x, weight, bias, options);
  return tape.record(name, {shape.batch, shape.out_channels, shape.out_height(), shape.out_width()},
                     {x, weight, bias},
                     make_operation<Conv2dOperation>(tape, shape, backward_needs(tape, x, weight)));
}

Value record_conv_block(Tape& tape, const std::string& name, Value x, Value weight, Value bias,
                        const Conv2dOptions& options, std::int64_t window, Layout layout) {
  ConvBlockShape shape;
  shape.conv = conv2d_shape(tape, name, x, weight, bias, options);
  shape.window = window;
  shape.input_layout = tape.layout(x);
  shape.output_layout = layout;
  const MaxPool2dShape pool = shape.pool();
  check_for(name, [&] { check(pool); });
  return tape.record(
      name, {pool.batch, pool.channels, pool.out_height(), pool.out_width()}, {x, weight, bias},
      make_operation<ConvBlockOperation>(tape, shape, backward_needs(tape, x, weight)), layout);
}

Layout preferred_layout(Tape& tape, std::int64_t channels) {
  return with_context(tape.context(), tape.options().dtype, [&]<class T>(auto& backend) {
    return preferred_layout(backend, Precision<T>(), channels);
  });
}

Value record_linear(Tape& tape, const std::string& name, Value x, Value weight, Value bias,
                    Activation activation) {
  const Shape& in_shape = tape.shape(x);
  const Shape& w_shape = tape.shape(weight);
  require_plain(tape, name, x);
  require(in_shape.dimensions() == 2 && w_shape.dimensions() == 2 && in_shape[1] == w_shape[1] &&
              tape.shape(bias) == Shape{w_shape[0]},
          name,
          "a linear layer over " + to_string(in_shape) + " with weight " + to_string(w_shape) + " and bias " +
              to_string(tape.shape(bias)) + " does not fit: needs [N, I], [O, I] and [O]");
  const LinearShape shape{in_shape[0], in_shape[1], w_shape[0], activation};
  check_for(name, [&] { check(shape); });
  return tape.record(name, {shape.batch, shape.out_features}, {x, weight, bias},
                     make_operation<LinearOperation>(tape, shape, backward_needs(tape, x, weight)));
}

Value record_activation(Tape& tape, const std::string& name, Value x, Activation activation) {
  const std::int64_t n = tape.shape(x).count();
  return record_map(
      tape, name, x, tape.shape(x),
      [n, activation]<class T>(auto& backend, const T* in, T* out) {
        const T* no_bias = nullptr;
        bias_activation_forward(backend, BiasShape{1, 1, n}, activation, in, no_bias, out);
      },
      [n, activation]<class T>(auto& backend, const T*, const T* out, const T* d_out, T* d_in) {
        activation_backward(backend, n, activation, out, d_out, d_in);
      });
}

Value record_max_pool2d(Tape& tape, const std::string& name, Value x, std::int64_t window) {
  const Shape& in_shape = tape.shape(x);
  require_plain(tape, name, x);
  require(in_shape.dimensions() == 4, name, "max-pooling takes [N, C, H, W], not " + to_string(in_shape));
  const MaxPool2dShape shape{in_shape[0], in_shape[1], in_shape[2], in_shape[3], window};
  check_for(name, [&] { check(shape); });
  return tape.record(name, {shape.batch, shape.channels, shape.out_height(), shape.out_width()}, {x},
                     make_operation<MaxPool2dOperation>(tape, shape));
}

}  // namespace qmse
