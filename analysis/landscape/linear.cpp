// Baldi and Hornik: every critical point of a linear network, against its closed form.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "algebra/dense.h"
#include "analysis/critical/certificate.h"
#include "analysis/critical/search.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/linear_theory.h"
#include "analysis/landscape/problem.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"
#include "base/error.h"
#include "base/words.h"
#include "random/random_stream.h"

namespace qmse {
namespace {

std::string set_words(const std::vector<std::int64_t>& set) {
  return "{" + join(set, ", ", [](std::int64_t i) { return std::to_string(i + 1); }) + "}";
}

class LinearStudy final : public LandscapeStudy {
 public:
  LinearStudy(const Json& settings, const std::string& data)
      : settings_(settings),
        problem_(make_problem(settings, data)),
        hidden_(whole(settings, "hidden")),
        theory_(problem_.samples) {
    if (hidden_ > theory_.rank()) {
      throw ConfigError("--hidden " + std::to_string(hidden_) +
                        " is more than min(inputs, outputs) = " + std::to_string(theory_.rank()) +
                        ": the closed form is about networks with a bottleneck");
    }
  }

  std::vector<Json> members() const override {
    std::vector<Json> members = {{{"three_layers", 0}}};
    for (std::int64_t start = 1; start <= whole(settings_, "starts"); ++start)
      members.push_back({{"search", start}});
    for (std::int64_t seed = 1; seed <= whole(settings_, "descents"); ++seed)
      members.push_back({{"descent", seed}});
    return members;
  }

  MemberResult run(const Json& member) const override {
    if (member.contains("three_layers")) return three_layers();
    const bool search = member.contains("search");
    const auto seed = static_cast<std::uint64_t>(whole(member, search ? "search" : "descent"));
    Mlp network = two_layers();
    RandomStream random(seed, RandomPurpose::start, search ? 0 : 1);
    const double size = search ? std::pow(10.0, random.uniform(-1.5, 0.3)) : 0.3;
    std::vector<double> w;
    for (std::size_t i = 0; i < network.parameters(); ++i) w.push_back(size * random.normal());
    if (!search) {
      Descent descent(network, std::move(w), {.momentum = 0.9}, seed);
      for (std::int64_t step = 0; step < whole(settings_, "descent_steps"); ++step)
        descent.step(number(settings_, "lr"));
      w = descent.weights();
    }
    SearchEnd end =
        find_critical_point(network, std::move(w), {.iterations = search ? 300 : 30, .target = 1e-13});
    return described(network, end.weights);
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &problem_.samples; }
  Json data() const override { return problem_.description; }

 private:
  Mlp two_layers() const {
    return Mlp({.widths = {problem_.samples.inputs, hidden_, problem_.samples.outputs},
                .activation = HiddenActivation::identity,
                .biases = false},
               {}, problem_.samples);
  }

  MemberResult described(Mlp& network, const std::vector<double>& w) const {
    const CriticalCertificate certificate = certify(network, w, {.gradient = 1e-9});
    const LinearTheory::Subset subset = theory_.subset(w, hidden_);
    MemberResult result;
    result.record = {{"critical", certificate.critical},
                     {"gradient", certificate.gradient},
                     {"loss", certificate.loss},
                     {"index", certificate.index},
                     {"nullity", certificate.nullity},
                     {"uncertain", certificate.uncertain},
                     {"subset", subset.members},
                     {"deviation", subset.deviation},
                     {"loss_predicted", theory_.loss(subset.members)},
                     {"index_predicted", theory_.index(subset.members, hidden_)},
                     {"nullity_predicted", theory_.nullity(subset.members, hidden_)}};
    result.points = {{"critical", describe_network(network.shape(), network.objective()), w}};
    return result;
  }

  // At 0 the gradient and the Hessian of three layers are 0, and yet the loss falls along the way to the best
  // map of rank 1.
  MemberResult three_layers() const {
    Mlp network({.widths = {problem_.samples.inputs, 1, 1, problem_.samples.outputs},
                 .activation = HiddenActivation::identity,
                 .biases = false},
                {}, problem_.samples);
    const std::vector<double> zero(network.parameters());
    std::vector<double> gradient(network.parameters()), along = theory_.best_rank_one();
    network.gradient(zero, gradient);
    const std::vector<double> hessian = network.curvature_matrix(zero);
    const auto largest = [](const std::vector<double>& values) {
      double most = 0;
      for (const double value : values) most = std::max(most, std::abs(value));
      return most;
    };
    // (first layer, middle, last layer) = t (b, 1, a): the map is t^3 a b^T.
    std::vector<double> w(along.begin(), along.begin() + problem_.samples.inputs);
    w.push_back(1);
    w.insert(w.end(), along.begin() + problem_.samples.inputs, along.end());
    const double start = network.loss(zero);
    double best = start;
    for (double t = 0.05; t < 1.5; t *= 1.1) {
      std::vector<double> at = w;
      for (double& value : at) value *= t;
      best = std::min(best, network.loss(at));
    }
    return {.record = {{"gradient", largest(gradient)},
                       {"hessian", largest(hessian)},
                       {"loss", start},
                       {"loss_beside", best}},
            .points = {}};
  }

  Json settings_;
  Problem problem_;
  std::int64_t hidden_;
  LinearTheory theory_;
};

Findings LinearStudy::conclude(const std::vector<Json>& records) const {
  const std::vector<Json> all = members();
  Findings findings;
  std::set<std::vector<std::int64_t>> subsets;
  std::int64_t searched = 0, critical = 0, agree = 0, minima = 0, false_minima = 0, descents = 0, global = 0;
  double worst_loss = 0;
  const double best = theory_.loss(theory_.best(hidden_));
  Curve found{.label = "found", .x = {}, .mean = {}, .mark = CurveMark::dots};
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].contains("three_layers")) continue;
    const Json& record = records[i];
    const double loss = number(record, "loss");
    if (all[i].contains("descent")) {
      ++descents;
      global += std::abs(loss - best) < 1e-9 && whole(record, "index") == 0;
      continue;
    }
    ++searched;
    if (!record["critical"].get<bool>()) continue;
    ++critical;
    const auto subset = record["subset"].get<std::vector<std::int64_t>>();
    subsets.insert(subset);
    const double deviation = std::abs(loss - number(record, "loss_predicted"));
    worst_loss = std::max(worst_loss, deviation);
    agree += deviation < 1e-12 && record["index"] == record["index_predicted"] &&
             record["nullity"] == record["nullity_predicted"];
    minima += whole(record, "index") == 0;
    false_minima += whole(record, "index") == 0 && loss > best + 1e-9;
    found.x.push_back(static_cast<double>(whole(record, "index")));
    found.mean.push_back(loss);
  }
  ReportTable table{{"subset I", "loss", "index", "nullity", "found"}, {}};
  Curve closed{.label = "closed form", .x = {}, .mean = {}, .mark = CurveMark::circles};
  for (const auto& subset : theory_.subsets(hidden_)) {
    std::int64_t times = 0;
    for (std::size_t i = 0; i < all.size(); ++i)
      times += all[i].contains("search") && records[i]["critical"].get<bool>() &&
               records[i]["subset"] == Json(subset);
    closed.x.push_back(static_cast<double>(theory_.index(subset, hidden_)));
    closed.mean.push_back(theory_.loss(subset));
    table.rows.push_back({set_words(subset), number_words(theory_.loss(subset), 6),
                          std::to_string(theory_.index(subset, hidden_)),
                          std::to_string(theory_.nullity(subset, hidden_)), std::to_string(times)});
    findings.summary.push_back({{"subset", subset},
                                {"loss", theory_.loss(subset)},
                                {"index", theory_.index(subset, hidden_)},
                                {"nullity", theory_.nullity(subset, hidden_)},
                                {"found", times}});
  }
  findings.tables.push_back(std::move(table));
  findings.verdicts.push_back(
      {.claim = "every critical point of a linear network belongs to a subset of eigenvectors, and loss, "
                "index and nullity are those of the closed form",
       .finding = critical == 0       ? Finding::not_run
                  : agree == critical ? Finding::exact
                                      : Finding::does_not_hold,
       .sentence =
           std::to_string(agree) + " of " + std::to_string(critical) + " critical points found (" +
           std::to_string(searched) +
           " searches) have the closed form's loss, index and nullity; the losses differ by at most " +
           number_words(worst_loss, 2) + "; " + std::to_string(subsets.size()) + " of " +
           std::to_string(theory_.subsets(hidden_).size()) + " subsets were found.",
       .statistic =
           {.name = "points that agree", .value = static_cast<double>(agree), .interval = {}, .n = critical},
       .criterion = "all of them, the loss within 1e-12"});
  findings.verdicts.push_back(
      {.claim = "the only local minimum is the global one",
       .finding = critical == 0                             ? Finding::not_run
                  : false_minima == 0 && global == descents ? Finding::exact
                                                            : Finding::does_not_hold,
       .sentence =
           std::to_string(minima) + " of " + std::to_string(critical) +
           " critical points have no negative eigenvalue; " +
           (false_minima == 0 ? std::string("each of these is the global minimum")
                              : std::to_string(false_minima) + " of these are not the global minimum") +
           "; gradient descent reached the global minimum from " + std::to_string(global) + " of " +
           std::to_string(descents) + " random starts.",
       .statistic = {.name = "other local minima",
                     .value = static_cast<double>(false_minima),
                     .interval = {},
                     .n = minima},
       .criterion = "none, and every descent ends there"});
  const Json& three = records.front();
  const bool degenerate = number(three, "gradient") == 0 && number(three, "hessian") == 0 &&
                          number(three, "loss_beside") < number(three, "loss");
  findings.verdicts.push_back(
      {.claim = "with three layers, too, every saddle is strict (has a direction of negative curvature)",
       .finding = degenerate ? Finding::does_not_hold : Finding::not_shown,
       .sentence = "where all weights of a three-layer linear network are 0, the largest entries of gradient "
                   "and Hessian are " +
                   number_words(number(three, "gradient")) + " and " +
                   number_words(number(three, "hessian")) +
                   ", and yet the loss falls beside it: along t (b, 1, a), the weights of the first, the "
                   "middle and the last layer, where a bᵀ is the best linear map of rank 1, it falls with "
                   "t³, for every t > 0 however small, from " +
                   number_words(number(three, "loss"), 6) + " at t = 0 to " +
                   number_words(number(three, "loss_beside"), 6) + " near t = 1.",
       .statistic = {.name = "largest entry of the Hessian at 0",
                     .value = number(three, "hessian"),
                     .interval = {},
                     .n = 1},
       .criterion = "does not hold where gradient and Hessian are exactly 0 and the loss falls nearby"});
  std::vector<std::int64_t> of_size(static_cast<std::size_t>(hidden_) + 1);
  for (const auto& subset : theory_.subsets(hidden_)) ++of_size[subset.size()];
  const std::string sizes = join(of_size, " + ", [](std::int64_t n) { return std::to_string(n); });
  findings.notes.push_back("Data: " + problem_.text + "; " + std::to_string(hidden_) +
                           " hidden units, no biases. Σ_xx, Σ_xy and Σ_yx are the means of xxᵀ, xyᵀ and yxᵀ "
                           "over the samples, x the inputs and y the targets. A subset I names eigenvectors "
                           "of Σ, 1 that of the largest eigenvalue. Searches minimise ‖∇L‖², not L, so they "
                           "end at saddles as readily as at minima.");
  findings.notes.push_back(
      "Closed form: with h hidden units, q = min(inputs, outputs) and the eigenvalues λ₁ > λ₂ > … of Σ, a "
      "subset I of m ≤ h of the first q eigenvectors has the loss ½ (tr Σ_yy − the sum of λ_i over i in I), "
      "Σ_yy the mean of yyᵀ; the index is the number of pairs of i in I and j not in I with λ_j > λ_i, plus "
      "(h − m)(q − m); the nullity is h² − (h − m)² + (h − m)(inputs + outputs − 2q). Here h = " +
      std::to_string(hidden_) + " and q = " + std::to_string(theory_.rank()) + ": there are " + sizes +
      " = " + std::to_string(theory_.subsets(hidden_).size()) + " subsets with 0 to " +
      std::to_string(hidden_) + " members.");
  findings.figures.push_back({.title = "Critical points of a linear network",
                              .panels = {{.title = "Loss against index",
                                          .x_label = "index (negative eigenvalues)",
                                          .y_label = "loss",
                                          .curves = {closed, found}}}});
  return findings;
}

}  // namespace

LandscapeExperiment linear_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 400, 6, "projection:4", YesNo::no);
  const std::vector<LandscapeOption> own = {
      {.name = "hidden", .help = "units, at most min(inputs, outputs)", .usual = 3, .low = 1, .high = 64},
      {.name = "starts", .help = "of the search", .usual = 150, .low = 1, .high = 100000},
      {.name = "descents",
       .help = "random starts of gradient descent",
       .usual = 50,
       .quick = 20,
       .low = 0,
       .high = 100000},
      {.name = "descent_steps", .help = "of each", .usual = 20000, .low = 1, .high = 100000000},
      {.name = "lr",
       .help = "of gradient descent with momentum 0.9",
       .usual = 0.05,
       .low = 1e-9,
       .high = 100}};
  options.insert(options.end(), own.begin(), own.end());
  return {.name = "linear",
          .summary = "all critical points of a linear network (Baldi–Hornik)",
          .statement =
              "At a critical point of a linear network with one hidden layer the map that the network "
              "computes is "
              "the best linear map, Σ_yx Σ_xx⁻¹, followed by the projection on some eigenvectors of "
              "Σ = Σ_yx Σ_xx⁻¹ Σ_xy, the point's subset; the only local minimum is the global one, all "
              "others are saddles.",
          .source = "Baldi & Hornik (1989); Kawaguchi (2016) for more layers",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<LinearStudy>(settings, data);
          }};
}

}  // namespace qmse
