#include "analysis/landscape/trained_problem.h"

#include <cmath>

#include "algebra/norm.h"
#include "analysis/critical/search.h"
#include "analysis/mlp/descent.h"
#include "analysis/mlp/glorot.h"
#include "base/error.h"

namespace qmse {
namespace {

constexpr std::int64_t kMaxNewtonParameters = 2000;

}  // namespace

std::vector<LandscapeOption> trained_problem_options(const SmallNetwork& usual) {
  return {
      {.name = "hidden",
       .help = "widths of the hidden layers",
       .usual = usual.hidden,
       .low = 1,
       .high = 1000},
      choice_option("activation", "of hidden units", HiddenActivation::tanh),
      choice_option("loss", "mse or bce (of a logit)", MlpLoss::mse, {MlpLoss::mse, MlpLoss::bce}),
      {.name = "weight_decay",
       .help = "lambda of the penalty lambda/2 ||w||^2",
       .usual = usual.weight_decay,
       .low = 0,
       .high = 10},
      choice_option("start", "minimum: descent and Newton steps; descent alone; random", usual.start),
      {.name = "pretraining", .help = "steps of that descent", .usual = 3000, .low = 0, .high = 100000000},
      {.name = "pretraining_lr", .help = "its step", .usual = 0.1, .low = 1e-9, .high = 1000},
      {.name = "pretraining_momentum", .help = "its momentum", .usual = 0.9, .low = 0, .high = 0.999}};
}

TrainedProblem::TrainedProblem(const Json& settings, const std::string& data)
    : settings_(settings),
      problem_(make_problem(settings, data)),
      kind_of_start_(chosen<ProblemStart>(settings, "start")) {
  shape_.widths = layer_widths(problem_.samples.inputs, wholes(settings, "hidden"), problem_.samples.outputs);
  shape_.activation = chosen<HiddenActivation>(settings, "activation");
  objective_.loss = chosen<MlpLoss>(settings, "loss");
  objective_.weight_decay = number(settings, "weight_decay");
  if (kind_of_start_ == ProblemStart::minimum &&
      (shape_.parameters() > kMaxNewtonParameters || shape_.activation == HiddenActivation::relu ||
       shape_.activation == HiddenActivation::leaky_relu)) {
    throw ConfigError(
        "--start minimum needs a smooth activation and at most 2000 parameters (this network has " +
        std::to_string(shape_.parameters()) + "): take --start descent");
  }
}

Mlp TrainedProblem::network() const { return Mlp(shape_, objective_, problem_.samples); }

std::vector<double> TrainedProblem::start_from(
    std::uint64_t seed, std::int64_t every,
    const std::function<void(const std::vector<double>&)>& seen) const {
  Mlp network = this->network();
  std::vector<double> w = glorot_weights(shape_, seed);
  if (seen) seen(w);
  if (kind_of_start_ == ProblemStart::random) return w;
  Descent descent(network, std::move(w), {.momentum = number(settings_, "pretraining_momentum")}, 1);
  const std::int64_t steps = whole(settings_, "pretraining");
  for (std::int64_t step = 1; step <= steps; ++step) {
    descent.step(number(settings_, "pretraining_lr"));
    if (seen && every > 0 && step % every == 0 && step < steps) seen(descent.weights());
  }
  w = descent.weights();
  if (kind_of_start_ == ProblemStart::minimum)
    w = find_minimum(network, std::move(w), {.iterations = 200, .target = 1e-9}).weights;
  if (seen) seen(w);
  return w;
}

void TrainedProblem::compute() const {
  Mlp network = this->network();
  std::vector<double> w = start_from(1);
  std::vector<double> gradient(network.parameters());
  loss_ = network.gradient(w, gradient);
  gradient_ = norm(gradient);
  start_ = std::move(w);
}

const std::vector<double>& TrainedProblem::start() const {
  std::call_once(once_, [this] { compute(); });
  return start_;
}

bool TrainedProblem::at_minimum() const {
  return start(), kind_of_start_ == ProblemStart::minimum && gradient_ < 1e-8;
}

double TrainedProblem::start_loss() const { return start(), loss_; }

}  // namespace qmse
