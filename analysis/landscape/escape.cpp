// Ge et al.: noise on the parameters leaves strict saddles. How long it takes, against a prediction, from a
// saddle that no method without such noise leaves.
#include <algorithm>
#include <cmath>
#include <mutex>

#include <boost/math/special_functions/erf.hpp>

#include "analysis/landscape/experiment.h"
#include "analysis/landscape/problem.h"
#include "analysis/landscape/tied_saddle.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"
#include "base/error.h"

namespace qmse {
namespace {

struct Method {
  const char* name;
  DescentRule rule;
  MlpLoss loss = MlpLoss::mse;
};

// What has no noise but the samples' and the outputs'.
const std::vector<Method>& bound_methods() {
  static const std::vector<Method> all = {{"gradient descent", {}},
                                          {"momentum 0.9", {.momentum = 0.9}},
                                          {"SGD, batch 1", {.batch = 1}},
                                          {"QMSE", {}, MlpLoss::qmse}};
  return all;
}

class EscapeStudy final : public LandscapeStudy {
 public:
  EscapeStudy(const Json& settings, const std::string& data)
      : settings_(settings), problem_(make_problem(settings, data)) {
    check_different(settings, {"lr", "sigma"});
  }

  std::vector<Json> members() const override {
    std::vector<Json> members = {{{"saddle", 0}}};
    for (const double lr : numbers(settings_, "lr")) {
      for (const double sigma : numbers(settings_, "sigma")) {
        for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed)
          members.push_back({{"lr", lr}, {"sigma", sigma}, {"seed", seed}});
      }
    }
    for (const Method& method : bound_methods()) {
      for (std::int64_t seed = 1; seed <= whole(settings_, "bound_seeds"); ++seed)
        members.push_back({{"method", method.name}, {"seed", seed}});
    }
    return members;
  }

  MemberResult run(const Json& member) const override {
    const TiedSaddle& from = saddle();
    Mlp network = this->network(MlpLoss::mse);
    if (member.contains("saddle")) {
      return {.record = {{"loss", from.loss},
                         {"gradient", from.gradient},
                         {"index", from.index},
                         {"curvature", from.curvature}},
              .points = {{"saddle", describe_network(network.shape(), network.objective()), from.weights}}};
    }
    const auto seed = static_cast<std::uint64_t>(whole(member, "seed"));
    if (member.contains("method")) return bound(text(member, "method"), seed);
    const double lr = number(member, "lr"), delta = number(settings_, "delta");
    Descent descent(network, from.weights,
                    {.noise = StepNoise::sphere, .noise_scale = number(member, "sigma")}, seed);
    const std::int64_t most = whole(settings_, "steps");
    while (descent.steps() < most && !descent.done() && std::abs(along(descent.weights())) <= delta)
      descent.step(lr);
    const bool left = std::abs(along(descent.weights())) > delta;
    Json record = {{"steps", left ? Json(descent.steps()) : Json()}};
    if (seed <= 5) {  // and where it comes to rest
      const std::int64_t end = 4 * descent.steps();
      while (descent.steps() < end && !descent.done()) descent.step(lr);
      record["loss_after"] = network.loss(descent.weights());
    }
    return {.record = std::move(record)};
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &problem_.samples; }
  Json data() const override { return problem_.description; }

 private:
  Mlp network(MlpLoss loss) const {
    return Mlp({.widths = {problem_.samples.inputs, 2, problem_.samples.outputs}},
               {.loss = loss, .weight_decay = number(settings_, "weight_decay"), .slope_factors = {}},
               problem_.samples);
  }

  const TiedSaddle& saddle() const {
    std::call_once(once_, [this] {
      Mlp network = this->network(MlpLoss::mse);
      saddle_ = find_tied_saddle(network, 1);
    });
    return saddle_;
  }

  double along(const std::vector<double>& w) const {
    double sum = 0;
    for (std::size_t i = 0; i < w.size(); ++i) sum += (w[i] - saddle_.weights[i]) * saddle_.direction[i];
    return sum;
  }

  MemberResult bound(const std::string& name, std::uint64_t seed) const {
    const Method& method = *std::find_if(bound_methods().begin(), bound_methods().end(),
                                         [&](const Method& each) { return each.name == name; });
    Mlp network = this->network(method.loss);
    const double lr = numbers(settings_, "lr").front() * (method.rule.momentum > 0 ? 0.1 : 1);
    Descent descent(network, saddle().weights, method.rule, seed);
    for (std::int64_t step = 0; step < whole(settings_, "bound_steps"); ++step) descent.step(lr);
    return {.record = {{"gap", tie_gap(network.shape(), descent.weights())}, {"finite", descent.finite()}}};
  }

  // Var y_t = (lr sigma)^2 / P ((1 + lr gamma)^(2 t) - 1) / ((1 + lr gamma)^2 - 1), and P(|y_t| > delta).
  double share_left(double steps, double lr, double sigma, double gamma) const {
    const double growth = 2 * std::log1p(lr * gamma);
    const double variance = lr * lr * sigma * sigma / static_cast<double>(saddle_parameters()) *
                            std::expm1(growth * steps) / std::expm1(growth);
    return variance > 0 ? boost::math::erfc(number(settings_, "delta") / std::sqrt(2 * variance)) : 0;
  }
  double predicted_median(double lr, double sigma, double gamma) const {
    double low = 0, high = 1;
    while (share_left(high, lr, sigma, gamma) < 0.5) {
      high *= 2;
      if (high > 1e12) return NAN;
    }
    for (int i = 0; i < 100; ++i) {
      const double middle = 0.5 * (low + high);
      (share_left(middle, lr, sigma, gamma) < 0.5 ? low : high) = middle;
    }
    return high;
  }
  std::int64_t saddle_parameters() const { return network(MlpLoss::mse).shape().parameters(); }

  Json settings_;
  Problem problem_;
  mutable std::once_flag once_;
  mutable TiedSaddle saddle_;
};

Findings EscapeStudy::conclude(const std::vector<Json>& records) const {
  const std::vector<Json> all = members();
  Findings findings;
  const double gamma = -number(records.front(), "curvature");
  ReportTable table{{"step", "σ", "runs that left", "median steps", "predicted", "median / predicted"}, {}};
  Panel panel{.title = "Share that has not left",
              .x_label = "steps",
              .y_label = "share",
              .curves = {},
              .log_x = true};
  double worst = 0;
  Interval worst_interval{1, 1};
  double worst_ratio = 1;
  std::int64_t settings = 0, stuck = 0, runs = 0;
  std::vector<double> after;
  const std::int64_t seeds = whole(settings_, "seeds");
  std::size_t at = 1;
  for (const double lr : numbers(settings_, "lr")) {
    for (const double sigma : numbers(settings_, "sigma")) {
      std::vector<double> steps;
      for (std::int64_t seed = 0; seed < seeds; ++seed, ++at) {
        const Json& record = records[at];
        steps.push_back(record["steps"].is_null() ? INFINITY : record["steps"].get<double>());
        stuck += record["steps"].is_null();
        ++runs;
        if (record.contains("loss_after") && !record["loss_after"].is_null() && !record["steps"].is_null())
          after.push_back(number(record, "loss_after"));
      }
      std::sort(steps.begin(), steps.end());
      const double expected = predicted_median(lr, sigma, gamma);
      const auto ratio_of = [&](std::span<const std::int64_t> drawn) {
        std::vector<double> values;
        for (const std::int64_t i : drawn) values.push_back(steps[static_cast<std::size_t>(i)]);
        std::sort(values.begin(), values.end());
        return values[values.size() / 2] / expected;  // an order statistic: some may be infinite
      };
      std::vector<std::int64_t> everyone;
      for (std::int64_t i = 0; i < seeds; ++i) everyone.push_back(i);
      const double ratio = ratio_of(everyone);
      const auto interval = bootstrap_interval(seeds, ratio_of);
      const auto left = std::count_if(steps.begin(), steps.end(), [](double s) { return std::isfinite(s); });
      ++settings;
      const double off = std::isfinite(ratio) ? std::abs(ratio - 1) : INFINITY;
      if (off >= worst) {
        worst = off;
        worst_ratio = ratio;
        worst_interval = interval.value_or(Interval{ratio, ratio});
      }
      table.rows.push_back({number_words(lr), number_words(sigma),
                            std::to_string(left) + " of " + std::to_string(seeds),
                            number_words(ratio * expected, 4), number_words(expected, 4),
                            std::isfinite(ratio) ? interval_words(ratio, interval) : "–"});
      findings.summary.push_back({{"lr", lr},
                                  {"sigma", sigma},
                                  {"left", left},
                                  {"median", std::isfinite(ratio) ? Json(ratio * expected) : Json()},
                                  {"predicted", std::isfinite(expected) ? Json(expected) : Json()},
                                  {"ratio", std::isfinite(ratio) ? Json(ratio) : Json()}});
      const std::string label = "η = " + number_words(lr) + ", σ = " + number_words(sigma);
      Curve measured{.label = label, .x = {}, .mean = {}},
          predicted{.label = label + ", predicted", .x = {}, .mean = {}};
      for (std::size_t i = 0; i < steps.size(); ++i) {
        if (!std::isfinite(steps[i]) || steps[i] < 1) break;
        measured.x.push_back(steps[i]);
        measured.mean.push_back(1 - (static_cast<double>(i) + 0.5) / static_cast<double>(steps.size()));
        predicted.x.push_back(steps[i]);
        predicted.mean.push_back(1 - share_left(steps[i], lr, sigma, gamma));
      }
      if (measured.x.empty()) continue;
      panel.curves.push_back(std::move(measured));
      panel.curves.push_back(std::move(predicted));
    }
  }
  findings.tables.push_back(std::move(table));
  const double saddle_loss = number(records.front(), "loss");
  LandscapeVerdict leaves{.claim = "gradient descent with noise on the parameters leaves a strict saddle",
                          .criterion =
                              "every run leaves within --steps steps, and the loss then goes below the "
                              "saddle's; does not hold otherwise"};
  if (runs > 0) {
    const double highest = after.empty() ? NAN : *std::max_element(after.begin(), after.end());
    leaves.finding = stuck == 0 && highest < saddle_loss ? Finding::holds : Finding::does_not_hold;
    leaves.sentence = std::to_string(runs - stuck) + " of " + std::to_string(runs) +
                      " runs left; the loss is " + number_words(saddle_loss, 4) +
                      " at the saddle and at most " + number_words(highest, 4) +
                      " after going on for three times the steps that it took to leave (looked at for the "
                      "first five seeds of each setting).";
    leaves.statistic = {.name = "share that left",
                        .value = static_cast<double>(runs - stuck) / static_cast<double>(runs),
                        .interval = clopper_pearson(runs - stuck, runs),
                        .n = runs};
  }
  findings.verdicts.push_back(std::move(leaves));
  findings.verdicts.push_back(
      {.claim = "the median time to leave is when the linearised motion along the unstable direction is "
                "beyond δ with probability 1/2",
       .finding = worst <= 0.1 ? Finding::holds
                  : worst_interval.high < 0.9 || worst_interval.low > 1.1 || std::isinf(worst)
                      ? Finding::does_not_hold
                      : Finding::not_shown,
       .sentence =
           "measured median and prediction differ by " +
           (std::isfinite(worst) ? "at most " + number_words(100 * worst, 2) + " %"
                                 : std::string("no finite number, since half the runs did not leave,")) +
           " over " + std::to_string(settings) +
           " settings of step and σ (the curvature is −γ, γ = " + number_words(gamma) + ").",
       .statistic = {.name = "median / predicted, where it is furthest from 1",
                     .value = std::isfinite(worst_ratio) ? worst_ratio : 0,
                     .interval = std::isfinite(worst_ratio) ? std::optional(worst_interval) : std::nullopt,
                     .n = seeds},
       .criterion =
           "within 10 % for every step and σ; does not hold where the 95 % interval (bootstrap over seeds) "
           "is wholly outside"});
  std::int64_t bound = 0, apart = 0;
  double widest = 0;
  for (; at < all.size(); ++at) {
    const double gap = number(records[at], "gap");
    ++bound;
    apart += gap != 0;
    widest = std::max(widest, gap);
  }
  if (bound > 0) {
    findings.verdicts.push_back(
        {.claim = "gradient descent, momentum, SGD with batches of one and QMSE never part two units with "
                  "equal weights: they stay equal",
         .finding = apart == 0 ? Finding::exact : Finding::does_not_hold,
         .sentence = std::to_string(apart) + " of " + std::to_string(bound) + " runs of " +
                     std::to_string(whole(settings_, "bound_steps")) +
                     " steps made them different; the largest distance of the units is " +
                     number_words(widest) +
                     " (their noise acts through the outputs, which treats equal units alike).",
         .statistic = {.name = "largest distance of the units", .value = widest, .interval = {}, .n = bound},
         .criterion = "the distance is exactly 0 in every run"});
  }
  findings.notes.push_back(
      "Data: " + problem_.text +
      "; two tanh units, equal and at the minimum among such networks: "
      "a strict saddle with curvature −γ along the direction that makes them different, the unstable one; "
      "‖∇L‖ = " +
      number_words(number(records.front(), "gradient"), 2) +
      ". Noise: uniform on the sphere of radius σ (Ge et al., algorithm 1). A run has left "
      "where it is further than δ = " +
      number_words(number(settings_, "delta")) + " along that direction.");
  findings.notes.push_back(
      "Prediction: near the saddle a step η takes y, the place along the unstable direction, to (1 + ηγ) y "
      "plus the noise's part along it, of mean 0 and variance η²σ²/P, P the number of weights. After t steps "
      "y is taken as normal with variance (η²σ²/P) ((1 + ηγ)^(2t) − 1) / ((1 + ηγ)² − 1); the predicted "
      "median is the t at which |y| > δ has probability 1/2.");
  findings.figures.push_back({.title = "Leaving a strict saddle", .panels = {std::move(panel)}});
  return findings;
}

}  // namespace

LandscapeExperiment escape_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 100, 4, "classes:2");
  const std::vector<LandscapeOption> own = {
      {.name = "weight_decay",
       .help = "lambda of the penalty lambda/2 ||w||^2",
       .usual = 1e-3,
       .low = 0,
       .high = 10},
      {.name = "lr", .help = "steps η", .usual = {0.2, 0.1}, .low = 1e-9, .high = 10},
      {.name = "sigma", .help = "radius of the noise", .usual = {1e-2, 1e-4}, .low = 0, .high = 10},
      {.name = "delta",
       .help = "δ: a run that is further along the unstable direction has left",
       .usual = 0.05,
       .low = 1e-12,
       .high = 100},
      {.name = "seeds", .help = "runs of each setting", .usual = 300, .quick = 100, .low = 2, .high = 100000},
      {.name = "steps", .help = "of each, at most", .usual = 100000, .low = 1, .high = 1000000000},
      {.name = "bound_seeds",
       .help = "runs of each method without noise on the parameters",
       .usual = 3,
       .low = 0,
       .high = 10000},
      {.name = "bound_steps",
       .help = "of each",
       .usual = 20000,
       .quick = 5000,
       .low = 1,
       .high = 1000000000}};
  options.insert(options.end(), own.begin(), own.end());
  return {.name = "escape",
          .summary = "how long noise takes to leave a strict saddle (Ge et al.)",
          .statement =
              "Gradient descent with noise on every parameter leaves strict saddles, in a time that grows "
              "with the logarithm of 1/σ, σ the size of the noise.",
          .source = "Ge, Huang, Jin & Yuan (2015), algorithm 1; Jin et al. (2017)",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<EscapeStudy>(settings, data);
          }};
}

}  // namespace qmse
