// Dauphin et al.: does the index of critical points rise with their loss? Points that are found, each
// certified, and points that are built, whose index is known in closed form.
#include <algorithm>
#include <cmath>

#include "algebra/norm.h"
#include "analysis/critical/certificate.h"
#include "analysis/critical/search.h"
#include "analysis/landscape/critical_points.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/problem.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"
#include "analysis/mlp/glorot.h"
#include "base/error.h"
#include "random/random_stream.h"

namespace qmse {
namespace {

class CriticalStudy final : public LandscapeStudy {
 public:
  CriticalStudy(const Json& settings, const std::string& data)
      : settings_(settings), problem_(make_problem(settings, data)) {
    objective_.weight_decay = number(settings, "weight_decay");
    const std::int64_t largest =
        shape(std::max(whole(settings, "hidden"), whole(settings, "ladder"))).parameters();
    if (largest > 1000) {
      throw ConfigError("a network of " + std::to_string(largest) +
                        " parameters is too large to be certified hundreds of times: at most 1000");
    }
    auto steps = wholes(settings, "descents");
    std::sort(steps.begin(), steps.end());
    if (std::adjacent_find(steps.begin(), steps.end()) != steps.end())
      throw ConfigError("--descents takes different numbers");
  }

  std::vector<Json> members() const override {
    std::vector<Json> members;
    for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed) {
      for (const std::int64_t steps : wholes(settings_, "descents"))
        members.push_back({{"seed", seed}, {"steps", steps}});
    }
    if (whole(settings_, "ladder") == 0 || shape(1).activation != HiddenActivation::tanh) return members;
    members.push_back({{"rung", 0}, {"start", 1}});
    for (std::int64_t rung = 1; rung < whole(settings_, "ladder"); ++rung) {
      for (std::int64_t start = 1; start <= whole(settings_, "rung_starts"); ++start)
        members.push_back({{"rung", rung}, {"start", start}});
    }
    return members;
  }

  MemberResult run(const Json& member) const override {
    return member.contains("rung") ? ladder(whole(member, "rung"), whole(member, "start"))
                                   : search(whole(member, "seed"), whole(member, "steps"));
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &problem_.samples; }
  Json data() const override { return problem_.description; }

 private:
  MlpShape shape(std::int64_t hidden) const {
    return {.widths = {problem_.samples.inputs, hidden, problem_.samples.outputs},
            .activation = chosen<HiddenActivation>(settings_, "activation")};
  }

  static MemberResult described(Mlp& network, const std::vector<double>& w) {
    const CriticalCertificate point = certify(network, w);
    MemberResult result{.record = {{"critical", point.critical},
                                   {"gradient_flat", point.gradient_flat},
                                   {"gradient", point.gradient},
                                   {"distance", point.newton_distance},
                                   {"flatness", point.flatness},
                                   {"loss", point.loss},
                                   {"index", point.index},
                                   {"nullity", point.nullity},
                                   {"uncertain", point.uncertain},
                                   {"spectrum", point.spectrum}}};
    if (point.critical)
      result.points = {{"critical", describe_network(network.shape(), network.objective()), w}};
    return result;
  }

  // From a point along a descent, with noise of a relative size from 0.001 to 1, to where ||gradient||
  // is least.
  MemberResult search(std::int64_t seed, std::int64_t steps) const {
    Mlp network(shape(whole(settings_, "hidden")), objective_, problem_.samples);
    Descent descent(network, glorot_weights(network.shape(), static_cast<std::uint64_t>(seed)), {}, 1);
    for (std::int64_t step = 0; step < steps; ++step) descent.step(number(settings_, "lr"));
    std::vector<double> w = descent.weights();
    RandomStream random(static_cast<std::uint64_t>(seed), RandomPurpose::start,
                        static_cast<std::uint32_t>(steps));
    const double size =
        std::pow(10.0, random.uniform(-3, 0)) * std::sqrt(squared_norm(w) / static_cast<double>(w.size()));
    for (double& value : w) value += size * random.normal();
    return described(network, find_critical_point(network, std::move(w)).weights);
  }

  // A critical point of fewer units, padded with units that are 0.
  MemberResult ladder(std::int64_t rung, std::int64_t start) const {
    const std::int64_t hidden = whole(settings_, "ladder");
    Mlp small(shape(std::max<std::int64_t>(rung, 1)), objective_, problem_.samples);
    std::vector<double> w(small.parameters());
    std::int64_t index = 0;
    if (rung == 0) {  // the output's biases alone
      const Samples& samples = problem_.samples;
      for (std::int64_t o = 0; o < samples.outputs; ++o) {
        w[static_cast<std::size_t>(small.shape().bias_offset(2) + o)] =
            mean_target(samples, o) / (1 + objective_.weight_decay);
      }
    } else {
      RandomStream random(static_cast<std::uint64_t>(start), RandomPurpose::start,
                          1000 + static_cast<std::uint32_t>(rung));
      for (double& value : w) value = 0.7 * random.normal();
      const SearchRule rule{.iterations = 300, .target = 1e-12};
      w = (start % 2 == 0 ? find_critical_point(small, std::move(w), rule)
                          : find_minimum(small, std::move(w), rule))
              .weights;
      const CriticalCertificate point = certify(small, w);
      if (!point.critical) return {.record = {{"critical", false}, {"gradient_flat", point.gradient_flat}}};
      index = point.index;
    }
    const std::int64_t added = negative_directions_of_a_zero_unit(small, w);
    MlpShape narrow = small.shape();
    Mlp wide(shape(hidden), objective_, problem_.samples);
    MemberResult result = described(wide, with_zero_units(narrow, w, hidden));
    result.record["index_predicted"] = index + (hidden - rung) * added;
    return result;
  }

  Json settings_;
  Problem problem_;
  MlpObjective objective_;
};

// A share of the eigenvalues in each of 40 intervals.
Curve histogram(const std::string& label, const std::vector<double>& spectrum, double low, double high) {
  constexpr int kIntervals = 40;
  Curve curve{.label = label, .x = {}, .mean = std::vector<double>(kIntervals)};
  for (int i = 0; i < kIntervals; ++i) curve.x.push_back(low + (high - low) * (i + 0.5) / kIntervals);
  for (const double value : spectrum) {
    const int at = std::clamp(static_cast<int>((value - low) / (high - low) * kIntervals), 0, kIntervals - 1);
    curve.mean[static_cast<std::size_t>(at)] += 1 / static_cast<double>(spectrum.size());
  }
  return curve;
}

Findings CriticalStudy::conclude(const std::vector<Json>& records) const {
  const std::vector<Json> all = members();
  Findings findings;
  std::vector<CriticalPoint> found, built;
  std::int64_t searches = 0, critical = 0, flat = 0, uncertain = 0, rungs = 0, agree = 0;
  const auto parameters = [&](std::int64_t hidden) {
    return static_cast<double>(shape(hidden).parameters());
  };
  Curve flats{.label = "gradient-flat: not critical", .x = {}, .mean = {}, .mark = CurveMark::dots};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Json& record = records[i];
    const bool rung = all[i].contains("rung"), is_critical = record["critical"].get<bool>();
    if (!rung) {
      ++searches;
      flat += record["gradient_flat"].get<bool>();
      if (record["gradient_flat"].get<bool>()) {
        flats.x.push_back(number(record, "loss"));
        flats.mean.push_back(static_cast<double>(whole(record, "index")) /
                             parameters(whole(settings_, "hidden")));
      }
    }
    if (!is_critical) continue;
    CriticalPoint point{.seed = whole(all[i], rung ? "start" : "seed"),
                        .loss = number(record, "loss"),
                        .index = whole(record, "index"),
                        .spectrum = record["spectrum"].get<std::vector<double>>()};
    if (rung) {
      ++rungs;
      agree += record["index"] == record["index_predicted"];
      built.push_back(std::move(point));
    } else {
      ++critical;
      uncertain += record["uncertain"].get<bool>();
      found.push_back(std::move(point));
    }
  }
  found = distinct(found);
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.loss < b.loss; });
  findings.verdicts.push_back(index_against_loss(found));
  findings.verdicts.push_back(minima_below_saddles(found));
  LandscapeVerdict ladder{.claim =
                              "adding k zero units (all of whose weights are 0) to a critical point keeps it "
                              "critical and adds to its index k times the number of singular values above λ "
                              "of the matrix M, the mean of r (x, 1)ᵀ over the samples",
                          .criterion = "every built point has the index that this formula gives"};
  if (rungs > 0) {
    ladder.finding = agree == rungs ? Finding::exact : Finding::does_not_hold;
    ladder.sentence = std::to_string(agree) + " of " + std::to_string(rungs) +
                      " built points have the index of the formula.";
    ladder.statistic = {
        .name = "points that agree", .value = static_cast<double>(agree), .interval = {}, .n = rungs};
  }
  findings.verdicts.push_back(std::move(ladder));
  const std::vector<CriticalPoint> distinct_built = distinct(built);
  if (!distinct_built.empty()) {
    LandscapeVerdict verdict = index_against_loss(distinct_built);
    verdict.claim += " (built points)";
    findings.verdicts.push_back(std::move(verdict));
  }
  ReportTable table{{"loss", "index", "share of negative eigenvalues"}, {}};
  for (const CriticalPoint& point : found) {
    findings.summary.push_back({{"kind", "found"}, {"loss", point.loss}, {"index", point.index}});
    table.rows.push_back(
        {number_words(point.loss, 5), std::to_string(point.index),
         number_words(static_cast<double>(point.index) / parameters(whole(settings_, "hidden")), 2)});
  }
  for (const CriticalPoint& point : distinct_built)
    findings.summary.push_back({{"kind", "built"}, {"loss", point.loss}, {"index", point.index}});
  findings.tables.push_back(std::move(table));
  findings.notes.push_back("Data: " + problem_.text + ", λ = " + number_words(objective_.weight_decay) +
                           " (the loss has a penalty λ/2 ‖w‖²). Of " + std::to_string(searches) +
                           " searches " + std::to_string(critical) + " ended at certified critical points (" +
                           std::to_string(found.size()) + " distinct, " + std::to_string(uncertain) +
                           " with eigenvalues too near 0 to count), " + std::to_string(flat) +
                           " at gradient-flat points, which are not critical, the others at neither. Points "
                           "that a search finds are a biased sample, points that are built a construction: "
                           "neither is all critical points.");
  const auto cloud = [&](const std::string& label, const std::vector<CriticalPoint>& points,
                         std::int64_t hidden) {
    Curve curve{.label = label, .x = {}, .mean = {}, .mark = CurveMark::dots};
    for (const CriticalPoint& point : points) {
      curve.x.push_back(point.loss);
      curve.mean.push_back(static_cast<double>(point.index) / parameters(hidden));
    }
    return curve;
  };
  Figure figure{.title = "Index against loss", .panels = {}, .columns = 2};
  const std::string x = "loss", y = "share of negative eigenvalues";
  std::vector<Curve> curves = {cloud("found, certified", found, whole(settings_, "hidden"))};
  if (!flats.x.empty()) curves.push_back(std::move(flats));
  figure.panels.push_back(
      {.title = "Found by search", .x_label = x, .y_label = y, .curves = std::move(curves), .log_x = true});
  if (!distinct_built.empty()) {
    figure.panels.push_back({.title = "Built with zero units",
                             .x_label = x,
                             .y_label = y,
                             .curves = {cloud("built", distinct_built, whole(settings_, "ladder"))},
                             .log_x = true});
  }
  findings.figures.push_back(std::move(figure));
  if (found.size() >= 3) {
    Figure spectra{.title = "Eigenvalues of the Hessian", .panels = {}};
    Panel panel{.title = "At a low, a middle and a high loss",
                .x_label = "eigenvalue",
                .y_label = "share",
                .curves = {}};
    double low = 0, high = 0;
    for (const std::size_t at : {std::size_t{0}, found.size() / 2, found.size() - 1}) {
      low = std::min(low, found[at].spectrum.front());
      high = std::max(high, found[at].spectrum.back());
    }
    for (const std::size_t at : {std::size_t{0}, found.size() / 2, found.size() - 1})
      panel.curves.push_back(
          histogram("loss " + number_words(found[at].loss), found[at].spectrum, low, high));
    spectra.panels.push_back(std::move(panel));
    findings.figures.push_back(std::move(spectra));
  }
  return findings;
}

}  // namespace

LandscapeExperiment critical_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 200, 8, "classes:3");
  const std::vector<LandscapeOption> own = {
      {.name = "hidden", .help = "units of the one hidden layer", .usual = 4, .low = 1, .high = 64},
      choice_option("activation", "of hidden units", HiddenActivation::tanh,
                    {HiddenActivation::tanh, HiddenActivation::sigmoid, HiddenActivation::identity}),
      {.name = "weight_decay",
       .help = "lambda of the penalty lambda/2 ||w||^2: above 0 points are isolated",
       .usual = 1e-3,
       .low = 0,
       .high = 10},
      {.name = "seeds",
       .help = "descents that searches begin on",
       .usual = 25,
       .quick = 8,
       .low = 1,
       .high = 10000},
      {.name = "descents",
       .help = "steps of descent before a search",
       .usual = {0, 10, 30, 100, 300, 1000, 3000, 10000},
       .low = 0,
       .high = 10000000},
      {.name = "lr", .help = "of these", .usual = 0.3, .low = 1e-9, .high = 100},
      {.name = "ladder",
       .help = "units of the networks that are built; 0: none are",
       .usual = 8,
       .quick = 6,
       .low = 0,
       .high = 64},
      {.name = "rung_starts",
       .help = "points of each smaller network",
       .usual = 8,
       .quick = 4,
       .low = 1,
       .high = 1000}};
  options.insert(options.end(), own.begin(), own.end());
  return {.name = "critical",
          .summary = "the index of critical points against their loss (Dauphin)",
          .statement =
              "Critical points with a high loss are saddles with many directions down; local minima have a "
              "loss near that of the global one.",
          .source = "Bray & Dean (2007); Dauphin et al. (2014); on gradient-flat points Frye et al. (2021)",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<CriticalStudy>(settings, data);
          }};
}

}  // namespace qmse
