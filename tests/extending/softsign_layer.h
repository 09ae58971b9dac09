// A layer made of the softsign kernel.
#pragma once

#include "models/layer.h"

namespace example {

class SoftsignLayer : public qmse::Layer {
 public:
  qmse::Shape output_shape(const qmse::Shape& input) const override { return input; }
  qmse::Value record(qmse::Tape& tape, const std::string& name, qmse::Value input,
                     std::span<const qmse::Value> parameters) const override;
};

}  // namespace example
