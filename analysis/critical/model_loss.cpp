#include "analysis/critical/model_loss.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "algebra/norm.h"
#include "base/error.h"
#include "base/parse_choice.h"
#include "losses/losses.h"

namespace qmse {
namespace {

constexpr std::int64_t kBatch = 256;

}  // namespace

// Batches of one size. Host and device are the same memory: the CPU's.
class ModelLoss::Part {
 public:
  Part(Context& context, const Sequential& model, ParameterStore& store, const ResidentData<double>& data,
       const Loss& loss, std::int64_t first, std::int64_t batch, std::int64_t batches)
      : context_(context),
        loss_(loss),
        first_(first),
        batches_(batches),
        pass_(context, [&](Tape& tape, Value input) { return model.record(tape, store, input); }, data, loss,
              batch, {}),
        order_(static_cast<std::size_t>(first + batch * batches)),
        loss_gradient_(static_cast<std::size_t>(batch * data.classes)),
        sample_loss_(static_cast<std::size_t>(batch)),
        residual_sq_(static_cast<std::size_t>(batch)),
        correct_(static_cast<std::size_t>(batch)) {
    std::iota(order_.begin(), order_.end(), 0U);
  }

  std::int64_t batch() const { return pass_.batch(); }
  std::int64_t batches() const { return batches_; }

  // Sum of losses; the gradients of the batch's mean are in the store.
  double train(std::int64_t number) {
    const auto first = static_cast<std::uint64_t>(first_ + number * batch());
    pass_.train(order_.data(), &first, &step_);
    return std::accumulate(pass_.sample_loss(), pass_.sample_loss() + batch(), 0.0);
  }

  // The same without gradients.
  double evaluate(std::int64_t number) {
    const auto first = static_cast<std::uint64_t>(first_ + number * batch());
    pass_.evaluate(order_.data(), &first);
    return std::accumulate(pass_.sample_loss(), pass_.sample_loss() + batch(), 0.0);
  }

  std::vector<double> outputs() {
    const auto* at = pass_.tape().data_as<double>(pass_.output());
    return {at, at + loss_gradient_.size()};
  }

  // After train(): D^T M tangent of the batch's mean, into the store's gradients.
  void backward_of_tangent(const std::vector<double>& tangent) {
    Tape& tape = pass_.tape();
    const auto* output = tape.data_as<double>(pass_.output());
    const double length = norm(tangent), reach = length > 0 ? kReach / length : 0;
    std::vector<double> there(tangent.size()), ahead;
    for (const double side : {1.0, -1.0}) {
      for (std::size_t i = 0; i < there.size(); ++i) there[i] = output[i] + side * reach * tangent[i];
      LossBatch batch;
      batch.dtype = DType::f64;
      batch.batch = pass_.batch();
      batch.classes = static_cast<std::int64_t>(there.size()) / pass_.batch();
      batch.output = there.data();
      batch.labels = pass_.labels();
      batch.gradient = loss_gradient_.data();
      batch.sample_loss = sample_loss_.data();
      batch.residual_sq = residual_sq_.data();
      batch.correct = correct_.data();
      loss_.run(context_, batch);
      if (side > 0) ahead = loss_gradient_;
    }
    auto* gradient = static_cast<double*>(tape.gradient(pass_.output()));
    for (std::size_t i = 0; i < there.size(); ++i)
      gradient[i] = reach > 0 ? (ahead[i] - loss_gradient_[i]) / (2 * reach) : 0;
    tape.backward(pass_.output());
  }

 private:
  Context& context_;
  const Loss& loss_;
  std::int64_t first_, batches_;
  BatchPass<double> pass_;
  std::vector<std::uint32_t> order_;
  std::uint64_t step_ = 0;
  std::vector<double> loss_gradient_, sample_loss_, residual_sq_;
  std::vector<std::int32_t> correct_;
};

std::vector<double> flat_weights(const ParameterStore& store) {
  std::vector<double> all;
  for (std::size_t i = 0; i < store.size(); ++i) {
    const auto* at = static_cast<const double*>(store.weights(i));
    all.insert(all.end(), at, at + store.spec(i).shape.count());
  }
  return all;
}

ModelLoss::ModelLoss(Context& context, const Sequential& model, ParameterStore& store,
                     const ResidentData<double>& data, const Loss& loss)
    : store_(store), size_(static_cast<std::size_t>(store.parameter_count())), samples_(data.samples) {
  if (context.is_cuda()) throw ConfigError("curvature is computed on the CPU: take --device cpu");
  if (const LossKind* kind = find_loss(loss.name()); kind != nullptr && kind->draws) {
    throw ConfigError("the loss " + std::string(loss.name()) +
                      " draws random numbers, so that it has no Hessian: take --loss mse or qmse_expected");
  }
  const std::int64_t whole = data.samples / kBatch, rest = data.samples % kBatch;
  const auto add = [&](std::int64_t first, std::int64_t batch, std::int64_t batches) {
    parts_.push_back(std::make_unique<Part>(context, model, store, data, loss, first, batch, batches));
  };
  if (whole > 0) add(0, kBatch, whole);
  if (rest > 0 || whole == 0) add(whole * kBatch, rest, 1);
}

ModelLoss::~ModelLoss() = default;

// w + by * direction into the store.
void ModelLoss::move_to(std::span<const double> w, double by, std::span<const double> direction) {
  if (w.size() != size_) throw ShapeError("a model is given as many numbers as it has parameters");
  std::size_t at = 0;
  for (std::size_t i = 0; i < store_.size(); ++i) {
    auto* to = static_cast<double*>(store_.weights(i));
    for (std::int64_t k = 0; k < store_.spec(i).shape.count(); ++k, ++at)
      to[k] = direction.empty() ? w[at] : w[at] + by * direction[at];
  }
}

void ModelLoss::add_gradients(double factor, std::span<double> to) const {
  std::size_t at = 0;
  for (std::size_t i = 0; i < store_.size(); ++i) {
    const auto* from = static_cast<const double*>(store_.gradients(i));
    for (std::int64_t k = 0; k < store_.spec(i).shape.count(); ++k, ++at) to[at] += factor * from[k];
  }
}

double ModelLoss::gradient_here(std::span<double> gradient) {
  std::fill(gradient.begin(), gradient.end(), 0.0);
  double loss = 0;
  for (const std::unique_ptr<Part>& part : parts_) {
    for (std::int64_t number = 0; number < part->batches(); ++number) {
      loss += part->train(number);
      add_gradients(static_cast<double>(part->batch()) / static_cast<double>(samples_), gradient);
    }
  }
  return loss / static_cast<double>(samples_);
}

double ModelLoss::gradient(std::span<const double> w, std::span<double> gradient) {
  if (gradient.size() != size_) throw ShapeError("a gradient has as many numbers as there are parameters");
  move_to(w);
  return gradient_here(gradient);
}

double ModelLoss::loss(std::span<const double> w) {
  move_to(w);
  double loss = 0;
  for (const std::unique_ptr<Part>& part : parts_) {
    for (std::int64_t number = 0; number < part->batches(); ++number) loss += part->evaluate(number);
  }
  return loss / static_cast<double>(samples_);
}

void ModelLoss::curvature_product(std::span<const double> w, std::span<const double> direction,
                                  std::span<double> product, Mlp::Curvature curvature) {
  if (direction.size() != size_ || product.size() != size_)
    throw ShapeError("curvature products take vectors of as many numbers as there are parameters");
  std::fill(product.begin(), product.end(), 0.0);
  const double length = norm(direction);
  if (length == 0) return;
  const double reach = kReach / length;
  if (curvature == Mlp::Curvature::gauss_newton) {
    add_gauss_newton(w, reach, direction, product);
    return;
  }
  std::vector<double> behind(size_);
  move_to(w, reach, direction);
  gradient_here(product);
  move_to(w, -reach, direction);
  gradient_here(behind);
  for (std::size_t i = 0; i < size_; ++i) product[i] = (product[i] - behind[i]) / (2 * reach);
}

void ModelLoss::add_gauss_newton(std::span<const double> w, double reach, std::span<const double> direction,
                                 std::span<double> product) {
  for (const std::unique_ptr<Part>& part : parts_) {
    for (std::int64_t number = 0; number < part->batches(); ++number) {
      move_to(w, reach, direction);
      part->evaluate(number);
      std::vector<double> tangent = part->outputs();
      move_to(w, -reach, direction);
      part->evaluate(number);
      const std::vector<double> behind = part->outputs();
      for (std::size_t i = 0; i < tangent.size(); ++i) tangent[i] = (tangent[i] - behind[i]) / (2 * reach);
      move_to(w);
      part->train(number);
      part->backward_of_tangent(tangent);
      add_gradients(static_cast<double>(part->batch()) / static_cast<double>(samples_), product);
    }
  }
}

std::optional<ExactForm> exact_form(const ModelDescription& model, const ResidentData<double>& data,
                                    std::string_view loss, Reduction reduction) {
  if (!find_model(model.model)->fully_connected || find_choice<MlpLoss>(loss) != MlpLoss::mse ||
      reduction != Reduction::batch_mean)
    return std::nullopt;
  const TrainConfig config = config_of(model);
  ExactForm form;
  const std::int64_t pixels = model.input.count(), channel = pixels / data.sample_shape[0];
  form.shape.widths = layer_widths(pixels, config.mlp_widths, model.classes);
  form.shape.activation = parse_choice<HiddenActivation>(name(config.activation), "activation");
  form.samples = make_samples(data.samples, pixels, model.classes);
  for (std::int64_t n = 0; n < data.samples; ++n) {
    for (std::int64_t k = 0; k < pixels; ++k) {
      form.samples.input(n, k) = static_cast<double>(data.images[n * pixels + k]) * data.scale[k / channel] +
                                 data.shift[k / channel];
    }
    form.samples.target(n, data.labels[n]) = 1;
  }
  return form;
}

}  // namespace qmse
