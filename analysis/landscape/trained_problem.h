// A network at a minimum of its loss, where experiments on SGD begin.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "analysis/landscape/problem.h"
#include "analysis/mlp/mlp.h"

namespace qmse {

// Where a network begins:
//   minimum   gradient descent, then Newton steps to a gradient of 1e-9
//   descent   gradient descent alone
//   random    random weights
enum class ProblemStart { minimum, descent, random };
constexpr std::array<Choice<ProblemStart>, 3> choices(ProblemStart) {
  return {{{ProblemStart::minimum, "minimum"},
           {ProblemStart::descent, "descent"},
           {ProblemStart::random, "random"}}};
}

// What the network is, unless a person says otherwise: of tanh units, with MSE.
struct SmallNetwork {
  std::vector<std::int64_t> hidden = {8};
  ProblemStart start = ProblemStart::minimum;
  double weight_decay = 1e-3;
};

// hidden, activation, loss, weight_decay, start, pretraining.
std::vector<LandscapeOption> trained_problem_options(const SmallNetwork& usual = {});

class TrainedProblem {
 public:
  TrainedProblem(const Json& settings, const std::string& data);

  const Problem& problem() const { return problem_; }
  ProblemStart kind_of_start() const { return kind_of_start_; }
  Mlp network() const;
  // Computed once; may be called from several threads.
  const std::vector<double>& start() const;
  bool at_minimum() const;
  // The same from the initial weights of another seed, computed now; start() is seed 1. `seen`, where given, is
  // shown the weights before the descent, after every `every` steps of it, and at the end.
  std::vector<double> start_from(std::uint64_t seed, std::int64_t every = 0,
                                 const std::function<void(const std::vector<double>&)>& seen = {}) const;
  double start_loss() const;

 private:
  void compute() const;

  Json settings_;
  Problem problem_;
  ProblemStart kind_of_start_;
  MlpShape shape_;
  MlpObjective objective_;
  mutable std::once_flag once_;
  mutable std::vector<double> start_;
  mutable double gradient_ = 0, loss_ = 0;
};

}  // namespace qmse
