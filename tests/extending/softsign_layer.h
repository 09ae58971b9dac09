// A layer made of the softsign operation.
#pragma once

#include "models/layer.h"
#include "models/map_operation.h"
#include "tests/extending/softsign.h"

namespace example {

class SoftsignLayer : public qmse::Layer {
 public:
  qmse::Shape output_shape(const qmse::Shape& input) const override { return input; }
  qmse::Value record(qmse::Tape& tape, const std::string& name, qmse::Value input,
                     std::span<const qmse::Value>) const override {
    const std::int64_t n = tape.shape(input).count();
    return qmse::record_map(
        tape, name, input, tape.shape(input),
        [n]<class T>(auto& backend, const T* x, T* y) { softsign_forward(backend, n, x, y); },
        [n]<class T>(auto& backend, const T*, const T* y, const T* dy, T* dx) {
          softsign_backward(backend, n, y, dy, dx);
        });
  }
};

}  // namespace example
