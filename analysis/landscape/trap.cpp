// Two spurious local minima that are no strict ones, built by hand on XOR: what leaves them, how fast, and
// by what? docs/theory.md 7.3 to 7.5.
#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>

#include "algebra/norm.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/problem.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/text_file.h"
#include "base/words.h"
#include "random/direction.h"
#include "random/random_stream.h"

namespace qmse {
namespace {

constexpr std::int64_t kClasses = 2, kHidden = 4, kSamples = 4;
constexpr double kLeft = 0.05;             // the mean of ||r||^2 / 2 below which the point has been left
constexpr std::int64_t kLookedEvery = 50;  // steps

enum class Drift { mse, expected_qmse };
enum class Noise { none, qmse, isotropic, one_sample };
struct Method {
  const char* name;
  const char* words;
  Drift drift;
  Noise noise;
  DirectionDistribution distribution = DirectionDistribution::sphere;
  bool momentum = false, adam = false;
};
// QMSE is the drift of its expectation with its own noise.
constexpr Method kMethods[] = {
    {"mse", "MSE", Drift::mse, Noise::none},
    {"mse_momentum", "MSE, momentum 0.9", Drift::mse, Noise::none, DirectionDistribution::sphere, true},
    {"mse_adam", "MSE, Adam", Drift::mse, Noise::none, DirectionDistribution::sphere, false, true},
    {"qmse_expected", "QMSE's expected step", Drift::expected_qmse, Noise::none},
    {"qmse", "QMSE", Drift::expected_qmse, Noise::qmse},
    {"qmse_rademacher", "QMSE, Rademacher", Drift::expected_qmse, Noise::qmse,
     DirectionDistribution::rademacher},
    {"qmse_momentum", "QMSE, momentum 0.9", Drift::expected_qmse, Noise::qmse, DirectionDistribution::sphere,
     true},
    {"mse_qmse_noise", "MSE and QMSE's noise", Drift::mse, Noise::qmse},
    {"mse_isotropic", "MSE and isotropic noise of the same trace", Drift::mse, Noise::isotropic},
    {"sgd_one", "MSE, SGD with batches of one", Drift::mse, Noise::one_sample}};

// Without noise every seed is the same run.
bool is_random(const Method& method) { return method.noise != Noise::none; }

const Method& method_of(const Json& member) {
  const std::string name = text(member, "method");
  if (const Method* method = find_named(kMethods, name)) return *method;
  throw ConfigError("unknown method " + in_quotes(name) + "; known: " + join(names_of(kMethods), ", "));
}

const MlpShape kShape{.widths = {2, kHidden, kClasses}, .activation = HiddenActivation::relu};
const std::vector<double> kDirections = {1, 0, -1, 0, 0, 1, 0, -1};  // of the four units' weights

// All units active on all samples, outputs 1/2: the best affine fit.
std::vector<double> affine_trap(double margin, double scale) {
  const double m = margin, s = scale;
  std::vector<double> w = kDirections;
  for (const double value : {m, 1 + m, m, 1 + m, s, s, s, s, s, s, -s, -s, 0.5 - s * (4 * m + 2), 0.5})
    w.push_back(value);
  return w;
}

// No unit active on any sample, by `margin`; outputs 1/2.
std::vector<double> dead_trap(double margin, std::uint64_t seed) {
  std::vector<double> w = kDirections;
  for (const double largest : {1.0, 0.0, 1.0, 0.0}) w.push_back(-largest - margin);
  RandomStream random(seed, RandomPurpose::start);
  for (std::int64_t i = 0; i < kClasses * kHidden; ++i) w.push_back(random.uniform(-1, 1));
  for (std::int64_t i = 0; i < kClasses; ++i) w.push_back(0.5);
  return w;
}

DescentRule rule_of(const Method& method) {
  DescentRule rule{
      .momentum = method.momentum ? 0.9 : 0, .adam = method.adam, .directions = method.distribution};
  if (method.noise == Noise::one_sample) rule.batch = 1;
  if (method.noise == Noise::isotropic) rule.qmse_noise = QmseNoise::isotropic;
  if (method.noise == Noise::qmse && method.drift == Drift::mse) rule.qmse_noise = QmseNoise::itself;
  return rule;
}

MlpLoss loss_of(const Method& method) {
  if (method.drift == Drift::mse) return MlpLoss::mse;
  return method.noise == Noise::qmse ? MlpLoss::qmse : MlpLoss::expected_qmse;
}

// A start of a person's own: as many numbers as the network has parameters, between white space or commas.
std::vector<double> read_start(const std::string& path, std::size_t parameters) {
  std::string words = read_text_file(path);
  std::replace(words.begin(), words.end(), ',', ' ');
  std::istringstream stream(words);
  stream.imbue(std::locale::classic());
  std::vector<double> start;
  for (double value = 0; stream >> value;) start.push_back(value);
  if (!stream.eof() || start.size() != parameters) {
    throw DataError(
        in_quotes(path) + " is no start: it takes " + std::to_string(parameters) +
        " numbers (the hidden layer's weights unit by unit, its biases, the output's weights and biases), "
        "and " +
        std::to_string(start.size()) + " could be read");
  }
  return start;
}

class TrapStudy final : public LandscapeStudy {
 public:
  explicit TrapStudy(const Json& settings) : settings_(settings), samples_(exclusive_or()) {
    const std::string own = text(settings, "x0");
    start_ = own.empty() ? affine_trap(number(settings, "margin"), number(settings, "scale"))
                         : read_start(own, static_cast<std::size_t>(kShape.parameters()));
  }

  std::vector<Json> members() const override {
    std::vector<Json> members;
    for (const Method& method : kMethods)
      for (std::int64_t seed = 1; seed <= (is_random(method) ? whole(settings_, "seeds") : 1); ++seed)
        members.push_back({{"method", method.name}, {"seed", seed}});
    for (const double margin : numbers(settings_, "dead_margins"))
      for (const Method& method : kMethods)
        for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed)
          members.push_back({{"dead_margin", margin}, {"method", method.name}, {"seed", seed}});
    return members;
  }

  MemberResult run(const Json& member) const override {
    const Method& method = method_of(member);
    const bool dead = member.contains("dead_margin");
    const auto seed = static_cast<std::uint64_t>(whole(member, "seed"));
    const std::vector<double> start = dead ? dead_trap(number(member, "dead_margin"), seed) : start_;
    Mlp mse(kShape, {.loss = MlpLoss::mse}, samples_), trained(kShape, {.loss = loss_of(method)}, samples_);
    std::vector<double> gradient(start.size());
    mse.gradient(start, gradient);
    Json record;
    record["start_gradient"] = norm(gradient);
    const double lr = number(settings_, method.adam       ? "adam_lr"
                                        : method.momentum ? (dead ? "dead_momentum_lr" : "momentum_lr")
                                        : dead            ? "dead_lr"
                                                          : "lr");
    Descent descent(trained, start, rule_of(method), seed);
    std::optional<std::int64_t> left;
    while (!descent.done() && !left && descent.steps() < whole(settings_, "steps")) {
      descent.step(lr);
      if (descent.steps() % kLookedEvery == 0 && mse.loss(descent.weights()) < kLeft) left = descent.steps();
    }
    const std::vector<double>& end = descent.weights();
    // The hidden layer comes first: its weights and its biases.
    const auto hidden = static_cast<std::ptrdiff_t>(kShape.weight_offset(2));
    record["left_at"] = left ? Json(*left) : Json(nullptr);
    record["finite"] = descent.finite();
    record["unchanged"] = end == start;
    record["hidden_unchanged"] = std::equal(start.begin(), start.begin() + hidden, end.begin());
    record["loss"] = mse.loss(end);
    MemberResult result{.record = std::move(record), .points = {}};
    if (seed == 1) {
      result.points = {{"end", describe_network(kShape, {.loss = MlpLoss::mse}), end}};
    }
    return result;
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &samples_; }

 private:
  struct Outcome {
    std::int64_t runs = 0, left = 0, lost = 0, unchanged = 0, hidden_unchanged = 0;
    double start_gradient = 0;
    std::vector<double> times;  // of those that left
    Interval share() const { return clopper_pearson(left, std::max<std::int64_t>(runs, 1)); }
    double part() const { return static_cast<double>(left) / static_cast<double>(runs); }
  };
  static Outcome outcome_of(std::span<const Json> records) {
    Outcome all;
    for (const Json& record : records) {
      ++all.runs;
      if (!record["left_at"].is_null()) {
        ++all.left;
        all.times.push_back(record["left_at"].get<double>());
      }
      all.lost += !record["finite"].get<bool>();
      all.unchanged += record["unchanged"].get<bool>();
      all.hidden_unchanged += record["hidden_unchanged"].get<bool>();
      all.start_gradient =
          std::max(all.start_gradient,
                   record["start_gradient"].is_null() ? INFINITY : number(record, "start_gradient"));
    }
    return all;
  }
  static std::string time_words(const Outcome& outcome) {
    return outcome.times.empty() ? "–" : number_words(median(outcome.times), 4);
  }
  static Json summary_of(const std::string& trap, const Method& method, const Outcome& outcome) {
    return {{"trap", trap},
            {"method", method.name},
            {"runs", outcome.runs},
            {"left", outcome.left},
            {"low", outcome.share().low},
            {"high", outcome.share().high},
            {"median_step", outcome.times.empty() ? Json(nullptr) : Json(median(outcome.times))},
            {"not_finite", outcome.lost},
            {"unchanged", outcome.unchanged},
            {"hidden_unchanged", outcome.hidden_unchanged}};
  }
  // The share of runs that are still there, step after step.
  Curve survival(const Method& method, Outcome outcome) const {
    std::sort(outcome.times.begin(), outcome.times.end());
    Curve curve{.label = method.words, .x = {0}, .mean = {1}};
    for (std::size_t i = 0; i < outcome.times.size(); ++i) {
      const double share = 1 - static_cast<double>(i) / static_cast<double>(outcome.runs);
      curve.x.insert(curve.x.end(), {outcome.times[i], outcome.times[i]});
      curve.mean.insert(curve.mean.end(), {share, share - 1 / static_cast<double>(outcome.runs)});
    }
    curve.x.push_back(static_cast<double>(whole(settings_, "steps")));
    curve.mean.push_back(curve.mean.back());
    return curve;
  }
  std::vector<LandscapeVerdict> affine_verdicts(const std::vector<Outcome>& outcomes) const;
  LandscapeVerdict dead_verdict(const std::vector<Outcome>& outcomes, double margin) const;

  Json settings_;
  Samples samples_;
  std::vector<double> start_;
};

// The methods' places in kMethods.
enum Place : std::size_t {
  kMse,
  kMseMomentum,
  kMseAdam,
  kExpected,
  kQmse,
  kRademacher,
  kQmseMomentum,
  kQmseNoise,
  kIsotropic,
  kSgd
};

std::vector<LandscapeVerdict> TrapStudy::affine_verdicts(const std::vector<Outcome>& outcomes) const {
  const auto words = [&](std::size_t at) {
    const Outcome& outcome = outcomes[at];
    if (outcome.runs == 1 && outcome.left == 0)
      return std::string(kMethods[at].words) + ": its one run stayed";
    return std::string(kMethods[at].words) + ": " + std::to_string(outcome.left) + " of " +
           std::to_string(outcome.runs) + " runs left" +
           (outcome.times.empty() ? "" : ", in the median by step " + time_words(outcome));
  };
  const std::string point = text(settings_, "x0").empty() ? "the affine trap" : "this start";
  std::vector<LandscapeVerdict> verdicts;
  const bool still = outcomes[kMse].unchanged == 1 && outcomes[kMseMomentum].unchanged == 1 &&
                     outcomes[kMseAdam].unchanged == 1 && outcomes[kExpected].unchanged == 1;
  const double gradient = outcomes[kMse].start_gradient;
  verdicts.push_back(
      {.claim = "MSE stays at " + point + ", which is no global minimum, and so does QMSE's expected step",
       .finding = still && gradient == 0 ? Finding::exact : Finding::does_not_hold,
       .sentence = "‖∇L‖ = " + number_words(gradient) + " at the start; after " +
                   std::to_string(whole(settings_, "steps")) +
                   " steps of MSE, MSE with momentum, Adam and QMSE's expected step, one run of each, " +
                   (still ? "no bit of the weights has changed." : "some weights have changed."),
       .statistic = {.name = "‖∇L‖ at the start", .value = gradient, .interval = {}, .n = 1},
       .criterion = "the gradient is 0.0, and the weights have the same bits at the end"});
  const Outcome& qmse = outcomes[kQmse];
  verdicts.push_back(
      {.claim = "QMSE leaves " + point,
       .finding = qmse.share().low > 0.5    ? Finding::holds
                  : qmse.share().high < 0.5 ? Finding::does_not_hold
                                            : Finding::not_shown,
       .sentence = words(kQmse) + "; " + words(kQmseMomentum) + "; " + words(kRademacher) + ".",
       .statistic =
           {.name = "share that left", .value = qmse.part(), .interval = qmse.share(), .n = qmse.runs},
       .criterion = "the 95 % interval of the share of QMSE's runs that left is above 1/2; does not hold "
                    "where it is below"});
  const Outcome& noise = outcomes[kQmseNoise];
  const bool noise_alone = noise.share().low > 0.5 && outcomes[kExpected].left == 0;
  verdicts.push_back(
      {.claim = "QMSE leaves " + point + " by the way it weights samples, not by its noise",
       .finding = noise_alone ? Finding::does_not_hold : Finding::not_shown,
       .sentence = "Without its noise QMSE stays (" + words(kExpected) +
                   "). With QMSE's noise MSE leaves as well (" + words(kQmseNoise) +
                   "): the noise does it, and the noise alone.",
       .statistic = {.name = "share of MSE with QMSE's noise that left",
                     .value = noise.part(),
                     .interval = noise.share(),
                     .n = noise.runs},
       .criterion = "does not hold where no run of the expected step leaves, and of MSE with QMSE's noise "
                    "more than half do, with the 95 % interval of their share"});
  if (!noise_alone) verdicts.back().sentence = words(kExpected) + "; " + words(kQmseNoise) + ".";
  const Outcome &sgd = outcomes[kSgd], &isotropic = outcomes[kIsotropic];
  if (!qmse.times.empty() && !sgd.times.empty() && !isotropic.times.empty()) {
    const bool slower =
        median(qmse.times) > median(sgd.times) && median(qmse.times) > median(isotropic.times);
    verdicts.push_back(
        {.claim = "QMSE leaves " + point + " where other noise does not, or in fewer steps",
         .finding = slower ? Finding::does_not_hold : Finding::depends,
         .sentence = words(kSgd) + " (single samples' gradients are not 0 there, only their mean is); " +
                     words(kIsotropic) + "; " + words(kQmse) + ".",
         .statistic = {.name = "median step of QMSE over that of SGD with batches of one",
                       .value = median(qmse.times) / median(sgd.times),
                       .interval = {},
                       .n = qmse.runs},
         .criterion =
             "does not hold where SGD with batches of one and isotropic noise of the same trace both leave "
             "in fewer steps than QMSE, in the median of the runs that left"});
  }
  return verdicts;
}

LandscapeVerdict TrapStudy::dead_verdict(const std::vector<Outcome>& outcomes, double margin) const {
  std::int64_t left = 0, runs = 0, hidden = 0;
  for (std::size_t at = 0; at < outcomes.size(); ++at) {
    if (at == kIsotropic) continue;
    left += outcomes[at].left;
    runs += outcomes[at].runs;
    hidden += outcomes[at].hidden_unchanged;
  }
  const Outcome& isotropic = outcomes[kIsotropic];
  return {.claim =
              "QMSE leaves a minimum whose hidden units are all dead, by a margin of " + number_words(margin),
          .finding = hidden == runs ? Finding::does_not_hold : Finding::depends,
          .sentence = std::to_string(left) + " of " + std::to_string(runs) + " runs left (" +
                      std::to_string(outcomes.size() - 1) + " methods, " + std::to_string(isotropic.runs) +
                      " runs of each: all but isotropic noise; their steps use gradients only), and in " +
                      std::to_string(hidden) +
                      " no bit of the hidden layer changed. With isotropic noise, which moves every weight "
                      "whatever the gradients are, " +
                      std::to_string(isotropic.left) + " of " + std::to_string(isotropic.runs) +
                      " runs left.",
          .statistic = {.name = "share of unchanged hidden layers",
                        .value = static_cast<double>(hidden) / static_cast<double>(runs),
                        .interval = clopper_pearson(hidden, runs),
                        .n = runs},
          .criterion = "does not hold where every hidden layer keeps its bits in all those runs"};
}

Findings TrapStudy::conclude(const std::vector<Json>& records) const {
  Findings findings;
  std::size_t at = 0;
  const auto gather = [&](const std::string& trap, bool all_seeds) {
    ReportTable table{{trap, "runs that left", "95 %, share that left", "median step", "runs that diverged",
                       "runs with the hidden layer unchanged"},
                      {}};
    std::vector<Outcome> outcomes;
    Panel panel{.title = trap, .x_label = "step", .y_label = "share that has not left", .curves = {}};
    for (const Method& method : kMethods) {
      const auto runs =
          static_cast<std::size_t>(all_seeds || is_random(method) ? whole(settings_, "seeds") : 1);
      const Outcome outcome = outcome_of(std::span(records).subspan(at, runs));
      at += runs;
      table.rows.push_back(
          {method.words, std::to_string(outcome.left) + " of " + std::to_string(outcome.runs),
           "[" + number_words(outcome.share().low, 2) + ", " + number_words(outcome.share().high, 2) + "]",
           time_words(outcome), std::to_string(outcome.lost), std::to_string(outcome.hidden_unchanged)});
      findings.summary.push_back(summary_of(trap, method, outcome));
      panel.curves.push_back(survival(method, outcome));
      outcomes.push_back(outcome);
    }
    findings.tables.push_back(std::move(table));
    findings.figures.push_back({.title = trap, .panels = {std::move(panel)}});
    return outcomes;
  };
  findings.verdicts = affine_verdicts(
      gather(text(settings_, "x0").empty() ? "Affine trap" : "Start of " + text(settings_, "x0"), false));
  for (const double margin : numbers(settings_, "dead_margins")) {
    findings.verdicts.push_back(
        dead_verdict(gather("Dead units, margin " + number_words(margin), true), margin));
  }
  const std::string seeds = std::to_string(whole(settings_, "seeds"));
  findings.notes.push_back(
      "XOR: the four points (0, 0), (0, 1), (1, 0) and (1, 1), of one class where the two numbers are equal "
      "and of the other where they differ; and a network of four ReLUs with weights set by hand "
      "(docs/theory.md 7.4). Affine trap: every unit is active on every sample, that is its pre-activation "
      "is above 0, and the output is the best affine function of the inputs. Dead units: on every sample "
      "every unit's pre-activation is below 0, by at least the margin. A dead unit gives 0. Every step but "
      "that of isotropic noise combines the outputs' derivatives by the weights. For a dead unit's weights "
      "these are 0, so its step is 0 whatever residuals or noise are. At the affine trap all four residuals "
      "have the same length, so QMSE weights all samples alike and its expected step is MSE's times a "
      "number: 0, as MSE's is.");
  findings.notes.push_back(
      "A run has left the minimum where its mean of ‖r‖²/2, which is 1/4 in these minima, is below 0.05: it "
      "has got away, to a low loss. That is looked at every 50 steps, and such a run ends there. A run has "
      "diverged where a weight is no finite number any more; it counts as one that has not left. (Lost, in "
      "the experiment stability, means diverged; a run that has left here has succeeded.)");
  findings.notes.push_back("From the affine trap the step is " + number_words(number(settings_, "lr")) +
                           ", or " + number_words(number(settings_, "momentum_lr")) +
                           " for methods with momentum 0.9; from dead units it is " +
                           number_words(number(settings_, "dead_lr")) + ", or " +
                           number_words(number(settings_, "dead_momentum_lr")) +
                           " with momentum; with Adam it is " + number_words(number(settings_, "adam_lr")) +
                           " from both: numbers of steps compare only between methods of the same step. Adam "
                           "divides a running mean of each "
                           "weight's derivative by the root of a running mean of its square.");
  findings.notes.push_back(
      "From dead units every method makes " + seeds +
      " runs, one for each seed, which draws their output weights too. From the affine trap, which is one "
      "point, methods with noise make " +
      seeds +
      " runs. MSE, MSE with momentum, Adam and QMSE's expected step draw nothing there: all seeds would give "
      "the same run, so each of them is run once, and counted as 0 or 1 of 1.");
  findings.notes.push_back(
      "QMSE's noise is its step less its expected step. Isotropic noise of the same trace: independent "
      "normal numbers on all weights, of one variance, such that the sum of all variances is that of QMSE's "
      "noise. QMSE draws v evenly from all directions; Rademacher: v has entries of one size and random "
      "signs.");
  return findings;
}

}  // namespace

LandscapeExperiment trap_experiment() {
  return {
      .name = "trap",
      .summary = "spurious minima built by hand: what leaves them, and by what",
      .statement = "MSE stops at spurious minima, local ones that are not global; QMSE leaves them.",
      .source = "the paper; Yun, Sra & Jadbabaie (2019), theorem 1; Christof & Kowalczyk (2022)",
      .options =
          {{.name = "seeds",
            .help = "runs of each method",
            .usual = 100,
            .quick = 20,
            .low = 2,
            .high = 100000},
           {.name = "steps", .help = "of each run", .usual = 20000, .quick = 6000, .low = 50, .high = 1e9},
           {.name = "margin",
            .help = "by how much the units are active",
            .usual = 0.5,
            .low = 1e-6,
            .high = 1e6},
           {.name = "scale", .help = "of the output weights", .usual = 0.5, .low = 1e-6, .high = 1e6},
           {.name = "lr", .help = "step", .usual = 0.05, .low = 1e-12, .high = 100},
           {.name = "momentum_lr", .help = "step with momentum", .usual = 0.005, .low = 1e-12, .high = 100},
           {.name = "adam_lr", .help = "step of Adam", .usual = 0.001, .low = 1e-12, .high = 100},
           {.name = "dead_margins",
            .help = "by how much the units are dead",
            .usual = {0.25, 1.0},
            .low = 1e-6,
            .high = 1e6},
           {.name = "dead_lr", .help = "step from dead units", .usual = 0.1, .low = 1e-12, .high = 100},
           {.name = "dead_momentum_lr",
            .help = "step from dead units, with momentum",
            .usual = 0.02,
            .low = 1e-12,
            .high = 100},
           {.name = "x0",
            .help = "a file with the 22 numbers of a start instead of the affine trap",
            .usual = ""}},
      .presets = {},
      .make = [](const Json& settings, const std::string&) -> std::unique_ptr<LandscapeStudy> {
        return std::make_unique<TrapStudy>(settings);
      }};
}

}  // namespace qmse
