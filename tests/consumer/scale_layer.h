// A layer of one's own: y[n, j] = s[j] x[n, j] with learned factors s, which start at zero plus whatever the
// initialisation draws. On the CPU, in f32 and f64.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <qmse/base/error.h>
#include <qmse/engine/operation.h>
#include <qmse/models/layer.h>

// What the tape runs. Pointers come in the order in which record() gave the inputs: x [N, F], then s [F].
template <class T>
class ScaleOperation final : public qmse::Operation {
 public:
  ScaleOperation(std::int64_t batch, std::int64_t features) : batch_(batch), features_(features) {}

  void forward(const qmse::ForwardBuffers& buffers) override {
    const T* x = static_cast<const T*>(buffers.inputs[0]);
    const T* s = static_cast<const T*>(buffers.inputs[1]);
    T* y = static_cast<T*>(buffers.output);
    for (std::int64_t i = 0; i < batch_ * features_; ++i) y[i] = s[i % features_] * x[i];
  }

  void backward(const qmse::BackwardBuffers& buffers) override {
    const T* x = static_cast<const T*>(buffers.inputs[0]);
    const T* s = static_cast<const T*>(buffers.inputs[1]);
    const T* dy = static_cast<const T*>(buffers.output_gradient);
    if (T* dx = static_cast<T*>(buffers.input_gradients[0]); dx != nullptr) {
      for (std::int64_t i = 0; i < batch_ * features_; ++i) dx[i] = s[i % features_] * dy[i];
    }
    if (T* ds = static_cast<T*>(buffers.input_gradients[1]); ds != nullptr) {
      for (std::int64_t j = 0; j < features_; ++j) {
        ds[j] = 0;  // gradients are overwritten
        for (std::int64_t n = 0; n < batch_; ++n) ds[j] += x[n * features_ + j] * dy[n * features_ + j];
      }
    }
  }

 private:
  std::int64_t batch_, features_;
};

class ScaleLayer final : public qmse::Layer {
 public:
  // Shapes here are of one sample; any number of features will do.
  qmse::Shape output_shape(const qmse::Shape& input) const override {
    if (input.dimensions() != 1) throw qmse::ShapeError("scale takes [features], not " + to_string(input));
    return input;
  }

  std::vector<qmse::ParameterSpec> parameters(const qmse::Shape& input) const override {
    return {{.name = "weight", .shape = input}};
  }

  qmse::Value record(qmse::Tape& tape, const std::string& name, qmse::Value input,
                     std::span<const qmse::Value> parameters) const override {
    const qmse::Shape& shape = tape.shape(input);  // [N, F]
    if (tape.context().is_cuda()) throw qmse::ConfigError("scale runs on the CPU only");
    std::unique_ptr<qmse::Operation> operation;
    if (tape.options().dtype == qmse::DType::f64) {
      operation = std::make_unique<ScaleOperation<double>>(shape[0], shape[1]);
    } else {
      operation = std::make_unique<ScaleOperation<float>>(shape[0], shape[1]);
    }
    return tape.record(name, shape, {input, parameters[0]}, std::move(operation));
  }
};
