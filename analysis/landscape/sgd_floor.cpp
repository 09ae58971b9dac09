// SGD with a fixed step; the thesis' experiment 3: where does it stop, and is that what theory predicts?
#include <algorithm>
#include <cmath>
#include <map>

#include "analysis/landscape/experiment.h"
#include "analysis/landscape/sgd_floor_theory.h"
#include "analysis/landscape/trained_problem.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"
#include "base/error.h"

namespace qmse {
namespace {

class SgdFloorStudy final : public LandscapeStudy {
 public:
  SgdFloorStudy(const Json& settings, const std::string& data)
      : settings_(settings), trained_(settings, data) {
    if (whole(settings, "every") > whole(settings, "steps"))
      throw ConfigError("--every must not be above --steps: no gradient would be measured");
    for (const char* list : {"step_sizes", "batches"}) {
      auto values = numbers(settings, list);
      std::sort(values.begin(), values.end());
      if (std::adjacent_find(values.begin(), values.end()) != values.end())
        throw ConfigError("--step-sizes and --batches take different numbers");
    }
  }

  std::vector<Json> members() const override {
    std::vector<Json> members = {{{"minimum", 0}}};
    for (const double step : numbers(settings_, "step_sizes")) {
      for (const std::int64_t batch : wholes(settings_, "batches")) {
        for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed)
          members.push_back({{"step", step}, {"batch", batch}, {"seed", seed}});
      }
    }
    return members;
  }

  MemberResult run(const Json& member) const override {
    Mlp network = trained_.network();
    const std::vector<double>& start = trained_.start();
    const SavedPoint point{"start", describe_network(network.shape(), network.objective()), start};
    if (member.contains("minimum")) {
      Json record = {{"loss", trained_.start_loss()}, {"at_minimum", trained_.at_minimum()}};
      if (trained_.at_minimum()) {
        const GradientNoise noise = gradient_noise(network, start);
        record.update({{"curvature_max", noise.curvature.back()},
                       {"curvature_min", noise.curvature.front()},
                       {"trace_hc", noise.trace_product()},
                       {"bound_lm", noise.curvature.back() * noise.trace()}});
        Json predicted = Json::array();
        for (const double step : numbers(settings_, "step_sizes")) {
          for (const std::int64_t batch : wholes(settings_, "batches"))
            predicted.push_back(noise.predicted(step, batch, number(settings_, "momentum")));
        }
        record["predicted"] = predicted;
      }
      return {.record = std::move(record), .points = {point}};
    }
    const std::int64_t steps = whole(settings_, "steps"), every = whole(settings_, "every");
    const std::int64_t from = text(settings_, "start") == "minimum" ? steps / 2 : 0;
    Descent descent(network, start,
                    {.momentum = number(settings_, "momentum"), .batch = whole(member, "batch")},
                    static_cast<std::uint64_t>(whole(member, "seed")));
    std::vector<double> gradient(network.parameters());
    double squares = 0, norms = 0;
    std::int64_t measured = 0;
    for (std::int64_t step = 1; step <= steps && !descent.done(); ++step) {
      descent.step(number(member, "step"));
      if (step % every != 0 || step <= from) continue;
      network.gradient(descent.weights(), gradient);
      double sum = 0;
      for (const double value : gradient) sum += value * value;
      squares += sum;
      norms += std::sqrt(sum);
      ++measured;
    }
    if (!descent.finite() || measured == 0)
      return {.record = {{"squared_norm", nullptr}, {"norm", nullptr}}, .points = {}};
    return {.record = {{"squared_norm", squares / static_cast<double>(measured)},
                       {"norm", norms / static_cast<double>(measured)}},
            .points = {}};
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &trained_.problem().samples; }
  Json data() const override { return trained_.problem().description; }

 private:
  // log of the measured quantity by seed, over log step or log 1/batch: a slope of each seed.
  std::vector<double> slopes(const std::vector<Json>& records, const char* quantity, bool over_batches) const;

  Json settings_;
  TrainedProblem trained_;
};

std::vector<double> SgdFloorStudy::slopes(const std::vector<Json>& records, const char* quantity,
                                          bool over_batches) const {
  const std::vector<Json> all = members();
  const double first_step = numbers(settings_, "step_sizes").front();
  const std::int64_t first_batch = wholes(settings_, "batches").front();
  std::map<std::int64_t, std::pair<std::vector<double>, std::vector<double>>> by_seed;
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (over_batches ? number(all[i], "step") != first_step : whole(all[i], "batch") != first_batch) continue;
    if (records[i][quantity].is_null()) continue;
    auto& [x, y] = by_seed[whole(all[i], "seed")];
    x.push_back(over_batches ? -std::log(number(all[i], "batch")) : std::log(number(all[i], "step")));
    y.push_back(std::log(number(records[i], quantity)));
  }
  std::vector<double> slopes;
  for (const auto& [seed, points] : by_seed) {
    if (points.first.size() > 1) slopes.push_back(least_squares_slope(points.first, points.second));
  }
  return slopes;
}

Findings SgdFloorStudy::conclude(const std::vector<Json>& records) const {
  Findings findings;
  const std::vector<Json> all = members();
  const bool predicted_there = records.front().contains("predicted");
  ReportTable table{{"step", "batch", "runs", "E‖∇L‖²", "predicted", "ratio", "E‖∇L‖"}, {}};
  Curve measured{.label = "E‖∇L‖², 95 %", .x = {}, .mean = {}},
      prediction{.label = "predicted", .x = {}, .mean = {}},
      bound{.label = "αLM, the bound", .x = {}, .mean = {}};
  double worst = 0;
  std::int64_t compared = 0, outside = 0, wide = 0, diverged = 0;
  std::size_t place = 0, at = 1;
  for (const double step : numbers(settings_, "step_sizes")) {
    for (const std::int64_t batch : wholes(settings_, "batches")) {
      std::vector<double> squares, norms;
      for (std::int64_t seed = 0; seed < whole(settings_, "seeds"); ++seed, ++at) {
        if (records[at]["squared_norm"].is_null()) {
          ++diverged;
          continue;
        }
        squares.push_back(number(records[at], "squared_norm"));
        norms.push_back(number(records[at], "norm"));
      }
      const Json expected = predicted_there ? records.front()["predicted"][place] : Json(nullptr);
      ++place;
      if (squares.empty()) continue;
      const double value = mean(squares), ratio = expected.is_null() ? NAN : value / expected.get<double>();
      const std::optional<Interval> interval = student_t_interval(squares);
      if (std::isfinite(ratio) && step * number(records.front(), "curvature_max") < 0.5) {
        worst = std::max(worst, std::abs(ratio - 1));
        const double low = interval ? interval->low / expected.get<double>() : 0;
        const double high = interval ? interval->high / expected.get<double>() : INFINITY;
        outside += low > 1.05 || high < 0.95;
        wide += high - low > 0.4;
        ++compared;
      }
      findings.summary.push_back({{"step", step},
                                  {"batch", batch},
                                  {"runs", squares.size()},
                                  {"squared_norm", value},
                                  {"predicted", expected},
                                  {"ratio", std::isfinite(ratio) ? Json(ratio) : Json(nullptr)},
                                  {"norm", mean(norms)}});
      table.rows.push_back({number_words(step), std::to_string(batch), std::to_string(squares.size()),
                            interval_words(value, interval),
                            expected.is_null() ? "–" : number_words(expected.get<double>()),
                            number_words(ratio), number_words(mean(norms))});
      if (batch != wholes(settings_, "batches").front()) continue;
      measured.x.push_back(step);
      measured.mean.push_back(value);
      measured.low.push_back(interval ? std::max(interval->low, 0.1 * value) : value);
      measured.high.push_back(interval ? interval->high : value);
      if (expected.is_null()) continue;
      prediction.x.push_back(step);
      prediction.mean.push_back(expected.get<double>());
      bound.x.push_back(step);
      bound.mean.push_back(step * number(records.front(), "bound_lm") / static_cast<double>(batch));
    }
  }
  findings.tables.push_back(std::move(table));

  const auto slope_verdict = [&](const std::string& claim, const char* quantity, bool over_batches,
                                 const std::string& what) {
    const std::vector<double> all_slopes = slopes(records, quantity, over_batches);
    LandscapeVerdict verdict{
        .claim = claim, .criterion = "the 95 % interval of the slope (one a seed) lies within [0.8, 1.2]"};
    if (all_slopes.size() >= 2) {
      const Interval interval = *student_t_interval(all_slopes);
      const double slope = mean(all_slopes);
      verdict.finding = interval.low >= 0.8 && interval.high <= 1.2 ? Finding::holds
                        : interval.high < 0.8 || interval.low > 1.2 ? Finding::does_not_hold
                                                                    : Finding::not_shown;
      verdict.sentence = "the slope of " + what + " is " + interval_words(slope, interval) + ".";
      verdict.statistic = {.name = "slope",
                           .value = slope,
                           .interval = interval,
                           .n = static_cast<std::int64_t>(all_slopes.size())};
    }
    findings.verdicts.push_back(std::move(verdict));
  };
  if (numbers(settings_, "step_sizes").size() > 1) {
    slope_verdict("the average squared gradient norm of SGD with a fixed step is proportional to the step",
                  "squared_norm", false, "ln E‖∇L‖² on ln α");
    slope_verdict("the average gradient norm is proportional to the step", "norm", false, "ln E‖∇L‖ on ln α");
  }
  if (wholes(settings_, "batches").size() > 1)
    slope_verdict("the average squared gradient norm is proportional to 1 / batch size", "squared_norm", true,
                  "ln E‖∇L‖² on ln 1/|B|");
  LandscapeVerdict theory{.claim =
                              "the floor is Σ α hᵢ Cᵢᵢ / (2 − α hᵢ), from the Hessian and the gradients' "
                              "covariance at the minimum",
                          .criterion =
                              "for every step with α h_max < 0.5 the 95 % interval of measured / predicted "
                              "meets [0.95, 1.05], and is no wider than 0.4"};
  if (compared > 0) {
    theory.finding = outside > 0 ? Finding::does_not_hold : wide > 0 ? Finding::not_shown : Finding::holds;
    theory.sentence =
        "measured and predicted E‖∇L‖² differ by at most " + number_words(100 * worst, 2) + " % over " +
        std::to_string(compared) + " settings; the bound αLM is " +
        number_words(2 * number(records.front(), "bound_lm") / number(records.front(), "trace_hc"), 2) +
        " times the floor.";
    theory.statistic = {.name = "largest relative difference", .value = worst, .interval = {}, .n = compared};
  }
  findings.verdicts.push_back(std::move(theory));
  findings.notes.push_back("Data: " + trained_.problem().text + ". Start: " + text(settings_, "start") +
                           ", loss " + number_words(number(records.front(), "loss"), 4) +
                           "; batches are drawn with replacement; " + std::to_string(diverged) +
                           " runs diverged. The prediction is about problems that the network cannot "
                           "interpolate: where it can, the noise vanishes with the loss.");
  findings.figures.push_back(
      {.title = "The floor of SGD with a fixed step",
       .panels =
           {{.title = "Linear", .x_label = "step α", .y_label = "E‖∇L‖²", .curves = {measured, prediction}},
            {.title = "Logarithmic",
             .x_label = "step α",
             .y_label = "E‖∇L‖²",
             .curves = {measured, prediction, bound},
             .log_x = true,
             .log_y = true}},
       .columns = 2});
  return findings;
}

}  // namespace

LandscapeExperiment sgd_floor_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 1000, 20, "class");
  for (LandscapeOption& option : trained_problem_options({8}, "tanh", "mse", 1e-3))
    options.push_back(std::move(option));
  const std::vector<LandscapeOption> own = {
      {.name = "step_sizes",
       .help = "steps α",
       .usual = {0.001, 0.00313, 0.00979, 0.0306, 0.0958, 0.3},
       .low = 1e-12,
       .high = 100},
      {.name = "batches", .help = "batch sizes", .usual = Json::array({10}), .low = 1, .high = 20000},
      {.name = "momentum", .help = "of SGD", .usual = 0.0, .low = 0, .high = 0.999},
      {.name = "seeds", .help = "runs of each setting", .usual = 8, .quick = 6, .low = 2, .high = 10000},
      {.name = "steps",
       .help = "of each run; from a minimum the second half counts",
       .usual = 6000,
       .low = 2,
       .high = 100000000},
      {.name = "every",
       .help = "steps between gradients on all samples",
       .usual = 100,
       .low = 1,
       .high = 1000000}};
  options.insert(options.end(), own.begin(), own.end());
  return {.name = "sgd-floor",
          .summary = "where SGD with a fixed step stops (the thesis' experiment 3)",
          .statement =
              "With a fixed step α SGD does not converge: the average of the squared gradient norm stays at "
              "a floor of order α. Near a minimum "
              "the floor is known from the Hessian and the covariance of the gradients.",
          .source =
              "Bottou, Curtis & Nocedal (2018), theorem 4.8; Mandt et al. (2017); Liu, Ziyin & Ueda (2021); "
              "Fleischmann's thesis, experiment 3",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<SgdFloorStudy>(settings, data);
          }};
}

}  // namespace qmse
