// What a network's parameters can do without its function noticing, and what follows for critical points.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "analysis/critical/certificate.h"
#include "analysis/critical/kinks.h"
#include "analysis/critical/search.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/problem.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"
#include "base/error.h"
#include "random/random_stream.h"

namespace qmse {
namespace {

// The parameters of one hidden unit: weights, bias, and its weights in the outputs.
struct Unit {
  std::vector<std::size_t> in, out;  // places; `in` has the bias too
};

std::vector<Unit> units_of(const MlpShape& shape) {
  std::vector<Unit> units(static_cast<std::size_t>(shape.widths[1]));
  for (std::size_t i = 0; i < units.size(); ++i) {
    const auto unit = static_cast<std::int64_t>(i);
    for (std::int64_t k = 0; k < shape.inputs(); ++k)
      units[i].in.push_back(static_cast<std::size_t>(unit * shape.inputs() + k));
    if (shape.biases) units[i].in.push_back(static_cast<std::size_t>(shape.bias_offset(1) + unit));
    for (std::int64_t o = 0; o < shape.outputs(); ++o)
      units[i].out.push_back(static_cast<std::size_t>(shape.weight_offset(2) + o * shape.widths[1] + unit));
  }
  return units;
}

void scale(std::vector<double>& w, const Unit& unit, double in, double out) {
  for (const std::size_t at : unit.in) w[at] *= in;
  for (const std::size_t at : unit.out) w[at] *= out;
}

void swap_units(std::vector<double>& w, const Unit& a, const Unit& b) {
  for (std::size_t k = 0; k < a.in.size(); ++k) std::swap(w[a.in[k]], w[b.in[k]]);
  for (std::size_t o = 0; o < a.out.size(); ++o) std::swap(w[a.out[o]], w[b.out[o]]);
}

double squares(const std::vector<double>& values, const std::vector<std::size_t>& places) {
  double sum = 0;
  for (const std::size_t at : places) sum += values[at] * values[at];
  return sum;
}

double ulps(double a, double b) {
  const double size = std::max(std::abs(a), std::abs(b));
  return size == 0 ? 0 : std::abs(a - b) / (std::nextafter(size, INFINITY) - size);
}

class SymmetriesStudy final : public LandscapeStudy {
 public:
  SymmetriesStudy(const Json& settings, const std::string& data)
      : settings_(settings), problem_(make_problem(settings, data)), hidden_(whole(settings, "hidden")) {}

  std::vector<Json> members() const override {
    std::vector<Json> members;
    using enum HiddenActivation;
    for (const HiddenActivation activation : {tanh, relu, leaky_relu, identity}) {
      for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed)
        members.push_back({{"point", std::string(name(activation))}, {"seed", seed}});
    }
    for (const HiddenActivation activation : {identity, leaky_relu}) {
      for (std::int64_t seed = 1; seed <= whole(settings_, "minima"); ++seed)
        members.push_back({{"minimum", std::string(name(activation))}, {"seed", seed}});
    }
    return members;
  }

  MemberResult run(const Json& member) const override {
    const bool minimum = member.contains("minimum");
    const auto activation = chosen<HiddenActivation>(member, minimum ? "minimum" : "point");
    const auto seed = static_cast<std::uint64_t>(whole(member, "seed"));
    return minimum ? zeros_at_minimum(activation, seed)
                   : MemberResult{.record = identities(activation, seed), .points = {}};
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &problem_.samples; }
  Json data() const override { return problem_.description; }

 private:
  Mlp network(HiddenActivation activation, std::int64_t hidden, bool biases) const {
    return Mlp({.widths = {problem_.samples.inputs, hidden, problem_.samples.outputs},
                .activation = activation,
                .biases = biases},
               {}, problem_.samples);
  }

  // So few that a descent ends at a minimum: of a linear network no more than the rank, of others two.
  std::int64_t hidden_at_minimum(HiddenActivation activation) const {
    if (activation != HiddenActivation::identity) return std::min<std::int64_t>(2, hidden_);
    return std::min({hidden_, problem_.samples.inputs, problem_.samples.outputs});
  }

  static std::vector<double> random_point(const Mlp& network, std::uint64_t seed) {
    RandomStream random(seed, RandomPurpose::start);
    std::vector<double> w;
    for (std::size_t i = 0; i < network.parameters(); ++i) w.push_back(0.7 * random.normal());
    return w;
  }

  Json identities(HiddenActivation activation, std::uint64_t seed) const;
  MemberResult zeros_at_minimum(HiddenActivation activation, std::uint64_t seed) const;

  Json settings_;
  Problem problem_;
  std::int64_t hidden_;
};

Json SymmetriesStudy::identities(HiddenActivation activation, std::uint64_t seed) const {
  Mlp network = this->network(activation, hidden_, true);
  const std::vector<double> w = random_point(network, seed);
  const std::vector<Unit> units = units_of(network.shape());
  const double loss = network.loss(w);
  const auto changed = [&](const auto& change) {
    std::vector<double> other = w;
    for (std::size_t i = 0; i < units.size(); ++i) change(other, i);
    return network.loss(other);
  };
  Json record;
  record["permuted_ulps"] = ulps(loss, changed([&](std::vector<double>& other, std::size_t i) {
                                   if (i + 1 < units.size()) swap_units(other, units[i], units[i + 1]);
                                 }));
  const double flipped =
      changed([&](std::vector<double>& other, std::size_t i) { scale(other, units[i], -1, -1); });
  const double doubled = changed([&](std::vector<double>& other, std::size_t i) {
    const double power = std::exp2(static_cast<double>(i % 5) - 2);
    scale(other, units[i], power, 1 / power);
  });
  const double scaled =
      changed([&](std::vector<double>& other, std::size_t i) { scale(other, units[i], 1.7, 1 / 1.7); });
  const bool odd = activation == HiddenActivation::tanh || activation == HiddenActivation::identity;
  const bool homogeneous = is_piecewise_linear(activation);
  // What must be the same bits, and what must not: the controls.
  record["same_bits"] = (!odd || flipped == loss) && (!homogeneous || doubled == loss);
  record["scaled_ulps"] = homogeneous ? Json(ulps(loss, scaled)) : Json(nullptr);
  const double control = odd && homogeneous ? NAN : std::abs((odd ? scaled : flipped) - loss);
  record["control_change"] = std::isfinite(control) ? Json(control) : Json(nullptr);

  // tau = (w, b, -z) of a unit: gradient . tau = 0 and H tau = -T gradient, T = diag(+1, +1, -1), where units
  // are homogeneous.
  std::vector<double> gradient(w.size()), tau(w.size()), product(w.size());
  network.gradient(w, gradient);
  double along = 0, curved = 0;
  for (const Unit& unit : units) {
    std::fill(tau.begin(), tau.end(), 0.0);
    for (const std::size_t at : unit.in) tau[at] = w[at];
    for (const std::size_t at : unit.out) tau[at] = -w[at];
    network.curvature_products(w, 1, tau, product);
    double dot = 0;
    for (std::size_t i = 0; i < w.size(); ++i) dot += gradient[i] * tau[i];
    along = std::max(along, std::abs(dot));
    std::vector<double> error = product;
    for (const std::size_t at : unit.in) error[at] += gradient[at];
    for (const std::size_t at : unit.out) error[at] -= gradient[at];
    for (const double value : error) curved = std::max(curved, std::abs(value));
  }
  record["gradient_tau"] = along;
  record["hessian_tau"] = curved;

  // One step of gradient descent: the change of ||w||^2 + b^2 - ||z||^2 is a^2 times that of the gradient.
  const double lr = 0.1;
  std::vector<double> next = w;
  for (std::size_t i = 0; i < w.size(); ++i) next[i] -= lr * gradient[i];
  double imbalance = 0;
  for (const Unit& unit : units) {
    const double before = squares(w, unit.in) - squares(w, unit.out),
                 after = squares(next, unit.in) - squares(next, unit.out);
    const double predicted = lr * lr * (squares(gradient, unit.in) - squares(gradient, unit.out));
    imbalance = std::max(imbalance,
                         std::abs(after - before - predicted) / (squares(w, unit.in) + squares(w, unit.out)));
  }
  record["balance"] = imbalance;
  return record;
}

// Zero eigenvalues of the Hessian at a minimum: one a unit by scaling; h^2 of a linear network without
// biases, by GL(h).
MemberResult SymmetriesStudy::zeros_at_minimum(HiddenActivation activation, std::uint64_t seed) const {
  const bool linear = activation == HiddenActivation::identity;
  const std::int64_t hidden = hidden_at_minimum(activation);
  Mlp network = this->network(activation, hidden, !linear);
  std::vector<double> w = random_point(network, seed);
  Descent descent(network, std::move(w), {.momentum = 0.9}, seed);
  const std::int64_t steps = whole(settings_, "steps");
  double length = 0.05;
  for (std::int64_t step = 0; step < steps && !descent.done(); ++step) {
    if (5 * step > 3 * steps) length *= std::exp(std::log(1e-6) / (0.4 * static_cast<double>(steps)));
    descent.step(length);
  }
  std::vector<double> end = descent.weights();
  std::int64_t kinks = 0;
  if (!linear) kinks = examine_kinks(network, end).kinks;
  // Off kinks the loss is smooth as far as the search goes; it ends where it began, but to rounding.
  if (kinks == 0) end = find_critical_point(network, end, {.iterations = 50, .target = 1e-14}).weights;
  if (!linear) kinks = std::max(kinks, examine_kinks(network, end).kinks);
  const CriticalCertificate certificate = certify(network, end);
  return {.record = {{"kinks", kinks},
                     {"critical", certificate.critical && kinks == 0},
                     {"loss", certificate.loss},
                     {"index", certificate.index},
                     {"nullity", certificate.nullity},
                     {"uncertain", certificate.uncertain},
                     {"forced", linear ? hidden * hidden : hidden},
                     {"spectrum", certificate.spectrum}},
          .points = {{"minimum", describe_network(network.shape(), network.objective()), end}}};
}

Findings SymmetriesStudy::conclude(const std::vector<Json>& records) const {
  const std::vector<Json> all = members();
  Findings findings;
  struct Worst {
    double permuted = 0, scaled = 0, tau = 0, curved = 0, balance = 0, least_control = INFINITY,
           least_tau = INFINITY;
    bool same = true;
    std::int64_t points = 0;
  } worst;
  ReportTable table{{"activation", "point", "permuted, ulp", "scaled, ulp", "same bits", "control", "|∇L·τ|",
                     "|Hτ + T∇L|", "balance"},
                    {}};
  struct Zeros {
    std::int64_t minima = 0, enough = 0, equal = 0, with_kinks = 0, hidden = 0;
  };
  std::map<HiddenActivation, Zeros> zeros_of;
  Figure figure{.title = "Zero eigenvalues that symmetry forces", .panels = {}, .columns = 2};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Json& record = records[i];
    if (all[i].contains("point")) {
      const auto activation = chosen<HiddenActivation>(all[i], "point");
      ++worst.points;
      worst.permuted = std::max(worst.permuted, number(record, "permuted_ulps"));
      worst.same = worst.same && record["same_bits"].get<bool>();
      worst.balance =
          std::max(worst.balance, is_piecewise_linear(activation) ? number(record, "balance") : 0.0);
      if (!record["control_change"].is_null())
        worst.least_control = std::min(worst.least_control, number(record, "control_change"));
      if (is_piecewise_linear(activation)) {
        worst.scaled = std::max(worst.scaled, number(record, "scaled_ulps"));
        worst.tau = std::max(worst.tau, number(record, "gradient_tau"));
        worst.curved = std::max(worst.curved, number(record, "hessian_tau"));
      } else {
        worst.least_tau = std::min(worst.least_tau, number(record, "gradient_tau"));
      }
      if (whole(all[i], "seed") == 1) {
        table.rows.push_back(
            {text(all[i], "point"), "1", number_words(number(record, "permuted_ulps")),
             record["scaled_ulps"].is_null() ? "–" : number_words(number(record, "scaled_ulps")),
             record["same_bits"].get<bool>() ? "yes" : "no",
             record["control_change"].is_null() ? "–" : number_words(number(record, "control_change")),
             number_words(number(record, "gradient_tau"), 2), number_words(number(record, "hessian_tau"), 2),
             number_words(number(record, "balance"), 2)});
      }
      continue;
    }
    const auto trained = chosen<HiddenActivation>(all[i], "minimum");
    Zeros& of = zeros_of[trained];
    of.hidden = hidden_at_minimum(trained);
    of.with_kinks += whole(record, "kinks") > 0;
    if (!record["critical"].get<bool>()) continue;
    ++of.minima;
    const std::int64_t forced = whole(record, "forced"), found = whole(record, "nullity");
    of.enough += found >= forced;
    of.equal += found == forced;
    findings.summary.push_back({{"activation", all[i]["minimum"]},
                                {"seed", all[i]["seed"]},
                                {"forced", forced},
                                {"found", found},
                                {"index", record["index"]},
                                {"uncertain", record["uncertain"]}});
    const std::string title = text(all[i], "minimum");
    if (std::none_of(figure.panels.begin(), figure.panels.end(),
                     [&](const Panel& panel) { return panel.title == title; })) {
      auto spectrum = record["spectrum"].get<std::vector<double>>();
      std::sort(spectrum.begin(), spectrum.end(),
                [](double a, double b) { return std::abs(a) < std::abs(b); });
      Curve zeros{.label = "forced to be zero", .x = {}, .mean = {}, .mark = CurveMark::dots},
          others{.label = "others", .x = {}, .mean = {}, .mark = CurveMark::dots};
      for (std::size_t k = 0; k < spectrum.size(); ++k) {
        Curve& curve = static_cast<std::int64_t>(k) < forced ? zeros : others;
        curve.x.push_back(static_cast<double>(k + 1));
        curve.mean.push_back(std::max(std::abs(spectrum[k]), 1e-20));
      }
      figure.panels.push_back({.title = title,
                               .x_label = "eigenvalue",
                               .y_label = "|λ|",
                               .curves = {zeros, others},
                               .log_y = true});
    }
  }
  findings.tables.push_back(std::move(table));
  const bool sound = worst.permuted <= 4 * std::sqrt(static_cast<double>(hidden_)) && worst.same &&
                     worst.least_control > 1e-6;
  findings.verdicts.push_back(
      {.claim = "permuting hidden units, flipping the signs of tanh units and scaling (leaky) ReLU units "
                "leave the function alone",
       .finding = sound ? Finding::exact : Finding::does_not_hold,
       .sentence =
           "permutations change the loss by at most " + number_words(worst.permuted) +
           " units in the last place of the number, scaling by 1.7 by at most " + number_words(worst.scaled) +
           "; sign flips of tanh and scaling by powers of 2 change " + (worst.same ? "not one bit" : "bits") +
           ". What is no symmetry (scaling tanh, flipping signs of ReLUs) changes the loss by at least " +
           number_words(worst.least_control) + ".",
       .statistic =
           {.name = "largest change, ulp", .value = worst.permuted, .interval = {}, .n = worst.points},
       .criterion =
           "at most 4 √h units in the last place with h hidden units, and the same bits where only signs and "
           "powers of 2 change"});
  findings.verdicts.push_back(
      {.claim = "at every differentiable point ∇L·τ = 0 and Hτ = −T∇L, where τ = (w, b, −z) and T = diag(1, "
                "1, −1) for a (leaky) ReLU or linear unit with incoming weights w, bias b and outgoing "
                "weights z",
       .finding = worst.tau < 1e-12 && worst.curved < 1e-12 ? Finding::exact : Finding::does_not_hold,
       .sentence = "|∇L·τ| is at most " + number_words(worst.tau, 2) + " and |Hτ + T∇L| at most " +
                   number_words(worst.curved, 2) +
                   "; of tanh units, which may not be scaled, |∇L·τ| is at least " +
                   number_words(worst.least_tau, 2) + ".",
       .statistic = {.name = "largest |Hτ + T∇L|", .value = worst.curved, .interval = {}, .n = worst.points},
       .criterion = "both below 1e-12"});
  findings.verdicts.push_back(
      {.claim = "a step α of gradient descent changes ‖w‖² + b² − ‖z‖² of each unit by α² times the same "
                "expression of the gradient's entries",
       .finding = worst.balance < 1e-13 ? Finding::exact : Finding::does_not_hold,
       .sentence = "the largest relative deviation is " + number_words(worst.balance, 2) + ".",
       .statistic = {.name = "largest deviation", .value = worst.balance, .interval = {}, .n = worst.points},
       .criterion = "below 1e-13"});
  for (const auto& [activation, of] : zeros_of) {
    const bool linear = activation == HiddenActivation::identity;
    findings.verdicts.push_back(
        {.claim = linear
                      ? "a critical point of a linear network of two layers with h hidden units has the zero "
                        "eigenvalues that its symmetry forces: h² where one layer's matrix has rank h"
                      : "a critical point of a (leaky) ReLU network has a zero eigenvalue for each hidden "
                        "unit, by scaling",
         .finding = of.minima == 0           ? Finding::not_shown
                    : of.enough == of.minima ? Finding::exact
                                             : Finding::does_not_hold,
         .sentence = "with " + std::to_string(of.hidden) + " hidden units, at " + std::to_string(of.enough) +
                     " of " + std::to_string(of.minima) +
                     " certified critical points there are at least as many zero eigenvalues as symmetry "
                     "forces, at " +
                     std::to_string(of.equal) + " exactly as many" +
                     (linear ? ". The first layer may be multiplied by any invertible h × h matrix and the "
                               "second by its inverse: h² directions, fewer where neither matrix has rank h."
                             : "; " + std::to_string(of.with_kinks) +
                                   " descents ended on kinks, where there is no Hessian."),
         .statistic = {.name = "points with the forced zeros",
                       .value = static_cast<double>(of.enough),
                       .interval = {},
                       .n = of.minima},
         .criterion = "all of them"});
    if (of.minima == 0) {
      findings.verdicts.back().sentence =
          "no critical point was found: " + std::to_string(of.with_kinks) +
          " descents ended on kinks, where there is no Hessian, so nothing could be counted.";
    }
  }
  findings.notes.push_back(
      "Data: " + problem_.text + "; " + std::to_string(hidden_) +
      " hidden units; zero eigenvalues are counted in networks of as many as their verdicts say. A unit has "
      "incoming weights w, a bias b and outgoing weights z. Scaling by a factor "
      "makes w and b as many times larger and z smaller: it moves them in the direction τ, in which all "
      "other entries are 0. All networks that symmetries make of one are its orbit: of a tanh network with "
      "h units 2^h h! points (Sussmann 1992), of a ReLU network a surface of dimension h.");
  findings.notes.push_back(
      "The table has the first point of each activation. ulp: units in the last place, the distance of "
      "neighbouring numbers in the computer, by which the loss changes; control: the change by what is no "
      "symmetry; balance: the deviation from the statement on a step of gradient descent.");
  if (!figure.panels.empty()) findings.figures.push_back(std::move(figure));
  return findings;
}

}  // namespace

LandscapeExperiment symmetries_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 60, 6, "projection:3", YesNo::no);
  const std::vector<LandscapeOption> own = {
      {.name = "hidden", .help = "units", .usual = 6, .low = 2, .high = 100},
      {.name = "seeds",
       .help = "random points of each activation",
       .usual = 20,
       .quick = 5,
       .low = 1,
       .high = 10000},
      {.name = "minima", .help = "descents of each kind", .usual = 12, .quick = 6, .low = 0, .high = 10000},
      {.name = "steps", .help = "of each descent", .usual = 30000, .low = 1, .high = 100000000}};
  options.insert(options.end(), own.begin(), own.end());
  return {
      .name = "symmetries",
      .summary = "equivalent networks, and the zero eigenvalues they force",
      .statement =
          "Networks that differ by a permutation of hidden units, by signs (tanh) or by scaling (ReLU) are "
          "the same function; so critical points come in orbits, and the Hessian has a zero eigenvalue for "
          "each direction of an orbit.",
      .source = "Sussmann (1992); Chen, Lu & Hecht-Nielsen (1993); Dinh et al. (2017); Du, Hu & Lee (2018)",
      .options = std::move(options),
      .presets = {},
      .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
        return std::make_unique<SymmetriesStudy>(settings, data);
      }};
}

}  // namespace qmse
