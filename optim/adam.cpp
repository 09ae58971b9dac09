#include "optim/adam.h"

#include <cmath>
#include <limits>
#include <sstream>

namespace qmse {

namespace {

void require(bool condition, const char* what, double value) {
  if (condition) return;
  std::ostringstream message;  // std::to_string would write 1e-60 as 0.000000
  message << what << ", not " << value;
  throw ConfigError(message.str());
}

// The numbers that a type holds with its full precision: an epsilon that became 0 would divide by it.
template <class T>
bool is_normal_in(double value) {
  return value >= static_cast<double>(std::numeric_limits<T>::min()) &&
         value <= static_cast<double>(std::numeric_limits<T>::max());
}

}  // namespace

Adam::Adam(ParameterStore& store, const AdamHyper& hyper) : store_(&store), hyper_(hyper) {
  require(hyper.beta1 >= 0 && hyper.beta1 < 1, "beta1 must be in [0, 1)", hyper.beta1);
  require(hyper.beta2 >= 0 && hyper.beta2 < 1, "beta2 must be in [0, 1)", hyper.beta2);
  require(
      store.dtype() == DType::f64 ? is_normal_in<double>(hyper.epsilon) : is_normal_in<float>(hyper.epsilon),
      "epsilon must be finite, above 0 and not too small for the weights' type", hyper.epsilon);
  require(hyper.weight_decay >= 0 && std::isfinite(hyper.weight_decay),
          "weight_decay must be finite and at least 0", hyper.weight_decay);
  MemoryResource& memory = store.context().memory();
  const std::size_t bytes = static_cast<std::size_t>(store.flat_size()) * size_of(store.dtype());
  first_moments_ = Buffer(memory, bytes, "Adam's first moments");
  second_moments_ = Buffer(memory, bytes, "Adam's second moments");
  partials_ = Buffer(memory, static_cast<std::size_t>(norm_partials(store.flat_size())) * sizeof(double),
                     "partial gradient norms");
  fill_zero(store.context(), first_moments_.data(), bytes);
  fill_zero(store.context(), second_moments_.data(), bytes);
}

template <class T>
void Adam::step_as(const OptimizerInputs& inputs) {
  AdamArgs<T> args;
  args.n = store_->flat_size();
  args.weights = static_cast<T*>(store_->weights());
  args.gradients = static_cast<const T*>(store_->gradients());
  args.first_moments = first_moments_.as<T>();
  args.second_moments = second_moments_.as<T>();
  args.step = inputs.step;
  args.learning_rate = inputs.learning_rate;
  args.halt = inputs.halt;
  args.gradient_norm_sq = inputs.gradient_norm_sq;
  args.partials = partials_.as<double>();
  with_context<T>(store_->context(), [&](auto& backend) { adam_step(backend, hyper_, args); });
}

void Adam::step(const OptimizerInputs& inputs) {
  store_->dtype() == DType::f64 ? step_as<double>(inputs) : step_as<float>(inputs);
}

std::vector<Optimizer::State> Adam::state() const {
  return {{"first_moment", first_moments_.data()}, {"second_moment", second_moments_.data()}};
}

}  // namespace qmse
