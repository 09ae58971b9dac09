#include "tests/extending/softsign_layer.h"

#include "engine/with_context.h"
#include "tests/extending/softsign.h"

namespace example {
namespace {

// One node of the tape, for T = float on either backend or T = double on the CPU.
template <class T>
class SoftsignOperation : public qmse::Operation {
 public:
  SoftsignOperation(qmse::Context& context, std::int64_t count) : context_(&context), count_(count) {}

  void forward(const qmse::ForwardBuffers& b) override {
    qmse::with_context<T>(*context_, [&](auto& backend) {
      softsign_forward(backend, count_, static_cast<const T*>(b.inputs[0]), static_cast<T*>(b.output));
    });
  }
  void backward(const qmse::BackwardBuffers& b) override {
    qmse::with_context<T>(*context_, [&](auto& backend) {
      softsign_backward(backend, count_, static_cast<const T*>(b.output),
                        static_cast<const T*>(b.output_gradient), static_cast<T*>(b.input_gradients[0]));
    });
  }

 private:
  qmse::Context* context_;
  std::int64_t count_;
};

}  // namespace

qmse::Value SoftsignLayer::record(qmse::Tape& tape, const std::string& name, qmse::Value input,
                                  std::span<const qmse::Value>) const {
  return tape.record(name, tape.shape(input), {input},
                     qmse::make_operation<SoftsignOperation>(tape, tape.shape(input).count()));
}

}  // namespace example
