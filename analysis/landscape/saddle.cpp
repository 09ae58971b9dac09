// Lee et al.: gradient descent from random starts does not converge to strict saddles. From which starts it
// does, and what the condition on the step is for.
#include <algorithm>
#include <cmath>

#include "algebra/norm.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/linear_theory.h"
#include "analysis/landscape/problem.h"
#include "analysis/landscape/saddle_functions.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"
#include "base/error.h"
#include "random/random_stream.h"

namespace qmse {
namespace {

constexpr std::int64_t kTask = 10000;  // starts in the plane of one member
constexpr double kJump = 0.5;
constexpr int kMaxExponent = 16;

enum class Start { random, symmetric };
constexpr std::array<Choice<Start>, 2> choices(Start) {
  return {{{Start::random, "random"}, {Start::symmetric, "symmetric"}}};
}

class SaddleStudy final : public LandscapeStudy {
 public:
  SaddleStudy(const Json& settings, const std::string& data)
      : settings_(settings),
        problem_(make_problem(settings, data)),
        hidden_(whole(settings, "hidden")),
        theory_(problem_.samples),
        symmetric_(chosen<Start>(settings, "start") == Start::symmetric) {
    if (hidden_ > theory_.rank()) {
      throw ConfigError("--hidden " + std::to_string(hidden_) +
                        " is more than min(inputs, outputs) = " + std::to_string(theory_.rank()));
    }
    if (symmetric_ && hidden_ < 2) throw ConfigError("--start symmetric needs two units: --hidden 2 or more");
  }

  std::vector<Json> members() const override {
    std::vector<Json> members = {{{"line", 0}}};
    for (std::int64_t task = 1; task <= tasks(); ++task) members.push_back({{"plane", task}});
    for (std::int64_t start = 1; start <= whole(settings_, "network_starts"); ++start)
      members.push_back({{"network", start}});
    return members;
  }

  MemberResult run(const Json& member) const override {
    if (member.contains("line")) return line();
    return member.contains("plane") ? plane(whole(member, "plane")) : network(whole(member, "network"));
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &problem_.samples; }
  Json data() const override { return problem_.description; }

 private:
  std::int64_t tasks() const { return (whole(settings_, "plane_starts") + kTask - 1) / kTask; }
  std::int64_t starts_of(std::int64_t task) const {
    return std::min(kTask, whole(settings_, "plane_starts") - (task - 1) * kTask);
  }

  MemberResult plane(std::int64_t task) const {
    RandomStream random(static_cast<std::uint64_t>(task), RandomPurpose::start);
    std::int64_t saddles = 0, diverged = 0;
    for (std::int64_t start = 0; start < starts_of(task); ++start) {
      const double x = random.normal(), y = random.normal();
      const PlaneEnd end = descend_in_plane(x, symmetric_ ? 0.0 : y, number(settings_, "step"));
      saddles += end == PlaneEnd::saddle;
      diverged += end == PlaneEnd::diverged;
    }
    RandomStream jumps(static_cast<std::uint64_t>(task), RandomPurpose::start, 1);
    const JumpFunction phi(kJump);
    std::int64_t landed = 0, landed_short = 0;
    const double short_step = 0.9 / phi.lipschitz();
    for (std::int64_t start = 0; start < starts_of(task); ++start) {
      const double y = jumps.uniform(-2, 2);
      landed += y - kJump * phi.slope(y) == 0;
      landed_short += y - short_step * phi.slope(y) == 0;
    }
    return {.record = {{"saddles", saddles},
                       {"diverged", diverged},
                       {"landed", landed},
                       {"landed_short", landed_short}}};
  }

  // From ever nearer to the saddle's stable line, and from on it.
  MemberResult line() const {
    Json steps = Json::array();
    for (int k = 2; k <= kMaxExponent; k += 2)
      steps.push_back(steps_to_leave(std::pow(10.0, -k), number(settings_, "step"), 1000000));
    return {.record = {{"steps", steps},
                       {"on_the_line", descend_in_plane(1, 0, number(settings_, "step")) == PlaneEnd::saddle},
                       {"lipschitz", JumpFunction(kJump).lipschitz()}}};
  }

  // A linear network, whose saddles are known: what subset does the end point belong to?
  MemberResult network(std::int64_t start) const {
    const Samples& samples = problem_.samples;
    Mlp network({.widths = {samples.inputs, hidden_, samples.outputs},
                 .activation = HiddenActivation::identity,
                 .biases = false},
                {}, samples);
    RandomStream random(static_cast<std::uint64_t>(start), RandomPurpose::start, 2);
    std::vector<double> w;
    for (std::size_t i = 0; i < network.parameters(); ++i) w.push_back(0.3 * random.normal());
    if (symmetric_) {  // the first two units equal
      for (std::int64_t k = 0; k < samples.inputs; ++k)
        w[static_cast<std::size_t>(samples.inputs + k)] = w[static_cast<std::size_t>(k)];
      const std::int64_t last = network.shape().weight_offset(2);
      for (std::int64_t o = 0; o < samples.outputs; ++o)
        w[static_cast<std::size_t>(last + o * hidden_ + 1)] = w[static_cast<std::size_t>(last + o * hidden_)];
    }
    Descent descent(network, std::move(w), {}, 1);
    std::vector<double> gradient(network.parameters());
    double squares = 1;
    for (std::int64_t step = 0; step < whole(settings_, "network_steps") && squares > 1e-16; ++step) {
      descent.step(number(settings_, "lr"));
      squares = squared_norm(descent.gradient());
    }
    const double loss = network.loss(descent.weights()), best = theory_.loss(theory_.best(hidden_));
    // The losses of the saddles are known; the nearest one from above tells where it ended.
    double nearest = INFINITY;
    for (const auto& subset : theory_.subsets(hidden_))
      nearest = std::min(nearest, std::abs(loss - theory_.loss(subset)));
    const bool settled = descent.finite() && nearest < 1e-6;
    return {.record = {{"loss", std::isfinite(loss) ? Json(loss) : Json()},
                       {"settled", settled},
                       {"minimum", settled && std::abs(loss - best) < 1e-6},
                       {"gradient", std::sqrt(squares)}},
            .points = {{"end", describe_network(network.shape(), network.objective()), descent.weights()}}};
  }

  Json settings_;
  Problem problem_;
  std::int64_t hidden_;
  LinearTheory theory_;
  bool symmetric_;
};

// None of `count`: holds; its statistic is the share, whose upper end is near 3 / count.
LandscapeVerdict none_of(std::string claim, std::string what, std::int64_t seen, std::int64_t count) {
  LandscapeVerdict verdict{
      .claim = std::move(claim),
      .criterion = "no start ends at a saddle; the share's interval is Clopper–Pearson's"};
  if (count == 0) return verdict;
  const Interval interval = clopper_pearson(seen, count);
  const double share = static_cast<double>(seen) / static_cast<double>(count);
  verdict.finding = seen == 0 ? Finding::holds : Finding::does_not_hold;
  verdict.sentence = std::to_string(seen) + " of " + std::to_string(count) + " " + what +
                     " ended at a saddle: a share of at most " + number_words(interval.high, 2) + ".";
  verdict.statistic = {
      .name = "share that ends at a saddle", .value = share, .interval = interval, .n = count};
  return verdict;
}

Findings SaddleStudy::conclude(const std::vector<Json>& records) const {
  const std::vector<Json> all = members();
  Findings findings;
  std::int64_t starts = 0, saddles = 0, diverged = 0, landed = 0, landed_short = 0, networks = 0, minima = 0,
               at_saddles = 0;
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (all[i].contains("plane")) {
      starts += starts_of(whole(all[i], "plane"));
      saddles += whole(records[i], "saddles");
      diverged += whole(records[i], "diverged");
      landed += whole(records[i], "landed");
      landed_short += whole(records[i], "landed_short");
    } else {
      ++networks;
      minima += records[i]["minimum"].get<bool>();
      at_saddles += records[i]["settled"].get<bool>() && !records[i]["minimum"].get<bool>();
    }
  }
  const std::string from = symmetric_ ? "symmetric starts" : "random starts";
  findings.verdicts.push_back(none_of("gradient descent does not converge to a strict saddle (in the plane)",
                                      from + " in the plane", saddles, starts));
  findings.verdicts.push_back(
      none_of("gradient descent does not converge to a strict saddle (linear networks)",
              from + " of linear networks", at_saddles, networks));
  findings.verdicts.back().sentence += " " + std::to_string(minima) + " reached the global minimum, " +
                                       std::to_string(networks - minima - at_saddles) +
                                       " were still on their way.";
  const Json& line = records.front();
  const bool stays = line["on_the_line"].get<bool>();
  findings.verdicts.push_back(
      {.claim = "gradient descent keeps off strict saddles from every start, not only from almost every one",
       .finding = stays ? Finding::does_not_hold : Finding::not_shown,
       .sentence = stays ? "from x = 1, y = 0 gradient descent goes to the saddle: y stays exactly 0."
                         : "gradient descent left the saddle's stable line.",
       .statistic = {.name = "starts that stay", .value = stays ? 1.0 : 0.0, .interval = {}, .n = 1},
       .criterion = "does not hold where y stays exactly 0"});
  const double lipschitz = number(line, "lipschitz");
  LandscapeVerdict step{
      .claim = "the condition α < 1/L on the step can be dropped",
      .criterion =
          "does not hold where some share of starts lands exactly on the saddle with a step above 1/L, "
          "and none with one below"};
  if (starts > 0) {
    const double share = static_cast<double>(landed) / static_cast<double>(starts);
    step.finding = landed > 0 && landed_short == 0 ? Finding::does_not_hold : Finding::not_shown;
    step.sentence =
        "with a step of 1/2, which is " + number_words(kJump * lipschitz) + "/L, " +
        number_words(100 * share, 4) +
        " % of starts drawn evenly from [−2, 2] land exactly on a strict saddle in one step (50 % is "
        "expected); with α = 0.9/L " +
        std::to_string(landed_short) + " of " + std::to_string(starts) + " do.";
    step.statistic = {.name = "share that lands on the saddle",
                      .value = share,
                      .interval = clopper_pearson(landed, starts),
                      .n = starts};
  }
  findings.verdicts.push_back(std::move(step));
  // Escape time.
  ReportTable table{{"y₀", "steps to |y| = 1/2", "ln(½/y₀) / ln(1 + α)"}, {}};
  Curve measured{.label = "measured", .x = {}, .mean = {}, .mark = CurveMark::circles},
      predicted{.label = "ln(½/y₀) / ln(1 + α)", .x = {}, .mean = {}};
  double worst = 0;
  const double growth = std::log1p(number(settings_, "step"));
  for (int k = 2, i = 0; k <= kMaxExponent; k += 2, ++i) {
    const auto steps = line["steps"][static_cast<std::size_t>(i)].get<double>();
    const double expected = (std::log(0.5) + k * std::log(10.0)) / growth;
    worst = std::max(worst, std::abs(steps - expected) * growth);
    measured.x.push_back(k);
    measured.mean.push_back(steps);
    predicted.x.push_back(k);
    predicted.mean.push_back(expected);
    table.rows.push_back({"1e-" + std::to_string(k), number_words(steps, 6), number_words(expected, 5)});
    findings.summary.push_back({{"exponent", -k}, {"steps", steps}, {"predicted", expected}});
  }
  findings.tables.push_back(std::move(table));
  findings.verdicts.push_back(
      {.claim = "near a saddle descent takes a time that grows as minus the logarithm of the distance to its "
                "stable manifold, the set of starts that go to the saddle",
       .finding = worst <= 0.5 ? Finding::holds : Finding::does_not_hold,
       .sentence = "from a distance y₀ the steps to |y| = 1/2 differ from ln(½/y₀)/ln(1 + α) by at most " +
                   number_words(worst / growth) + ", for y₀ from 10⁻² to 10⁻¹⁶.",
       .statistic = {.name = "largest difference, in factors e of y",
                     .value = worst,
                     .interval = {},
                     .n = static_cast<std::int64_t>(measured.x.size())},
       .criterion = "for every y₀ the difference is at most the number of steps in which y grows by a factor "
                    "of √e"});
  findings.notes.push_back(
      "In the plane f = x²/2 − y²/2 + y⁴/4, α = " + number_words(number(settings_, "step")) +
      ", starts drawn from the normal distribution; " + std::to_string(diverged) + " of " +
      std::to_string(starts) +
      " diverged: there is no L for all of the plane, so that the theorem does not apply to "
      "all starts. Networks: " +
      problem_.text + ", " + std::to_string(hidden_) +
      " linear units. A start in the plane has ended at a saddle where it is at no minimum after 5000 steps "
      "and has not diverged. The theorem is about strict saddles: the experiment linear has one that is "
      "not.");
  findings.notes.push_back(
      "The condition α < 1/L is tested on a function φ of one variable made for it: φ′(y) = −y for |y| ≤ 1/2 "
      "and 2y for |y| ≥ 1, with cubics between, so that φ′ has no jump nor corner; L is the largest |φ″|. At "
      "y = 0 the curvature is −1. A step of 1/2 takes every y with |y| ≥ 1, half of all starts, to y − ½ · "
      "2y = 0.");
  findings.figures.push_back({.title = "How long descent stays near a saddle",
                              .panels = {{.title = "Steps until |y| = 1/2",
                                          .x_label = "−log₁₀ y₀",
                                          .y_label = "steps",
                                          .curves = {measured, predicted}}}});
  return findings;
}

}  // namespace

LandscapeExperiment saddle_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 200, 6, "projection:4");
  const std::vector<LandscapeOption> own = {
      {.name = "hidden",
       .help = "linear units, at most min(inputs, outputs)",
       .usual = 2,
       .low = 1,
       .high = 64},
      choice_option("start", "random, or symmetric: on the saddles' stable manifold (y = 0; two equal units)",
                    Start::random),
      {.name = "step", .help = "of descent in the plane", .usual = 0.1, .low = 1e-4, .high = 0.4},
      {.name = "plane_starts",
       .help = "in the plane",
       .usual = 1000000,
       .quick = 300000,
       .low = 1,
       .high = 1000000000},
      {.name = "network_starts",
       .help = "of linear networks",
       .usual = 100,
       .quick = 30,
       .low = 0,
       .high = 1000000},
      {.name = "network_steps", .help = "of each, at most", .usual = 20000, .low = 1, .high = 100000000},
      {.name = "lr", .help = "of each", .usual = 0.1, .low = 1e-9, .high = 100}};
  options.insert(options.end(), own.begin(), own.end());
  return {.name = "saddle",
          .summary = "gradient descent and strict saddles (Lee et al.)",
          .statement =
              "Gradient descent with a step α below 1/L, from almost every start, does not converge to a "
              "strict saddle. L is not the loss here: it is a Lipschitz constant of the gradient, a bound on "
              "the curvature.",
          .source = "Lee, Simchowitz, Jordan & Recht (2016); Panageas & Piliouras (2017)",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<SaddleStudy>(settings, data);
          }};
}

}  // namespace qmse
