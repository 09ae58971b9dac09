#include "optim/sgd.h"

#include <cmath>

namespace qmse {

Sgd::Sgd(ParameterStore& store, const SgdHyper& hyper)
    : store_(&store),
      hyper_(hyper),
      partials_(store.context().memory(),
                static_cast<std::size_t>(norm_partials(store.flat_size())) * sizeof(double),
                "partial gradient norms") {
  if (!(hyper.momentum >= 0 && hyper.momentum < 1)) {
    throw ConfigError("momentum must be in [0, 1), not " + std::to_string(hyper.momentum));
  }
  if (!(hyper.weight_decay >= 0 && std::isfinite(hyper.weight_decay))) {
    throw ConfigError("weight_decay must be finite and at least 0, not " +
                      std::to_string(hyper.weight_decay));
  }
  if (hyper.nesterov && hyper.momentum == 0) throw ConfigError("nesterov needs a momentum above 0");
  if (hyper.momentum > 0) {
    const std::size_t bytes = static_cast<std::size_t>(store.flat_size()) * size_of(store.dtype());
    momenta_ = Buffer(store.context().memory(), bytes, "momenta");
    fill_zero(store.context(), momenta_.data(), bytes);
  }
}

template <class T>
void Sgd::step_as(const OptimizerInputs& inputs) {
  SgdArgs<T> args;
  args.n = store_->flat_size();
  args.weights = static_cast<T*>(store_->weights());
  args.gradients = static_cast<const T*>(store_->gradients());
  args.momenta = momenta_.as<T>();
  args.learning_rate = inputs.learning_rate;
  args.halt = inputs.halt;
  args.gradient_norm_sq = inputs.gradient_norm_sq;
  args.partials = partials_.as<double>();
  with_context<T>(store_->context(), [&](auto& backend) { sgd_step(backend, hyper_, args); });
}

void Sgd::step(const OptimizerInputs& inputs) {
  store_->dtype() == DType::f64 ? step_as<double>(inputs) : step_as<float>(inputs);
}

std::vector<Optimizer::State> Sgd::state() const {
  if (momenta_.data() == nullptr) return {};
  return {{"momentum", momenta_.data()}};
}

}  // namespace qmse
