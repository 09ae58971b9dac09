// The loss of a network as a function of its parameters: of the small networks of analysis/mlp, with exact
// products, and of the models of `qmse train` (model_loss.h). What tools ask of either.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "algebra/lanczos.h"
#include "analysis/mlp/mlp.h"

namespace qmse {

// All vectors have as many numbers as there are parameters (ShapeError). Not for several threads at once.
class LossSurface {
 public:
  virtual ~LossSurface() = default;
  virtual std::size_t parameters() const = 0;
  virtual double loss(std::span<const double> w) = 0;
  virtual double gradient(std::span<const double> w, std::span<double> gradient) = 0;  // returns the loss
  virtual void curvature_product(std::span<const double> w, std::span<const double> direction,
                                 std::span<double> product, Mlp::Curvature curvature) = 0;
  // Whether the products are exact where the loss is twice differentiable; else they are differences.
  virtual bool exact() const = 0;
};

class MlpSurface final : public LossSurface {
 public:
  // As Mlp. `samples` must outlive it.
  MlpSurface(MlpShape shape, MlpObjective objective, const Samples& samples)
      : network_(std::move(shape), std::move(objective), samples) {}

  Mlp& network() { return network_; }
  std::size_t parameters() const override { return network_.parameters(); }
  double loss(std::span<const double> w) override { return network_.loss(w); }
  double gradient(std::span<const double> w, std::span<double> gradient) override {
    return network_.gradient(w, gradient);
  }
  void curvature_product(std::span<const double> w, std::span<const double> direction,
                         std::span<double> product, Mlp::Curvature curvature) override {
    network_.curvature_products(w, 1, direction, product, curvature);
  }
  bool exact() const override { return true; }

 private:
  Mlp network_;
};

// For extreme_eigenpairs() and spectral_nodes(). `surface` and `w` must outlive it.
inline SymmetricProduct curvature_of(LossSurface& surface, std::span<const double> w,
                                     Mlp::Curvature curvature = Mlp::Curvature::hessian) {
  return [&surface, w, curvature](std::span<const double> in, std::span<double> out) {
    surface.curvature_product(w, in, out, curvature);
  };
}

}  // namespace qmse
