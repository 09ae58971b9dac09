// Which steps lose a run: MSE, QMSE and QMSE's expected step from the same minimum. docs/theory.md 7.6.
#include <algorithm>
#include <cmath>
#include <optional>

#include "algebra/dense.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/trained_problem.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"

namespace qmse {
namespace {

constexpr MlpLoss kLosses[] = {MlpLoss::mse, MlpLoss::expected_qmse, MlpLoss::qmse};
const char* words_of(MlpLoss loss) {
  return loss == MlpLoss::mse ? "MSE" : loss == MlpLoss::qmse ? "QMSE" : "QMSE's expected step";
}

class StabilityStudy final : public LandscapeStudy {
 public:
  StabilityStudy(const Json& settings, const std::string& data)
      : settings_(settings), trained_(settings, data) {}

  std::vector<Json> members() const override {
    std::vector<Json> members = {{{"start", 0}}};
    for (const bool momentum : {false, true})
      for (const MlpLoss loss : kLosses)
        for (const double lr : numbers(settings_, momentum ? "momentum_lrs" : "lrs"))
          for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed) {
            members.push_back(
                {{"loss", std::string(name(loss))}, {"momentum", momentum}, {"lr", lr}, {"seed", seed}});
          }
    return members;
  }

  MemberResult run(const Json& member) const override {
    const std::vector<double>& start = trained_.start();
    if (member.contains("start")) return at_start(start);
    Mlp network = with_loss(chosen<MlpLoss>(member, "loss"));
    Descent descent(network, start,
                    {.momentum = member["momentum"].get<bool>() ? number(settings_, "momentum") : 0,
                     .batch = whole(settings_, "batch")},
                    static_cast<std::uint64_t>(whole(member, "seed")));
    // Lost: no finite number, or so far away that none will follow.
    const double far = number(settings_, "lost");
    double largest = 0;
    std::int64_t looks = 0;
    double sum = 0;
    while (descent.steps() < whole(settings_, "steps") && !descent.done() && largest < far) {
      descent.step(number(member, "lr"));
      if (descent.steps() % 100 != 0) continue;
      const double residual = network.residual_sq(descent.weights());
      largest = std::isfinite(residual) ? std::max(largest, residual) : INFINITY;
      if (2 * descent.steps() > whole(settings_, "steps")) {
        sum += residual;
        ++looks;
      }
    }
    const bool lost = !descent.finite() || !(largest < far);
    return {.record = {{"lost", lost},
                       {"steps", descent.steps()},
                       {"residual_sq",
                        lost || looks == 0 ? Json(nullptr) : Json(sum / static_cast<double>(looks))}},
            .points = {}};
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &trained_.problem().samples; }
  Json data() const override { return trained_.problem().description; }

 private:
  Mlp with_loss(MlpLoss loss) const {
    const Mlp network = trained_.network();
    MlpObjective objective = network.objective();
    objective.loss = loss;
    return Mlp(network.shape(), objective, trained_.problem().samples);
  }

  // The steps from which gradient descent on all samples cannot stay: 2 / the largest eigenvalue of the
  // Hessian. QMSE's is that of its expected step.
  MemberResult at_start(const std::vector<double>& start) const {
    Json record;
    for (const MlpLoss loss : {MlpLoss::mse, MlpLoss::expected_qmse}) {
      Mlp network = with_loss(loss);
      record[std::string(name(loss))] =
          symmetric_eigen(network.curvature_matrix(start), network.shape().parameters(), false).values.back();
    }
    Mlp network = trained_.network();
    record["residual_sq"] = network.residual_sq(start);
    return {.record = record,
            .points = {{"start", describe_network(network.shape(), network.objective()), start}}};
  }

  Json settings_;
  TrainedProblem trained_;
};

Findings StabilityStudy::conclude(const std::vector<Json>& records) const {
  Findings findings;
  ReportTable table{{"loss", "momentum", "step", "runs lost", "95 %, share lost", "mean ‖r‖² of the others"},
                    {}};
  Figure figure{.title = "Runs that are lost", .panels = {}, .columns = 2};
  const std::int64_t seeds = whole(settings_, "seeds");
  std::size_t at = 1;
  for (const bool momentum : {false, true}) {
    Panel panel{.title = momentum ? "momentum " + number_words(number(settings_, "momentum")) : "no momentum",
                .x_label = "step",
                .y_label = "share lost",
                .curves = {},
                .log_x = true};
    // The largest step at which no run was lost, and the smallest at which all were.
    std::optional<double> safe[std::size(kLosses)], deadly[std::size(kLosses)];
    for (std::size_t l = 0; l < std::size(kLosses); ++l) {
      Curve curve{.label = words_of(kLosses[l]), .x = {}, .mean = {}, .low = {}, .high = {}};
      bool all_safe = true;
      for (const double lr : numbers(settings_, momentum ? "momentum_lrs" : "lrs")) {
        std::int64_t lost = 0;
        std::vector<double> residuals;
        for (std::int64_t seed = 0; seed < seeds; ++seed, ++at) {
          lost += records[at]["lost"].get<bool>();
          if (!records[at]["residual_sq"].is_null()) residuals.push_back(number(records[at], "residual_sq"));
        }
        const Interval share = clopper_pearson(lost, seeds);
        all_safe = all_safe && lost == 0;
        if (all_safe) safe[l] = lr;
        if (lost == seeds && !deadly[l]) deadly[l] = lr;
        curve.x.push_back(lr);
        curve.mean.push_back(static_cast<double>(lost) / static_cast<double>(seeds));
        curve.low.push_back(share.low);
        curve.high.push_back(share.high);
        table.rows.push_back({words_of(kLosses[l]), momentum ? "yes" : "no", number_words(lr),
                              std::to_string(lost) + " of " + std::to_string(seeds),
                              "[" + number_words(share.low, 2) + ", " + number_words(share.high, 2) + "]",
                              residuals.empty() ? "–" : number_words(mean(residuals))});
        findings.summary.push_back(
            {{"loss", std::string(name(kLosses[l]))},
             {"momentum", momentum},
             {"lr", lr},
             {"runs", seeds},
             {"lost", lost},
             {"low", share.low},
             {"high", share.high},
             {"residual_sq", residuals.empty() ? Json(nullptr) : Json(mean(residuals))}});
      }
      panel.curves.push_back(std::move(curve));
    }
    figure.panels.push_back(std::move(panel));
    const auto step_words = [](const std::optional<double>& step) {
      return step ? number_words(*step) : std::string("none");
    };
    const double mse = safe[0].value_or(0), qmse = safe[2].value_or(0);
    const bool sooner = deadly[2].has_value() && qmse < *deadly[2] && *deadly[2] <= mse;
    findings.verdicts.push_back(
        {.claim = "with the same step no run of QMSE is lost where none of MSE is, " +
                  (momentum ? "with momentum " + number_words(number(settings_, "momentum"))
                            : std::string("without momentum")),
         .finding = sooner        ? Finding::does_not_hold
                    : qmse >= mse ? Finding::holds
                                  : Finding::depends,
         .sentence =
             "Of the steps that were tried the largest up to which no run is lost is " + step_words(safe[0]) +
             " with MSE, " + step_words(safe[1]) + " with QMSE's expected step and " + step_words(safe[2]) +
             " with QMSE; the smallest at which every run of QMSE is lost is " + step_words(deadly[2]) + ".",
         .statistic = {.name = "largest step without a lost run, QMSE over MSE",
                       .value = mse > 0 ? qmse / mse : NAN,
                       .interval = {},
                       .n = seeds},
         .criterion =
             "does not hold where every run of QMSE is lost at a step up to which none of MSE is; holds "
             "where no run of QMSE is lost up to the largest step up to which none of MSE is"});
  }
  findings.tables.push_back(std::move(table));
  findings.figures.push_back(std::move(figure));
  const Json& start = records.front();
  findings.notes.push_back("Data: " + trained_.problem().text + ". All runs start at the same point (" +
                           std::string(name(trained_.kind_of_start())) + "), where the mean ‖r‖² is " +
                           number_words(number(start, "residual_sq")) + "; " + std::to_string(seeds) +
                           " runs of each loss and step. A run is lost where a weight is no finite number or "
                           "the mean ‖r‖² is above " +
                           number_words(number(settings_, "lost")) + ", looked at every 100 steps.");
  findings.notes.push_back(
      "Near the start gradient descent on all samples, without momentum, would go away "
      "from it with steps above 2 / (the largest eigenvalue of the Hessian): " +
      number_words(2 / number(start, "mse")) + " with MSE, " +
      number_words(2 / number(start, "expected_qmse")) +
      " with QMSE's expected step, whose Hessian is that of the function it descends, the mean of "
      "‖r‖⁴/4 + ‖r‖²/(2c). Going away from the start is not being lost: the weights may stay bounded "
      "further out, and a run is lost only where they do not. Further away those two numbers say little of "
      "QMSE. For one sample "
      "with c outputs and a residual of length ρ = ‖r‖ its expected step is MSE's times "
      "ρ² + 1/c. Let D_n be the Jacobian of that sample's outputs with respect to the "
      "weights, and κ the largest eigenvalue of D_nD_nᵀ: how strongly a step for this "
      "sample moves its own outputs. With a step η the residual shrinks only where ρ² "
      "is below 2/(ηκ) − 1/c. A run that noise has carried beyond does not come back.");
  return findings;
}

}  // namespace

LandscapeExperiment stability_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 1000, 20, "class");
  for (LandscapeOption& option : trained_problem_options()) options.push_back(std::move(option));
  const std::vector<LandscapeOption> own = {
      {.name = "lrs", .help = "steps", .usual = {0.1, 0.2, 0.3, 0.5, 0.7}, .low = 1e-12, .high = 1000},
      {.name = "momentum_lrs",
       .help = "steps with momentum",
       .usual = {0.02, 0.05, 0.07},
       .low = 1e-12,
       .high = 1000},
      {.name = "momentum", .help = "the momentum", .usual = 0.9, .low = 0, .high = 0.999999},
      {.name = "batch", .help = "batch size", .usual = 10, .low = 1, .high = 20000},
      {.name = "seeds", .help = "runs of each step", .usual = 32, .quick = 8, .low = 2, .high = 10000},
      {.name = "steps", .help = "of each run", .usual = 6000, .quick = 3000, .low = 100, .high = 1e9},
      {.name = "lost",
       .help = "the mean ‖r‖² from which a run counts as lost",
       .usual = 1e6,
       .low = 1,
       .high = 1e300}};
  options.insert(options.end(), own.begin(), own.end());
  return {.name = "stability",
          .summary = "which steps lose a run of MSE and of QMSE",
          .statement =
              "QMSE diverges at steps at which MSE is stable. The reason that theory gives, which no verdict "
              "here tests: its curvature grows with the residual.",
          .source = "docs/theory.md 7.6",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<StabilityStudy>(settings, data);
          }};
}

}  // namespace qmse
