// SGD with a fixed step; the thesis' experiment 3: where does it stop, and is that what theory predicts?
#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <string_view>

#include "analysis/experiment_3_noise.h"
#include "analysis/experiment_3_step_size.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/sgd_floor_theory.h"
#include "analysis/landscape/trained_problem.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"
#include "base/error.h"

namespace qmse {
namespace {

// The thesis' data: MNIST's 3 against 6 at half their resolution.
constexpr const char *kThesisImages = "mnist-half", *kThesisLabels = "pair:3:6";
bool is_thesis_data(const Json& settings) {
  return settings.at("data_set") == kThesisImages && settings.at("labels") == kThesisLabels;
}

// A published result, and what it belongs to.
using Published = std::map<double, std::vector<double>>;

Published published(std::string_view table) {
  Published values;
  for (const std::vector<double>& row : number_rows(table, "the thesis")) values[row[0]].push_back(row[1]);
  return values;
}

class SgdFloorStudy final : public LandscapeStudy {
 public:
  SgdFloorStudy(const Json& settings, const std::string& data)
      : settings_(settings), trained_(settings, data) {
    if (whole(settings, "gradients") > whole(settings, "steps") / 2)
      throw ConfigError("--gradients must not be above half of --steps");
    check_different(settings, {"step_sizes", "batches"});
  }

  std::vector<Json> members() const override {
    std::vector<Json> members = {{{"minimum", 0}}};
    for (const Setting& setting : cross()) {
      for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed)
        members.push_back({{"step", setting.step}, {"batch", setting.batch}, {"seed", seed}});
    }
    return members;
  }

  MemberResult run(const Json& member) const override {
    Mlp network = trained_.network();
    const std::vector<double>& start = trained_.start();
    if (member.contains("minimum")) return at_start(network, start);
    const AveragedRun averaged = plan({number(member, "step"), whole(member, "batch")});
    Descent descent(network, start,
                    {.momentum = number(settings_, "momentum"), .batch = whole(member, "batch")},
                    static_cast<std::uint64_t>(whole(member, "seed")));
    const double step = number(member, "step");
    for (std::int64_t k = 0; k < averaged.first; ++k) descent.step(step);
    std::vector<double> gradient(network.parameters());
    double squares = 0, norms = 0, early = 0, sum = INFINITY;
    for (std::int64_t i = 0; i < averaged.count; ++i) {
      if (sum > kConverged) {
        for (std::int64_t k = 0; k < averaged.spacing; ++k) descent.step(step);
        network.gradient(descent.weights(), gradient);
        sum = 0;
        for (const double value : gradient) sum += value * value;
      }
      squares += sum;
      norms += std::sqrt(sum);
      if (2 * i < averaged.count) early += sum;
    }
    const auto count = static_cast<double>(averaged.count);
    if (!descent.finite() || !std::isfinite(squares))
      return {.record = {{"squared_norm", nullptr}, {"norm", nullptr}}, .points = {}};
    const double late = squares - early;
    const auto halves =
        static_cast<double>(averaged.count / 2) / static_cast<double>((averaged.count + 1) / 2);
    return {.record = {{"squared_norm", squares / count},
                       {"norm", norms / count},
                       {"late_over_early", early > 0 ? Json(std::max(late / early / halves, 1e-99)) : Json()},
                       {"steps", averaged.first + averaged.spacing * averaged.count}},
            .points = {}};
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &trained_.problem().samples; }
  Json data() const override { return trained_.problem().description; }

 private:
  struct Setting {
    double step = 0;
    std::int64_t batch = 0;
  };
  // Each step with the first batch size, each further batch size with the first step.
  std::vector<Setting> cross() const {
    const std::vector<double> steps = numbers(settings_, "step_sizes");
    const std::vector<std::int64_t> batches = wholes(settings_, "batches");
    std::vector<Setting> all;
    for (const double step : steps) all.push_back({step, batches.front()});
    for (std::size_t b = 1; b < batches.size(); ++b) all.push_back({steps.front(), batches[b]});
    return all;
  }
  double momentum() const { return number(settings_, "momentum"); }

  const GradientNoise& noise() const {
    std::call_once(once_, [this] {
      Mlp network = trained_.network();
      noise_ = gradient_noise(network, trained_.start());
    });
    return noise_;
  }

  // Which gradients of a run are averaged. From a minimum they are those of the second half, and the run is
  // as long as the predicted error of the mean over seeds asks.
  AveragedRun plan(const Setting& setting) const {
    const std::int64_t steps = whole(settings_, "steps"), gradients = whole(settings_, "gradients");
    if (trained_.kind_of_start() != ProblemStart::minimum)
      return {.first = 0, .spacing = std::max<std::int64_t>(1, steps / gradients), .count = gradients};
    const auto of_length = [&](double length, std::int64_t count) {
      const auto spacing = static_cast<std::int64_t>(length / 2 / static_cast<double>(count));
      return AveragedRun{.first = spacing * count, .spacing = spacing, .count = count};
    };
    auto length = static_cast<double>(steps);
    std::int64_t count = gradients;
    const double precision = number(settings_, "precision");
    if (trained_.at_minimum() && precision > 0) {
      while (length < kMaxRun && predicted_error(setting, of_length(length, count)) > precision) {
        // Even independent gradients may be too few.
        const bool too_few = predicted_error(setting, of_length(kMaxRun, count)) > 0.8 * precision;
        if (too_few) count *= 2;
        length = std::max(too_few ? length : 1.2 * length, 2.0 * static_cast<double>(count));
      }
    }
    return of_length(length, count);
  }

  // Of the mean over seeds, relative to it; 0 where nothing is predicted.
  double predicted_error(const Setting& setting, const AveragedRun& run) const {
    const GradientNoise::Average average = noise().average(setting.step, setting.batch, momentum(), run);
    const double error =
        average.deviation / average.mean / std::sqrt(static_cast<double>(whole(settings_, "seeds")));
    return std::isfinite(error) ? error : 0;
  }

  MemberResult at_start(Mlp& network, const std::vector<double>& start) const {
    Json record = {{"loss", trained_.start_loss()}, {"at_minimum", trained_.at_minimum()}};
    if (trained_.at_minimum()) {
      record.update({{"curvature_max", noise().curvature.back()},
                     {"curvature_min", noise().curvature.front()},
                     {"trace_hc", noise().trace_product()},
                     {"bound_lm", noise().curvature.back() * noise().trace()}});
      Json predicted = Json::array();
      for (const Setting& setting : cross()) {
        const AveragedRun run = plan(setting);
        const GradientNoise::Average average = noise().average(setting.step, setting.batch, momentum(), run);
        predicted.push_back({{"floor", noise().predicted(setting.step, setting.batch, momentum())},
                             {"of_this_run", average.mean},
                             {"error", predicted_error(setting, run)},
                             {"steps", run.first + run.spacing * run.count}});
      }
      record["predicted"] = predicted;
    }
    return {.record = std::move(record),
            .points = {{"start", describe_network(network.shape(), network.objective()), start}}};
  }

  // ln of the measured quantity over ln step or ln 1/batch: a slope of each seed.
  std::vector<double> slopes(const std::vector<Json>& records, const char* quantity, bool over_batches) const;
  void add_slopes(const std::vector<Json>& records, Findings& findings) const;
  void add_convergence(const std::vector<Json>& records, Findings& findings) const;
  void add_thesis(Findings& findings) const;

  static constexpr double kMaxRun = 1e7;
  static constexpr double kConverged = 1e-50;  // subnormal numbers, not far below it, would only cost time
  Json settings_;
  TrainedProblem trained_;
  mutable std::once_flag once_;
  mutable GradientNoise noise_;
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
  const Json& start = records.front();
  const bool predicted_there = start.contains("predicted");
  ReportTable table{{"step", "batch", "steps of a run", "runs", "E‖∇L‖²", "predicted", "measured / predicted",
                     "predicted error", "E‖∇L‖"},
                    {}};
  Curve measured{.label = "E‖∇L‖², 95 %", .x = {}, .mean = {}},
      prediction{.label = "predicted", .x = {}, .mean = {}},
      bound{.label = "αLM, the bound", .x = {}, .mean = {}};
  double worst = 0;
  std::int64_t compared = 0, outside = 0, diverged = 0;
  const std::vector<Setting> settings = cross();
  std::size_t at = 1;
  for (std::size_t place = 0; place < settings.size(); ++place) {
    const auto& [step, batch] = settings[place];
    std::vector<double> squares, norms;
    std::int64_t steps = 0;
    for (std::int64_t seed = 0; seed < whole(settings_, "seeds"); ++seed, ++at) {
      if (records[at]["squared_norm"].is_null()) {
        ++diverged;
        continue;
      }
      squares.push_back(number(records[at], "squared_norm"));
      norms.push_back(number(records[at], "norm"));
      steps = whole(records[at], "steps");
    }
    if (squares.empty()) continue;
    const Json expected = predicted_there ? start["predicted"][place] : Json(nullptr);
    const double floor = expected.is_null() || expected["floor"].is_null() ? NAN : number(expected, "floor");
    const double value = mean(squares), ratio = value / floor;
    const std::optional<Interval> interval = student_t_interval(squares);
    if (std::isfinite(ratio) && step * number(start, "curvature_max") < 0.5) {
      worst = std::max(worst, std::abs(ratio - 1));
      outside += interval && (interval->low / floor > 1.05 || interval->high / floor < 0.95);
      ++compared;
    }
    findings.summary.push_back(
        {{"step", step},
         {"batch", batch},
         {"runs", squares.size()},
         {"steps", steps},
         {"squared_norm", value},
         {"predicted", std::isfinite(floor) ? Json(floor) : Json(nullptr)},
         {"predicted_of_this_run", expected.is_null() ? Json() : expected["of_this_run"]},
         {"predicted_error", expected.is_null() ? Json() : expected["error"]},
         {"ratio", std::isfinite(ratio) ? Json(ratio) : Json(nullptr)},
         {"norm", mean(norms)}});
    table.rows.push_back({number_words(step), std::to_string(batch), std::to_string(steps),
                          std::to_string(squares.size()), interval_words(value, interval),
                          number_words(floor),
                          std::isfinite(ratio) && interval
                              ? interval_words(ratio, Interval{interval->low / floor, interval->high / floor})
                              : number_words(ratio),
                          expected.is_null() ? "–" : number_words(100 * number(expected, "error"), 2) + " %",
                          number_words(mean(norms))});
    if (place >= numbers(settings_, "step_sizes").size()) continue;
    measured.x.push_back(step);
    measured.mean.push_back(value);
    measured.low.push_back(interval ? std::max(interval->low, 0.1 * value) : value);
    measured.high.push_back(interval ? interval->high : value);
    if (!std::isfinite(floor)) continue;
    prediction.x.push_back(step);
    prediction.mean.push_back(floor);
    bound.x.push_back(step);
    bound.mean.push_back(step * number(start, "bound_lm") / static_cast<double>(batch));
  }
  findings.tables.push_back(std::move(table));
  add_slopes(records, findings);
  LandscapeVerdict theory{
      .claim =
          "the floor is Σᵢ α hᵢ Cᵢᵢ / (2 − α hᵢ), with hᵢ from the Hessian and Cᵢᵢ from the gradients' "
          "covariance at the minimum",
      .criterion =
          "measured / predicted is within 5 % of 1 for every setting with α times the largest hᵢ below 0.5; "
          "does not hold where a 95 % interval is wholly outside"};
  if (compared > 0) {
    theory.finding = worst <= 0.05 ? Finding::holds
                     : outside > 0 ? Finding::does_not_hold
                                   : Finding::not_shown;
    theory.sentence = "measured and predicted E‖∇L‖² differ by at most " + number_words(100 * worst, 2) +
                      " % over the " + std::to_string(compared) +
                      " settings of step and batch size with α times the largest hᵢ below 0.5; the theorem's "
                      "upper bound αLM is " +
                      number_words(2 * number(start, "bound_lm") / number(start, "trace_hc"), 2) +
                      " times the floor of small steps.";
    theory.statistic = {.name = "largest relative difference", .value = worst, .interval = {}, .n = compared};
  }
  findings.verdicts.push_back(std::move(theory));
  add_convergence(records, findings);
  findings.notes.push_back("Data: " + trained_.problem().text +
                           ". Start: " + std::string(name(trained_.kind_of_start())) + ", loss " +
                           number_words(number(start, "loss"), 4) + "; batches are drawn with replacement; " +
                           std::to_string(diverged) +
                           " runs diverged, that is were not finite. The prediction is about problems that "
                           "the network cannot fit exactly: where it can, the noise vanishes with the loss, "
                           "and SGD converges.");
  findings.notes.push_back(
      "∇L is the gradient over all samples. Floor: the level at which the squared gradient norm stays on "
      "average, in place of going to 0. hᵢ are "
      "the eigenvalues of the Hessian at the minimum; Cᵢᵢ is the variance of a batch's gradient along the "
      "i-th eigenvector. In the theorem's bound αLM L is not the loss but the largest hᵢ, and M the sum of "
      "all Cᵢᵢ. Squared "
      "norms of neighbouring steps are alike, over some 1 / (α h) steps along an eigenvector with eigenvalue "
      "h. The predicted error is the standard error of the mean over seeds by the same theory; runs of small "
      "steps are made so long that it is small.");
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
  if (wholes(settings_, "batches").size() > 1) {
    Curve by_batch{.label = "E‖∇L‖²", .x = {}, .mean = {}};
    for (const Json& each : findings.summary) {
      if (number(each, "step") != settings.front().step) continue;
      by_batch.x.push_back(1 / number(each, "batch"));
      by_batch.mean.push_back(number(each, "squared_norm"));
    }
    findings.figures.back().panels.push_back({.title = "Batch size, at the first step",
                                              .x_label = "1 / |B|",
                                              .y_label = "E‖∇L‖²",
                                              .curves = {by_batch}});
  }
  if (is_thesis_data(settings_)) add_thesis(findings);
  return findings;
}

void SgdFloorStudy::add_slopes(const std::vector<Json>& records, Findings& findings) const {
  const std::vector<double> steps = numbers(settings_, "step_sizes");
  const std::string over_steps = ", over " + std::to_string(steps.size()) + " steps α from " +
                                 number_words(*std::min_element(steps.begin(), steps.end())) + " to " +
                                 number_words(*std::max_element(steps.begin(), steps.end())) + ",";
  const auto add = [&](const std::string& claim, const char* quantity, bool over_batches,
                       const std::string& what) {
    const std::vector<double> all = slopes(records, quantity, over_batches);
    LandscapeVerdict verdict{.claim = claim,
                             .criterion =
                                 "proportional means a slope of 1: the 95 % interval of the slope, the mean "
                                 "over seeds, meets [0.9, 1.1]; not shown where it is wider than 0.4"};
    if (all.size() >= 2) {
      const Interval interval = *student_t_interval(all);
      const double slope = mean(all);
      verdict.finding = interval.high < 0.9 || interval.low > 1.1 ? Finding::does_not_hold
                        : interval.high - interval.low > 0.4      ? Finding::not_shown
                                                                  : Finding::holds;
      verdict.sentence = "the slope of " + what + " is " + interval_words(slope, interval) + ".";
      verdict.statistic = {
          .name = "slope", .value = slope, .interval = interval, .n = static_cast<std::int64_t>(all.size())};
    }
    findings.verdicts.push_back(std::move(verdict));
  };
  if (steps.size() > 1) {
    add("the average squared gradient norm of SGD with a fixed step α is proportional to α", "squared_norm",
        false, "ln E‖∇L‖² on ln α" + over_steps);
    add("the average gradient norm is proportional to the step α", "norm", false,
        "ln E‖∇L‖ on ln α" + over_steps);
  }
  if (wholes(settings_, "batches").size() > 1)
    add("the average squared gradient norm is proportional to 1 / batch size", "squared_norm", true,
        "ln E‖∇L‖² on ln 1/|B|, over the batch sizes |B| at the first step,");
}

// Is there a floor at all? At the longest step, where a run has the most time for it.
void SgdFloorStudy::add_convergence(const std::vector<Json>& records, Findings& findings) const {
  const std::vector<double> steps = numbers(settings_, "step_sizes");
  double longest = 0;
  std::vector<double> logarithms;
  const std::vector<Json> all = members();
  for (std::size_t i = 1; i < all.size(); ++i) {
    const double step = number(all[i], "step");
    if (records[i]["squared_norm"].is_null() || records[i]["late_over_early"].is_null() || step < longest ||
        whole(all[i], "batch") != wholes(settings_, "batches").front())
      continue;
    if (step > longest) logarithms.clear();
    longest = step;
    logarithms.push_back(std::log(number(records[i], "late_over_early")));
  }
  LandscapeVerdict verdict{
      .claim = "SGD with a fixed step does not converge: the squared gradient norm stays at a floor",
      .criterion =
          "at the largest α the 95 % interval of that ratio, second half over first, is between 1/2 and 2; "
          "does not hold where it is wholly outside"};
  if (const std::optional<Interval> interval = student_t_interval(logarithms)) {
    const double low = std::exp(interval->low), high = std::exp(interval->high),
                 ratio = std::exp(mean(logarithms));
    verdict.finding = low >= 0.5 && high <= 2 ? Finding::holds
                      : high < 0.5 || low > 2 ? Finding::does_not_hold
                                              : Finding::not_shown;
    verdict.sentence = "at α = " + number_words(longest) +
                       " the mean squared gradient norm of the second half of what was measured is " +
                       interval_words(ratio, Interval{low, high}) + " times that of the first half.";
    verdict.statistic = {.name = "second half / first half",
                         .value = ratio,
                         .interval = Interval{low, high},
                         .n = static_cast<std::int64_t>(logarithms.size())};
  }
  findings.verdicts.push_back(std::move(verdict));
}

void SgdFloorStudy::add_thesis(Findings& findings) const {
  const Published by_step = published(kThesisExperiment3StepSize),
                  by_batch = published(kThesisExperiment3Noise);
  ReportTable table{{"step", "batch", "thesis: runs", "mean", "here: runs", "mean", "ratio"}, {}};
  std::vector<double> steps, theirs, ours;
  for (const Json& each : findings.summary) {
    const double step = number(each, "step"), batch = number(each, "batch");
    const Published& source = batch == 1 ? by_step : by_batch;
    const auto found = source.find(batch == 1 ? step : batch);
    if (found == source.end() || (batch != 1 && step != 1e-3)) continue;
    const double there = mean(found->second), here = number(each, "squared_norm");
    table.rows.push_back({number_words(step), number_words(batch), std::to_string(found->second.size()),
                          number_words(there), std::to_string(whole(each, "runs")), number_words(here),
                          number_words(here / there)});
    if (batch != 1) continue;
    steps.push_back(std::log(step));
    theirs.push_back(std::log(there));
    ours.push_back(std::log(here));
  }
  if (table.rows.empty()) return;
  findings.tables.push_back(std::move(table));
  if (steps.size() < 2) return;
  findings.notes.push_back("With batches of one the slope of ln E‖∇L‖² on ln α is " +
                           number_words(least_squares_slope(steps, theirs)) +
                           " in the published values, and " + number_words(least_squares_slope(steps, ours)) +
                           " here.");
}

}  // namespace

LandscapeExperiment sgd_floor_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 1000, 20, "class");
  for (LandscapeOption& option : trained_problem_options()) options.push_back(std::move(option));
  const std::vector<LandscapeOption> own = {
      {.name = "step_sizes",
       .help = "steps α",
       .usual = {0.001, 0.00313, 0.00979, 0.0306, 0.0958, 0.3},
       .low = 1e-12,
       .high = 100},
      {.name = "batches",
       .help = "batch sizes: the first with every step, the others with the first step",
       .usual = Json::array({10}),
       .low = 1,
       .high = 20000},
      {.name = "momentum", .help = "of SGD", .usual = 0.0, .low = 0, .high = 0.999},
      {.name = "seeds", .help = "runs of each setting", .usual = 8, .low = 2, .high = 10000},
      {.name = "steps",
       .help = "of each run, at least; from a minimum the second half counts",
       .usual = 6000,
       .low = 2,
       .high = 100000000},
      {.name = "gradients",
       .help = "on all samples, evenly over what counts",
       .usual = 200,
       .low = 1,
       .high = 1000000},
      {.name = "precision",
       .help = "runs from a minimum are so long that the predicted error of the mean over seeds is at most "
               "this share of it; 0: --steps",
       .usual = 0.015,
       .quick = 0.02,
       .low = 0,
       .high = 1}};
  options.insert(options.end(), own.begin(), own.end());
  return {
      .name = "sgd-floor",
      .summary = "where SGD with a fixed step stops (the thesis' experiment 3)",
      .statement =
          "With a fixed step α SGD does not converge: the average of the squared gradient norm stays at "
          "a floor that is about proportional to α. Near a minimum the floor can be calculated from the "
          "Hessian and the covariance of the gradients.",
      .source =
          "Bottou, Curtis & Nocedal (2018), theorem 4.8; Mandt et al. (2017); Liu, Ziyin & Ueda (2021); "
          "Fleischmann's thesis, experiment 3",
      .options = std::move(options),
      .presets = {{.name = "thesis",
                   .help = "the thesis' experiment 3: MNIST's 3 against 6 at 14 x 14, its published results "
                           "beside it",
                   .settings = {{"data_set", kThesisImages},
                                {"labels", kThesisLabels},
                                {"samples", 12049},
                                {"hidden", {10, 10, 10}},
                                {"activation", "relu"},
                                {"loss", "bce"},
                                {"weight_decay", 0.0},
                                {"start", "descent"},
                                {"pretraining", 25000},
                                {"pretraining_lr", 0.1},
                                {"pretraining_momentum", 0.0},
                                {"step_sizes", {1e-3, 9e-4, 8e-4, 7e-4, 6e-4, 5e-4, 4e-4, 3e-4, 2e-4, 1e-4}},
                                {"batches", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
                                {"seeds", 20},
                                {"steps", 30000},
                                {"gradients", 30}}},
                  {.name = "interpolating",
                   .help = "a case where the statement is false: a network that fits every sample",
                   .settings = {{"samples", 20},
                                {"inputs", 10},
                                {"hidden", {64}},
                                {"weight_decay", 0.0},
                                {"batches", Json::array({5})},
                                {"start", "descent"},
                                {"pretraining", 200},
                                {"step_sizes", {0.001, 0.00313, 0.00979, 0.0306, 0.0958}}}}},
      .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
        return std::make_unique<SgdFloorStudy>(settings, data);
      }};
}

}  // namespace qmse
