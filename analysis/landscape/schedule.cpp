// SGD with falling steps (Robbins and Monro): does the gradient go to 0, and how fast?
#include <algorithm>
#include <cmath>

#include "analysis/landscape/experiment.h"
#include "analysis/landscape/sgd_floor_theory.h"
#include "analysis/landscape/trained_problem.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"

namespace qmse {
namespace {

constexpr int kBins = 24;            // of ln(1 + k / k0), equally wide
constexpr int kGradientsPerBin = 8;  // on all samples

class ScheduleStudy final : public LandscapeStudy {
 public:
  ScheduleStudy(const Json& settings, const std::string& data)
      : settings_(settings), trained_(settings, data) {}

  std::vector<Json> members() const override {
    std::vector<Json> members = {{{"minimum", 0}}};
    for (const double exponent : numbers(settings_, "exponents")) {
      for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed)
        members.push_back({{"exponent", exponent}, {"seed", seed}});
    }
    return members;
  }

  MemberResult run(const Json& member) const override {
    Mlp network = trained_.network();
    const std::vector<double>& start = trained_.start();
    if (member.contains("minimum")) {
      Json floors = Json::array();
      if (trained_.at_minimum()) {
        const GradientNoise noise = gradient_noise(network, start);
        for (const double exponent : numbers(settings_, "exponents")) {
          Json row = Json::array();
          for (int bin = 0; bin < kBins; ++bin)
            row.push_back(noise.predicted(length(exponent, center(bin)), whole(settings_, "batch")));
          floors.push_back(row);
        }
      }
      return {.record = {{"loss", trained_.start_loss()}, {"floors", floors}},
              .points = {{"start", describe_network(network.shape(), network.objective()), start}}};
    }
    const double exponent = number(member, "exponent");
    Descent descent(network, start, {.momentum = 0, .batch = whole(settings_, "batch")},
                    static_cast<std::uint64_t>(whole(member, "seed")));
    std::vector<double> gradient(network.parameters()), sums(kBins), lengths;
    std::vector<std::int64_t> counts(kBins);
    std::int64_t step = 0;
    double walked = 0;
    for (int bin = 0; bin < kBins; ++bin) {
      const auto end = static_cast<std::int64_t>(edge(bin + 1));
      const std::int64_t every = std::max<std::int64_t>(1, (end - step) / kGradientsPerBin);
      for (std::int64_t in_bin = 1; step < end && !descent.done(); ++step, ++in_bin) {
        descent.step(length(exponent, static_cast<double>(step)));
        walked += length(exponent, static_cast<double>(step));
        if (in_bin % every != 0) continue;
        network.gradient(descent.weights(), gradient);
        for (const double value : gradient) sums[static_cast<std::size_t>(bin)] += value * value;
        ++counts[static_cast<std::size_t>(bin)];
      }
    }
    Json means = Json::array();
    for (std::size_t bin = 0; bin < kBins; ++bin)
      means.push_back(descent.finite() && counts[bin] > 0 ? Json(sums[bin] / static_cast<double>(counts[bin]))
                                                          : Json(nullptr));
    return {.record = {{"squared_norm", means}, {"sum_of_steps", walked}}, .points = {}};
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &trained_.problem().samples; }
  Json data() const override { return trained_.problem().description; }

 private:
  double scale() const { return number(settings_, "scale"); }
  double length(double exponent, double step) const {
    return number(settings_, "lr") * std::pow(1 + step / scale(), -exponent);
  }
  // Steps at the ends of bins.
  double edge(int bin) const {
    const double whole_range = std::log1p(static_cast<double>(whole(settings_, "steps")) / scale());
    return bin == kBins ? static_cast<double>(whole(settings_, "steps"))
                        : scale() * std::expm1(whole_range * bin / kBins);
  }
  double center(int bin) const {
    return scale() *
           std::expm1(0.5 * (std::log1p(edge(bin) / scale()) + std::log1p(edge(bin + 1) / scale())));
  }

  Json settings_;
  TrainedProblem trained_;
};

Findings ScheduleStudy::conclude(const std::vector<Json>& records) const {
  Findings findings;
  ReportTable table{{"exponent ρ", "Σα", "slope", "expected, −ρ", "last E‖∇L‖² / floor of its step"}, {}};
  Figure figure{.title = "SGD with steps α₀ / (1 + k/k₀)^ρ", .panels = {}};
  Panel panel{.title = "Squared gradient norm",
              .x_label = "step k",
              .y_label = "E‖∇L‖²",
              .curves = {},
              .log_x = true,
              .log_y = true};
  std::size_t at = 1;
  const auto exponents = numbers(settings_, "exponents");
  for (std::size_t e = 0; e < exponents.size(); ++e) {
    const double exponent = exponents[e];
    std::vector<double> slopes, totals(kBins), last;
    double walked = 0;
    std::int64_t finite = 0;
    for (std::int64_t seed = 0; seed < whole(settings_, "seeds"); ++seed, ++at) {
      const Json& means = records[at]["squared_norm"];
      walked = number(records[at], "sum_of_steps");
      std::vector<double> x, y;
      for (int bin = 0; bin < kBins; ++bin) {
        const Json& value = means[static_cast<std::size_t>(bin)];
        if (value.is_null()) continue;
        totals[static_cast<std::size_t>(bin)] += value.get<double>();
        if (center(bin) < 0.1 * static_cast<double>(whole(settings_, "steps"))) continue;
        x.push_back(std::log1p(center(bin) / scale()));
        y.push_back(std::log(value.get<double>()));
      }
      if (means.back().is_null() || x.size() < 2) continue;
      ++finite;
      slopes.push_back(least_squares_slope(x, y));
      last.push_back(means.back().get<double>());
    }
    LandscapeVerdict verdict{
        .claim = exponent > 0 ? "with steps that fall as k^−" + number_words(exponent) +
                                    ", k the step's number, the squared gradient norm falls as the step"
                              : std::string("with steps that do not fall the squared gradient norm "
                                            "does not fall either"),
        .criterion =
            "over the last nine tenths of the steps the slope of ln E‖∇L‖² on "
            "ln(1 + k/k₀) is −ρ within 0.05, or its 95 % interval contains −ρ"};
    if (slopes.size() >= 2) {
      const double slope = mean(slopes);
      const Interval interval = *student_t_interval(slopes);
      const bool good =
          std::abs(slope + exponent) <= 0.05 || (interval.low <= -exponent && -exponent <= interval.high);
      verdict.finding = good ? Finding::holds : Finding::does_not_hold;
      verdict.sentence =
          "the slope of ln E‖∇L‖² on ln(1 + k/k₀) is " + interval_words(slope, interval) +
          " for ρ = " + number_words(exponent) +
          (exponent > 0 && exponent <= 0.5 ? "; the sum Σα² of squared steps is infinite, and yet the norm "
                                             "goes to 0: a finite Σα² is sufficient, not necessary."
                                           : ".");
      verdict.statistic = {.name = "slope",
                           .value = slope,
                           .interval = interval,
                           .n = static_cast<std::int64_t>(slopes.size())};
      const Json& floors = records.front()["floors"];
      const double ratio = floors.empty() ? NAN : mean(last) / floors[e].back().get<double>();
      table.rows.push_back({number_words(exponent), number_words(walked), interval_words(slope, interval),
                            number_words(exponent > 0 ? -exponent : 0), number_words(ratio)});
      findings.summary.push_back({{"exponent", exponent},
                                  {"slope", slope},
                                  {"low", interval.low},
                                  {"high", interval.high},
                                  {"sum_of_steps", walked},
                                  {"ratio_to_floor", std::isfinite(ratio) ? Json(ratio) : Json(nullptr)},
                                  {"runs", finite}});
    }
    findings.verdicts.push_back(std::move(verdict));
    Curve curve{.label = "ρ = " + number_words(exponent), .x = {}, .mean = {}};
    for (int bin = 0; bin < kBins; ++bin) {
      if (finite == 0) break;
      curve.x.push_back(center(bin));
      curve.mean.push_back(totals[static_cast<std::size_t>(bin)] / static_cast<double>(finite));
    }
    panel.curves.push_back(std::move(curve));
  }
  findings.tables.push_back(std::move(table));
  figure.panels.push_back(std::move(panel));
  findings.figures.push_back(std::move(figure));
  findings.notes.push_back(
      "Data: " + trained_.problem().text + ". Start: " + std::string(name(trained_.kind_of_start())) +
      ". Step number k has the length α = α₀ / (1 + k/k₀)^ρ; the floor of a step is what the experiment "
      "sgd-floor predicts for it. Robbins and Monro (1951) is about roots of monotone "
      "regression functions; that liminf E‖∇L‖² = 0 for Σα = ∞, Σα² < ∞ is Bottou, "
      "Curtis and Nocedal's theorem for losses that are not convex. From far away the "
      "fastest falling step arrives last: it has the smallest sum of steps.");
  return findings;
}

}  // namespace

LandscapeExperiment schedule_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 1000, 20, "class");
  for (LandscapeOption& option : trained_problem_options()) options.push_back(std::move(option));
  const std::vector<LandscapeOption> own = {
      {.name = "exponents",
       .help = "ρ: steps lr / (1 + k / scale)^ρ",
       .usual = {0.0, 0.5, 0.75, 1.0},
       .low = 0,
       .high = 4},
      {.name = "lr", .help = "first step", .usual = 0.1, .low = 1e-12, .high = 100},
      {.name = "scale",
       .help = "k₀, steps until the step has fallen by 2^ρ",
       .usual = 1000.0,
       .low = 1,
       .high = 1e9},
      {.name = "batch", .help = "batch size", .usual = 10, .low = 1, .high = 20000},
      {.name = "seeds", .help = "runs of each exponent", .usual = 16, .quick = 8, .low = 2, .high = 10000},
      {.name = "steps",
       .help = "of each run",
       .usual = 60000,
       .quick = 30000,
       .low = 100,
       .high = 100000000}};
  options.insert(options.end(), own.begin(), own.end());
  return {.name = "schedule",
          .summary = "SGD with falling steps (Robbins–Monro)",
          .statement =
              "With steps that sum to infinity and whose squares do not, the gradient of SGD goes to 0; near "
              "a minimum its squared norm follows the step.",
          .source = "Robbins & Monro (1951); Bottou, Curtis & Nocedal (2018), theorems 4.9 and 4.10",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<ScheduleStudy>(settings, data);
          }};
}

}  // namespace qmse
