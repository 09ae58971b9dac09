// Soudry and Carmon; the thesis' experiment 1: where does gradient descent end, by width?
#include <algorithm>
#include <cmath>
#include <utility>

#include "analysis/critical/kinks.h"
#include "analysis/landscape/width.h"
#include "analysis/landscape/width_study.h"
#include "analysis/mlp/descent.h"
#include "analysis/mlp/gpu_ensemble.h"
#include "base/error.h"
#include "random/random_stream.h"

namespace qmse {
namespace {

// A list with an entry for each number of hidden layers; the last one stands for all beyond.
template <class T>
T by_depth(const std::vector<T>& list, std::int64_t depth) {
  return list[static_cast<std::size_t>(std::min<std::int64_t>(depth, static_cast<std::int64_t>(list.size())) -
                                       1)];
}

}  // namespace

WidthStudy::WidthStudy(const Json& settings, const std::string& data)
    : settings_(settings),
      problem_(make_problem(settings, data)),
      widths_(wholes(settings, "widths")),
      depths_(wholes(settings, "hidden_layers")),
      activation_(chosen<HiddenActivation>(settings, "activation")),
      loss_(chosen<MlpLoss>(settings, "loss")),
      schedule_(chosen<WidthSchedule>(settings, "schedule")),
      noise_(number(settings, "slope_noise")) {
  std::sort(widths_.begin(), widths_.end());
  check_different(settings, {"widths", "hidden_layers"});
  if (loss_ == MlpLoss::bce) {
    for (const double y : problem_.samples.y) {
      if (y < 0 || y > 1)
        throw ConfigError("--loss bce needs targets from 0 to 1; labels random and parity are -1 or 1");
    }
  }
  if (noise_ > 0) {
    std::int64_t units = 0;
    for (const std::int64_t depth : depths_) units = std::max(units, depth * widths_.back());
    factors_.resize(static_cast<std::size_t>(units * problem_.samples.stride), 1.0);
    RandomStream random(static_cast<std::uint64_t>(whole(settings, "data_seed")), RandomPurpose::problem, 3);
    for (std::int64_t row = 0; row < units; ++row) {
      for (std::int64_t n = 0; n < problem_.samples.count; ++n)
        factors_[static_cast<std::size_t>(row * problem_.samples.stride + n)] += noise_ * random.normal();
    }
  }
  double squares = 0, share = 0;
  const Samples& samples = problem_.samples;
  for (std::int64_t o = 0; o < samples.outputs; ++o) {
    const double mean = mean_target(samples, o);
    for (std::int64_t n = 0; n < samples.count; ++n) squares += std::pow(samples.target(n, o) - mean, 2);
    if (mean > 0 && mean < 1) share -= mean * std::log(mean) + (1 - mean) * std::log(1 - mean);
  }
  constant_loss_ = loss_ == MlpLoss::bce ? share : squares / 2 / static_cast<double>(samples.count);
  if (has_trap()) network(1, widths_.back(), false);  // its sizes are checked here
}

std::vector<Json> WidthStudy::members() const {
  std::vector<Json> members;
  if (has_trap()) members.push_back({{"trap", widths_.back()}});
  for (const std::int64_t depth : depths_) {
    for (const std::int64_t width : widths_) {
      for (std::int64_t seed = 1; seed <= by_depth(wholes(settings_, "seeds"), depth); ++seed)
        members.push_back({{"hidden_layers", depth}, {"width", width}, {"seed", seed}});
    }
  }
  return members;
}

MemberResult WidthStudy::run(const Json& member) const {
  if (member.contains("trap")) {
    Mlp trapped = network(1, whole(member, "trap"), false);
    return examined(trapped, affine_trap(trapped, 1), 0, true);
  }
  const std::int64_t depth = whole(member, "hidden_layers"), width = whole(member, "width");
  Mlp trained = network(depth, width, noise_ > 0);
  Descent descent(trained, start(member), {.momentum = number(settings_, "momentum")},
                  static_cast<std::uint64_t>(whole(member, "seed")));
  if (schedule_ == WidthSchedule::thesis) {
    const std::int64_t steps = whole(settings_, "steps");
    ThesisSchedule next(by_depth(numbers(settings_, "lr"), depth), steps, 2 * steps,
                        by_depth(numbers(settings_, "plateau_delta"), depth));
    double length = next.next(trained.loss(descent.weights()));
    while (length > 0 && !descent.done()) {
      descent.step(length);
      length = next.next(descent.loss());
    }
  } else {
    for (const double length : step_lengths(depth)) {
      if (descent.done()) break;
      descent.step(length);
    }
  }
  return examined(trained, descent.weights(), descent.steps(), descent.finite());
}

std::vector<double> WidthStudy::start(const Json& member) const {
  const std::int64_t depth = whole(member, "hidden_layers"), width = whole(member, "width");
  const auto seed = static_cast<std::uint64_t>(whole(member, "seed"));
  const Mlp plain = network(depth, width, false);
  return chosen<WidthStart>(settings_, "start") == WidthStart::trap
             ? affine_trap(plain, seed)
             : initial_weights(plain.shape(), depth, seed);
}

std::vector<double> WidthStudy::step_lengths(std::int64_t depth) const {
  const std::int64_t steps = whole(settings_, "steps");
  const auto constant = static_cast<std::int64_t>(0.6 * static_cast<double>(steps));
  const double factor =
      std::pow(1e-6, 1.0 / static_cast<double>(std::max<std::int64_t>(steps - constant, 1)));
  const bool decays = schedule_ == WidthSchedule::decay;
  std::vector<double> lengths;
  double length = by_depth(numbers(settings_, "lr"), depth);
  for (std::int64_t step = 0; step < steps; ++step) {
    if (decays && step >= constant) length *= factor;
    lengths.push_back(length);
  }
  return lengths;
}

std::vector<MemberResult> WidthStudy::run_on_gpu(CudaContext& gpu, std::span<const Json> members,
                                                 const std::function<bool()>& go_on) const {
  if (schedule_ == WidthSchedule::thesis) {
    throw ConfigError(
        "--device cuda: with --schedule thesis each step's length depends on the loss before it; such "
        "descents "
        "run on the CPU");
  }
  constexpr std::size_t kStepsOfLaunch = 1000;  // some tens of milliseconds
  std::vector<GpuEnsemble::Member> descents;
  std::vector<std::vector<double>> lengths;
  for (const Json& member : members) {
    if (member.contains("trap")) continue;  // nothing is trained
    const std::int64_t depth = whole(member, "hidden_layers");
    const Mlp network = this->network(depth, whole(member, "width"), noise_ > 0);
    descents.push_back({.shape = network.shape(),
                        .objective = network.objective(),
                        .weights = start(member),
                        .rule = {.momentum = number(settings_, "momentum")},
                        .seed = static_cast<std::uint64_t>(whole(member, "seed"))});
    lengths.push_back(step_lengths(depth));
  }
  std::vector<GpuEnsemble::State> ends;
  if (!descents.empty()) {
    GpuEnsemble ensemble(gpu, problem_.samples, descents);
    const std::size_t steps = lengths.front().size();
    for (std::size_t begin = 0; begin < steps && !ensemble.all_done(); begin += kStepsOfLaunch) {
      if (!go_on()) return {};
      const std::size_t end = std::min(begin + kStepsOfLaunch, steps);
      std::vector<std::vector<double>> now;
      for (const std::vector<double>& all : lengths) {
        now.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(begin),
                         all.begin() + static_cast<std::ptrdiff_t>(end));
      }
      ensemble.advance(now);
    }
    ends = ensemble.states();
  }
  std::vector<MemberResult> results;
  std::size_t next = 0;
  for (const Json& member : members) {
    if (member.contains("trap")) {
      results.push_back(run(member));
      continue;
    }
    const GpuEnsemble::State& end = ends[next++];
    Mlp trained = network(whole(member, "hidden_layers"), whole(member, "width"), noise_ > 0);
    results.push_back(examined(trained, end.weights, end.steps, end.finite));
  }
  return results;
}

bool WidthStudy::has_trap() const {
  return loss_ == MlpLoss::mse && is_piecewise_linear(activation_) &&
         activation_ != HiddenActivation::identity && problem_.samples.outputs == 1 &&
         number(settings_, "weight_decay") == 0 &&
         std::find(depths_.begin(), depths_.end(), 1) != depths_.end();
}

Mlp WidthStudy::network(std::int64_t depth, std::int64_t width, bool with_noise) const {
  const std::vector<std::int64_t> hidden(static_cast<std::size_t>(depth), width);
  MlpShape shape{.widths = layer_widths(problem_.samples.inputs, hidden, problem_.samples.outputs),
                 .activation = activation_,
                 .leak = number(settings_, "leak")};
  MlpObjective objective{
      .loss = loss_, .weight_decay = number(settings_, "weight_decay"), .slope_factors = {}};
  if (with_noise) {
    objective.slope_factors.assign(factors_.begin(),
                                   factors_.begin() + depth * width * problem_.samples.stride);
  }
  return Mlp(std::move(shape), std::move(objective), problem_.samples);
}

std::vector<double> WidthStudy::initial_weights(const MlpShape& shape, std::int64_t depth,
                                                std::uint64_t seed) const {
  RandomStream random(seed, RandomPurpose::initial_weights);
  std::vector<double> w(static_cast<std::size_t>(shape.parameters()));
  if (chosen<WidthInit>(settings_, "init") == WidthInit::uniform) {
    const double reach = by_depth(numbers(settings_, "init_range"), depth);
    for (double& value : w) value = random.uniform(-reach, reach);
    return w;
  }
  // He et al.: weights N(0, 2 / inputs), of the last layer N(0, 1 / inputs); hidden biases N(0, 1/4).
  for (std::int64_t layer = 1; layer <= shape.layers(); ++layer) {
    const bool last = layer == shape.layers();
    const auto in = static_cast<double>(shape.widths[static_cast<std::size_t>(layer - 1)]);
    for (std::int64_t i = shape.weight_offset(layer); i < shape.bias_offset(layer); ++i)
      w[static_cast<std::size_t>(i)] = std::sqrt((last ? 1.0 : 2.0) / in) * random.normal();
    for (std::int64_t i = shape.bias_offset(layer); i < shape.weight_offset(layer + 1); ++i)
      w[static_cast<std::size_t>(i)] = last ? 0.0 : 0.5 * random.normal();
  }
  return w;
}

MemberResult WidthStudy::examined(Mlp& network, const std::vector<double>& w, std::int64_t steps,
                                  bool finite) {
  if (!finite) return {.record = {{"loss", nullptr}, {"steps", steps}}, .points = {}};
  const KinkReport kinks = examine_kinks(network, w);
  MemberResult result;
  result.record = {
      {"loss", network.loss(w)},
      {"gradient", kinks.gradient},
      {"clarke", kinks.clarke ? Json(*kinks.clarke) : Json(nullptr)},
      {"kinks", kinks.kinks},
      {"min_pre_activation", kinks.min_pre_activation},
      {"rank_ax", kinks.rank},
      {"smallest_singular_ax", kinks.smallest_singular ? Json(*kinks.smallest_singular) : Json(nullptr)},
      {"steps", steps}};
  result.points = {{"end", describe_network(network.shape(), network.objective()), w}};
  return result;
}

namespace {

std::vector<LandscapeOption> options() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 100, 10, "random");
  const std::vector<LandscapeOption> own = {
      {.name = "widths",
       .help = "of each hidden layer",
       .usual = {1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30},
       .quick = {1, 2, 3, 5, 8, 10, 12, 15, 20},
       .low = 1,
       .high = 1000},
      {.name = "hidden_layers",
       .help = "numbers of hidden layers",
       .usual = Json::array({1}),
       .low = 1,
       .high = 8},
      {.name = "seeds",
       .help = "starts of each width (a list: one entry for each number of hidden layers)",
       .usual = Json::array({50}),
       .quick = Json::array({20}),
       .low = 1,
       .high = 10000},
      choice_option("activation", "of hidden units", HiddenActivation::leaky_relu,
                    {HiddenActivation::leaky_relu, HiddenActivation::relu, HiddenActivation::tanh,
                     HiddenActivation::sigmoid}),
      {.name = "leak", .help = "slope of leaky_relu below 0", .usual = 0.1, .low = 0, .high = 1},
      choice_option("loss", "mse or bce (of a logit)", MlpLoss::mse, {MlpLoss::mse, MlpLoss::bce}),
      {.name = "weight_decay",
       .help = "lambda of the penalty lambda/2 ||w||^2",
       .usual = 0.0,
       .low = 0,
       .high = 10},
      {.name = "slope_noise",
       .help = "s: slopes of units times 1 + s N(0,1), fixed for each unit and sample",
       .usual = 0.0,
       .low = 0,
       .high = 10},
      choice_option("start", "random, or trap: the affine trap", WidthStart::random),
      choice_option("init", "he, or uniform within --init-range", WidthInit::he),
      {.name = "init_range",
       .help = "of --init uniform (a list, as --seeds)",
       .usual = Json::array({1.0}),
       .low = 0,
       .high = 1e6},
      {.name = "momentum",
       .help = "of gradient descent on all samples",
       .usual = 0.9,
       .low = 0,
       .high = 0.999},
      {.name = "lr",
       .help = "step size (a list, as --seeds)",
       .usual = Json::array({0.05}),
       .low = 1e-12,
       .high = 1e6},
      {.name = "steps",
       .help = "of descent; with --schedule thesis, of its first part",
       .usual = 40000,
       .quick = 20000,
       .low = 1,
       .high = 100000000},
      choice_option("schedule",
                    "decay: constant for 60 %, then falling to lr 1e-6; constant; thesis: Keras' callbacks",
                    WidthSchedule::decay),
      {.name = "plateau_delta",
       .help =
           "of --schedule thesis: the step is halved where the loss has not fallen by more than this for 40 "
           "steps (a list, as --seeds); Keras' default is 0.0001",
       .usual = Json::array({1e-4}),
       .low = 0,
       .high = 1}};
  options.insert(options.end(), own.begin(), own.end());
  return options;
}

}  // namespace

LandscapeExperiment width_experiment() {
  return {.name = "width",
          .summary = "the spread of local minima against width (Soudry–Carmon; the thesis' experiment 1)",
          .statement =
              "With one hidden layer of leaky ReLUs and d₀d₁ ≥ N every differentiable local minimum has zero "
              "training "
              "error, for almost all data and almost all noise on the slopes. From random starts the end "
              "points of "
              "gradient descent spread less, the wider the network is.",
          .source =
              "Soudry & Carmon, No bad local minima (2016); Soudry & Hoffer (2017); Fleischmann's thesis, "
              "experiment 1",
          .options = options(),
          .presets = {{.name = "thesis",
                       .help = "the thesis' experiment 1: its 100 points, BCE, 1 to 3 hidden layers, its "
                               "published results beside it",
                       .settings = {{"data_set", "circles"},
                                    {"labels", "given"},
                                    {"samples", 100},
                                    {"inputs", 2},
                                    {"widths", {1, 2, 3, 4, 5, 10, 15, 20, 30, 40, 50, 75, 100}},
                                    {"hidden_layers", {1, 2, 3}},
                                    {"seeds", {50, 15, 15}},
                                    {"loss", "bce"},
                                    {"init", "uniform"},
                                    {"init_range", {100.0, 1.0, 1.0}},
                                    {"momentum", 0.0},
                                    {"lr", {1.0, 0.5, 0.1}},
                                    {"steps", 40000},
                                    {"schedule", "thesis"}}}},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<WidthStudy>(settings, data);
          },
          .gpu = true};
}

}  // namespace qmse
