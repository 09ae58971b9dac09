// Gradient descent with a fixed step and the sharpness along it: the largest eigenvalue of the Hessian rises
// until it is where descent on a quadratic would become unstable, and stays there.
#include <algorithm>
#include <cmath>

#include "analysis/critical/loss_surface.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/trained_problem.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"
#include "analysis/mlp/glorot.h"
#include "base/error.h"

namespace qmse {
namespace {

class EdgeStudy final : public LandscapeStudy {
 public:
  EdgeStudy(const Json& settings, const std::string& data) : settings_(settings), trained_(settings, data) {
    if (whole(settings, "every") > whole(settings, "steps"))
      throw ConfigError("--every is more than --steps: the sharpness would be looked at once");
  }

  std::vector<Json> members() const override {
    std::vector<Json> members;
    for (const double lr : numbers(settings_, "step_sizes")) {
      for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed)
        members.push_back({{"step_size", lr}, {"seed", seed}});
    }
    return members;
  }

  MemberResult run(const Json& member) const override {
    Mlp network = trained_.network();
    const auto seed = static_cast<std::uint64_t>(whole(member, "seed"));
    Descent descent(network, trained_.start_from(seed), {.momentum = number(settings_, "momentum")}, seed);
    MlpSurface surface(network.shape(), network.objective(), network.samples());
    Json steps = Json::array(), losses = Json::array(), sharpness = Json::array();
    const std::int64_t last = whole(settings_, "steps"), every = whole(settings_, "every");
    for (std::int64_t step = 0;; ++step) {
      if (step % every == 0 || step == last) {
        const std::vector<double>& w = descent.weights();
        steps.push_back(step);
        losses.push_back(network.loss(w));
        const ExtremeEigenpairs top =
            extreme_eigenpairs(curvature_of(surface, w), static_cast<std::int64_t>(w.size()), 1,
                               SpectrumEnd::top, 1, {.tolerance = 1e-4});
        sharpness.push_back(top.converged ? Json(top.pairs.front().value) : Json(nullptr));
      }
      if (step == last || descent.done()) break;
      descent.step(number(member, "step_size"));
    }
    MemberResult result{
        .record = {
            {"steps", steps}, {"loss", losses}, {"sharpness", sharpness}, {"finite", descent.finite()}}};
    if (descent.finite())
      result.points = {{"end", describe_network(network.shape(), network.objective()), descent.weights()}};
    return result;
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &trained_.problem().samples; }
  Json data() const override { return trained_.problem().description; }

 private:
  Json settings_;
  TrainedProblem trained_;
};

Findings EdgeStudy::conclude(const std::vector<Json>& records) const {
  Findings findings;
  ReportTable table{{"step η", "2(1 + β)/η", "sharpness at the start", "over the last fifth",
                     "that over 2(1 + β)/η", "looks at which the loss had risen", "final loss", "verdict"},
                    {}};
  Panel rising{.title = "Sharpness along gradient descent, seed 1; dashed: 2(1 + β)/η",
               .x_label = "step",
               .y_label = "largest eigenvalue of the Hessian",
               .curves = {}};
  Panel falling{.title = "Loss", .x_label = "step", .y_label = "loss", .curves = {}, .log_y = true};
  const double momentum = number(settings_, "momentum");
  std::size_t at = 0;
  for (const double lr : numbers(settings_, "step_sizes")) {
    const double edge = 2 * (1 + momentum) / lr;
    std::vector<double> starts, ends, final_losses, rises;
    std::int64_t gone = 0;
    for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed, ++at) {
      const Json& record = records[at];
      const auto steps = numbers_or_nan(record, "steps"), losses = numbers_or_nan(record, "loss"),
                 sharpness = numbers_or_nan(record, "sharpness");
      if (seed == 1) {
        rising.curves.push_back({.label = "η = " + number_words(lr), .x = steps, .mean = sharpness});
        rising.curves.push_back({.label = "2(1 + β)/η of η = " + number_words(lr),
                                 .x = {steps.front(), steps.back()},
                                 .mean = {edge, edge}});
        falling.curves.push_back({.label = "η = " + number_words(lr), .x = steps, .mean = losses});
      }
      if (!record["finite"].get<bool>()) {
        ++gone;
        continue;
      }
      double sum = 0, up = 0;
      std::int64_t count = 0;
      for (std::size_t i = 0; i < steps.size(); ++i) {
        if (i > 0 && losses[i] > losses[i - 1]) ++up;
        if (5 * i < 4 * (steps.size() - 1) || !std::isfinite(sharpness[i])) continue;
        sum += sharpness[i];
        ++count;
      }
      starts.push_back(sharpness.front());
      ends.push_back(count > 0 ? sum / static_cast<double>(count) : NAN);
      rises.push_back(up);
      final_losses.push_back(losses.back());
    }
    LandscapeVerdict verdict{
        .claim = "with steps of η = " + number_words(lr) +
                 " gradient descent ends with a sharpness of 2(1 + β)/η, β its momentum",
        .criterion =
            "the mean sharpness over the last fifth of the steps, of all seeds, is within 10 % of "
            "2(1 + β)/η"};
    if (!ends.empty()) {
      const double value = mean(ends) / edge;
      std::optional<Interval> interval = student_t_interval(ends);
      if (interval) interval = Interval{interval->low / edge, interval->high / edge};
      verdict.finding = !std::isfinite(value)        ? Finding::not_shown
                        : std::abs(value - 1) <= 0.1 ? Finding::holds
                                                     : Finding::does_not_hold;
      verdict.sentence = "the sharpness goes from " + number_words(mean(starts)) + " to " +
                         number_words(mean(ends)) + ", where 2(1 + β)/η is " + number_words(edge) +
                         (value < 0.9   ? ": below it, where steps on a quadratic are stable"
                          : value > 1.1 ? ": above it"
                                        : "") +
                         (gone > 0 ? "; " + std::to_string(gone) + " runs were not finite." : ".");
      verdict.statistic = {.name = "sharpness / (2(1 + β)/η)",
                           .value = value,
                           .interval = interval,
                           .n = static_cast<std::int64_t>(ends.size())};
      table.rows.push_back({number_words(lr), number_words(edge), number_words(mean(starts)),
                            number_words(mean(ends)), interval_words(value, interval),
                            number_words(mean(rises)), number_words(mean(final_losses)),
                            std::string(name(verdict.finding))});
      findings.summary.push_back({{"step_size", lr},
                                  {"edge", edge},
                                  {"sharpness_at_start", mean(starts)},
                                  {"sharpness_at_end", mean(ends)},
                                  {"ratio", value},
                                  {"final_loss", mean(final_losses)},
                                  {"not_finite", gone}});
    } else {
      verdict.sentence = "none of the " + std::to_string(gone) + " runs stayed finite.";
    }
    findings.verdicts.push_back(std::move(verdict));
  }
  findings.tables.push_back(std::move(table));
  findings.figures.push_back(
      {.title = "The edge of stability", .panels = {std::move(rising), std::move(falling)}});
  findings.notes.push_back("Data: " + trained_.problem().text +
                           ". On a quadratic with curvature h gradient descent with momentum β diverges from "
                           "h = 2(1 + β)/η on. A run that has not had the time to get there says nothing "
                           "against the claim: its sharpness still rises. Verdicts and table have means over "
                           "the seeds, the picture seed 1.");
  return findings;
}

}  // namespace

LandscapeExperiment edge_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 1000, 20, "class");
  for (LandscapeOption& option :
       trained_problem_options({.hidden = {40}, .start = ProblemStart::random, .weight_decay = 0}))
    options.push_back(std::move(option));
  const std::vector<LandscapeOption> own = {
      {.name = "step_sizes", .help = "η", .usual = {0.4, 0.8}, .low = 1e-9, .high = 1000},
      {.name = "momentum", .help = "β", .usual = 0.0, .low = 0, .high = 0.999},
      {.name = "seeds",
       .help = "initial weights for each step",
       .usual = 3,
       .quick = 2,
       .low = 1,
       .high = 1000},
      {.name = "steps", .help = "of each run", .usual = 6000, .quick = 3000, .low = 1, .high = 100000000},
      {.name = "every",
       .help = "steps between two looks at the sharpness",
       .usual = 100,
       .low = 1,
       .high = 1000000}};
  options.insert(options.end(), own.begin(), own.end());
  return {.name = "edge",
          .summary = "sharpness along gradient descent against 2/η (edge of stability)",
          .statement =
              "Along gradient descent with a fixed step η the largest eigenvalue of the Hessian goes to 2/η "
              "and stays there, while the loss goes on falling, not at every step.",
          .source = "Cohen, Kaur, Li, Kolter & Talwalkar (2021)",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<EdgeStudy>(settings, data);
          }};
}

}  // namespace qmse
