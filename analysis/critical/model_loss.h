// The loss of a model of `qmse train` (an MLP or the CNN) over a set of images, in f64 on the CPU. The tape
// has no second derivatives, so the products are central differences of exact gradients: wrong where one of
// the two points lies beyond a kink of a ReLU or of max-pooling, and exact to some 1e-7 elsewhere. A fully
// connected network has exact ones: exact_form().
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "analysis/critical/loss_surface.h"
#include "engine/batch_pass.h"
#include "engine/parameters.h"
#include "experiment/run/model_description.h"

namespace qmse {

// The parameters of a store of f64 on the CPU, one after the other, without its padding.
std::vector<double> flat_weights(const ParameterStore& store);

// Vectors are laid out as flat_weights().
class ModelLoss final : public LossSurface {
 public:
  // The mean over all samples of `data`, without weight decay. Works on the weights in `store`, which are
  // those of the last call afterwards. Everything must outlive it. ConfigError for a loss that draws random
  // numbers and for a context that is not the CPU's; ShapeError as BatchPass.
  ModelLoss(Context& context, const Sequential& model, ParameterStore& store,
            const ResidentData<double>& data, const Loss& loss);
  ~ModelLoss() override;

  std::size_t parameters() const override { return size_; }
  double loss(std::span<const double> w) override;
  double gradient(std::span<const double> w, std::span<double> gradient) override;
  // Hessian: from the gradients at w +- kReach direction / ||direction||. Gauss-Newton, that is
  // (1/N) sum_n D_n^T M_n D_n direction with the outputs' Jacobian D and the loss's Hessian M in the outputs:
  // D and M by differences, D^T by an exact backward pass.
  void curvature_product(std::span<const double> w, std::span<const double> direction,
                         std::span<double> product, Mlp::Curvature curvature) override;
  bool exact() const override { return false; }

  static constexpr double kReach = 1e-6;

 private:
  class Part;

  void move_to(std::span<const double> w, double by = 0, std::span<const double> direction = {});
  double gradient_here(std::span<double> gradient);
  void add_gradients(double factor, std::span<double> to) const;
  void add_gauss_newton(std::span<const double> w, double reach, std::span<const double> direction,
                        std::span<double> product);

  ParameterStore& store_;
  std::size_t size_ = 0;
  std::int64_t samples_;
  std::vector<std::unique_ptr<Part>> parts_;  // whole batches, and what is left
};

// The same network and data as an Mlp and its samples, whose weights in order are flat_weights(), where there
// is one: a fully connected model, and the loss mse with reduction batch_mean.
struct ExactForm {
  MlpShape shape;
  Samples samples;
};
std::optional<ExactForm> exact_form(const ModelDescription& model, const ResidentData<double>& data,
                                    std::string_view loss, Reduction reduction);

}  // namespace qmse
