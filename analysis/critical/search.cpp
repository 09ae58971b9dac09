#include "analysis/critical/search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "algebra/dense.h"
#include "algebra/norm.h"

namespace qmse {
namespace {

// The eigenvectors of the Hessian at one point: sum_i factor(value_i) <v_i, gradient> v_i.
class Spectrum {
 public:
  Spectrum(Mlp& network, const std::vector<double>& w, const std::vector<double>& gradient)
      : size_(w.size()),
        eigen_(symmetric_eigen(network.curvature_matrix(w), static_cast<std::int64_t>(w.size()))) {
    for (std::size_t i = 0; i < size_; ++i) {
      double along = 0;
      for (std::size_t j = 0; j < size_; ++j) along += eigen_.vectors[i * size_ + j] * gradient[j];
      along_.push_back(along);
    }
  }

  double norm() const { return std::max(std::abs(eigen_.values.front()), std::abs(eigen_.values.back())); }

  std::vector<double> moved(const std::vector<double>& w, const std::function<double(double)>& factor) const {
    std::vector<double> to = w;
    for (std::size_t i = 0; i < size_; ++i) {
      const double by = factor(eigen_.values[i]) * along_[i];
      for (std::size_t j = 0; j < size_; ++j) to[j] -= by * eigen_.vectors[i * size_ + j];
    }
    return to;
  }

 private:
  std::size_t size_;
  SymmetricEigen eigen_;
  std::vector<double> along_;
};

}  // namespace

SearchEnd find_critical_point(Mlp& network, std::vector<double> start, const SearchRule& rule) {
  constexpr int kTries = 12;
  SearchEnd end{.weights = std::move(start)};
  std::vector<double> gradient(network.parameters()), candidate_gradient(network.parameters());
  network.gradient(end.weights, gradient);
  end.gradient = norm(gradient);
  double mu = -1;
  for (; end.iterations < rule.iterations && end.gradient > rule.target && std::isfinite(end.gradient);
       ++end.iterations) {
    const Spectrum spectrum(network, end.weights, gradient);
    if (mu < 0) mu = 1e-3 * spectrum.norm() * spectrum.norm();
    bool accepted = false;
    for (int attempt = 0; attempt < kTries && !accepted; ++attempt) {
      std::vector<double> candidate = spectrum.moved(end.weights, [&](double value) {
        return mu + value * value > 0 ? value / (value * value + mu) : 0.0;
      });
      network.gradient(candidate, candidate_gradient);
      const double candidate_norm = norm(candidate_gradient);
      accepted = candidate_norm * candidate_norm < end.gradient * end.gradient * (1 - 1e-4);
      if (accepted) {
        end.weights = std::move(candidate);
        std::swap(gradient, candidate_gradient);
        end.gradient = candidate_norm;
        mu = std::max(mu / 9,
                      1e-20 * spectrum.norm() * spectrum.norm());  // zero eigenvalues stay without effect
      } else {
        mu *= 4;
      }
    }
    if (!accepted) break;
  }
  return end;
}

SearchEnd find_minimum(Mlp& network, std::vector<double> start, const SearchRule& rule) {
  SearchEnd end{.weights = std::move(start)};
  std::vector<double> gradient(network.parameters());
  double loss = network.gradient(end.weights, gradient);
  end.gradient = norm(gradient);
  for (; end.iterations < rule.iterations && end.gradient > rule.target && std::isfinite(end.gradient);
       ++end.iterations) {
    const Spectrum spectrum(network, end.weights, gradient);
    const double least = 1e-10 * spectrum.norm();
    bool accepted = false;
    for (double damping = 0; !accepted && damping < 1e6; damping = damping == 0 ? 1e-4 : 10 * damping) {
      std::vector<double> candidate = spectrum.moved(end.weights, [&](double value) {
        return 1 / (std::max(std::abs(value), least) + damping * spectrum.norm());
      });
      std::vector<double> candidate_gradient(gradient.size());
      const double candidate_loss = network.gradient(candidate, candidate_gradient);
      const double candidate_norm = norm(candidate_gradient);
      // At the end the loss falls by less than its last bit, and the gradient tells.
      accepted = candidate_loss < loss ||
                 (candidate_loss <= loss * (1 + 1e-14) && candidate_norm < 0.9 * end.gradient);
      if (!accepted) continue;
      end.weights = std::move(candidate);
      gradient = std::move(candidate_gradient);
      loss = candidate_loss;
      end.gradient = candidate_norm;
    }
    if (!accepted) break;
  }
  return end;
}

}  // namespace qmse
