// The thesis' experiment 2: gradient descent, mini-batches and single samples, at equal numbers of
// observations. Which is furthest down, and does that depend on the number of samples?
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "analysis/landscape/experiment.h"
#include "analysis/landscape/problem.h"
#include "analysis/landscape/words.h"
#include "analysis/mlp/descent.h"
#include "analysis/mlp/glorot.h"
#include "base/error.h"
#include "random/random_stream.h"

namespace qmse {
namespace {

constexpr std::int64_t kChecks = 20;  // of the loss on all samples, evenly over the observations

enum class Method { gd, batch, sgd };
constexpr std::array<Choice<Method>, 3> choices(Method) {
  return {{{Method::gd, "gd", "gradient descent"},
           {Method::batch, "batch", "mini-batch gradient descent"},
           {Method::sgd, "sgd", "SGD"}}};
}

// Every column with mean 0 and variance 1; a constant column becomes 0.
void standardise(std::vector<double>& columns, std::int64_t count, std::int64_t stride) {
  for (std::size_t at = 0; at < columns.size(); at += static_cast<std::size_t>(stride)) {
    double* column = columns.data() + at;
    double mean = 0, squares = 0;
    for (std::int64_t n = 0; n < count; ++n) mean += column[n] / static_cast<double>(count);
    for (std::int64_t n = 0; n < count; ++n)
      squares += (column[n] - mean) * (column[n] - mean) / static_cast<double>(count);
    for (std::int64_t n = 0; n < count; ++n)
      column[n] = squares > 0 ? (column[n] - mean) / std::sqrt(squares) : 0.0;
  }
}

class EfficiencyStudy final : public LandscapeStudy {
 public:
  EfficiencyStudy(const Json& settings, const std::string& data)
      : settings_(settings),
        problem_(make_problem(settings, data)),
        sizes_(wholes(settings, "sizes")),
        order_(chosen<BatchOrder>(settings, "order")) {
    Samples& all = problem_.samples;
    if (yes(settings, "standardise")) {
      standardise(all.x, all.count, all.stride);
      standardise(all.y, all.count, all.stride);
    }
    std::sort(sizes_.begin(), sizes_.end());
    check_different(settings, {"sizes"});
    if (sizes_.back() > all.count) {
      throw ConfigError("--sizes " + std::to_string(sizes_.back()) + " is more than the " +
                        std::to_string(all.count) + " samples of " + problem_.text);
    }
    shape_.widths = layer_widths(all.inputs, wholes(settings, "hidden"), all.outputs);
    shape_.activation = chosen<HiddenActivation>(settings, "activation");
    for (std::size_t i = 0; i < sizes_.size(); ++i) subsets_.push_back(subset(i));
  }

  std::vector<Json> members() const override {
    std::vector<Json> members;
    for (const std::int64_t size : sizes_) {
      for (const Choice<Method>& method : choices(Method())) {
        for (const double step : numbers(settings_, "step_sizes")) {
          for (std::int64_t seed = 1; seed <= whole(settings_, "seeds"); ++seed)
            members.push_back(
                {{"samples", size}, {"method", std::string(method.name)}, {"step", step}, {"seed", seed}});
        }
      }
    }
    return members;
  }

  MemberResult run(const Json& member) const override {
    const std::int64_t size = whole(member, "samples");
    const auto place = std::find(sizes_.begin(), sizes_.end(), size) - sizes_.begin();
    Mlp network(shape_, {}, subsets_[static_cast<std::size_t>(place)]);
    const std::int64_t batch = batch_of(chosen<Method>(member, "method"));
    const auto seed = static_cast<std::uint64_t>(whole(member, "seed"));
    Descent descent(network, glorot_weights(shape_, seed), {.momentum = 0, .batch = batch, .order = order_},
                    seed);
    const std::int64_t steps = size * whole(settings_, "epochs") / (batch == 0 ? size : batch);
    Json losses = {network.loss(descent.weights())};
    std::int64_t done = 0;
    for (std::int64_t check = 1; check <= kChecks; ++check) {
      for (; done < steps * check / kChecks && descent.finite(); ++done) descent.step(number(member, "step"));
      const double loss = descent.finite() ? network.loss(descent.weights()) : NAN;
      losses.push_back(std::isfinite(loss) ? Json(loss) : Json(nullptr));
    }
    return {.record = {{"losses", losses}}, .points = {}};
  }

  Findings conclude(const std::vector<Json>& records) const override;
  Json data() const override { return problem_.description; }

 private:
  // Samples a step; 0: all.
  std::int64_t batch_of(Method method) const {
    return method == Method::gd ? 0 : method == Method::sgd ? 1 : whole(settings_, "batch");
  }

  Samples subset(std::size_t place) const {
    const Samples& all = problem_.samples;
    RandomStream random(static_cast<std::uint64_t>(whole(settings_, "data_seed")), RandomPurpose::problem,
                        10 + static_cast<std::uint32_t>(place));
    std::vector<std::int64_t> order(static_cast<std::size_t>(all.count));
    for (std::size_t n = 0; n < order.size(); ++n) order[n] = static_cast<std::int64_t>(n);
    Samples chosen = make_samples(sizes_[place], all.inputs, all.outputs);
    for (std::int64_t n = 0; n < chosen.count; ++n) {
      std::swap(order[static_cast<std::size_t>(n)],
                order[static_cast<std::size_t>(n + random.below(all.count - n))]);
      const std::int64_t from = order[static_cast<std::size_t>(n)];
      for (std::int64_t k = 0; k < all.inputs; ++k) chosen.input(n, k) = all.input(from, k);
      for (std::int64_t o = 0; o < all.outputs; ++o) chosen.target(n, o) = all.target(from, o);
    }
    return chosen;
  }

  Json settings_;
  Problem problem_;
  std::vector<std::int64_t> sizes_;
  BatchOrder order_;
  MlpShape shape_;
  std::vector<Samples> subsets_;
};

Findings EfficiencyStudy::conclude(const std::vector<Json>& records) const {
  const std::vector<Json> all = members();
  const std::int64_t seeds = whole(settings_, "seeds");
  // By samples, method and step: the losses of each seed, a row of checks.
  std::map<std::int64_t, std::map<Method, std::map<double, std::vector<const Json*>>>> runs;
  for (std::size_t i = 0; i < all.size(); ++i)
    runs[whole(all[i], "samples")][chosen<Method>(all[i], "method")][number(all[i], "step")].push_back(
        &records[i]["losses"]);
  Findings findings;
  Figure figure{.title = "Equal numbers of observations", .panels = {}, .columns = 2};
  ReportTable table{{"samples", "method", "tuned step", "runs", "final loss"}, {}};
  // ln of the final losses by samples, method and seed; the tuning seed is no part of them.
  std::map<std::int64_t, std::map<Method, std::vector<double>>> finals;
  for (const std::int64_t size : sizes_) {
    Panel panel{.title = std::to_string(size) + " samples",
                .x_label = "observations",
                .y_label = "loss on all samples",
                .curves = {},
                .log_y = true};
    for (const Choice<Method>& method : choices(Method())) {
      const std::string name(method.name);
      double tuned = 0, least = INFINITY;
      for (const auto& [step, losses] : runs[size][method.value]) {
        const Json& last = losses.front()->back();
        if (!last.is_null() && last.get<double>() < least) {
          least = last.get<double>();
          tuned = step;
        }
      }
      if (!std::isfinite(least)) continue;
      Curve curve{.label = name, .x = {}, .mean = {}};
      const auto& losses = runs[size][method.value][tuned];
      std::vector<double> ends;
      for (std::size_t check = 0; check <= static_cast<std::size_t>(kChecks); ++check) {
        std::vector<double> values;
        for (std::size_t seed = 1; seed < losses.size(); ++seed) {
          const Json& value = (*losses[seed])[check];
          values.push_back(value.is_null() ? NAN : value.get<double>());
        }
        curve.x.push_back(static_cast<double>(check) *
                          static_cast<double>(size * whole(settings_, "epochs")) /
                          static_cast<double>(kChecks));
        curve.mean.push_back(mean(values));
        if (check == static_cast<std::size_t>(kChecks)) ends = values;
      }
      panel.curves.push_back(std::move(curve));
      for (const double end : ends) finals[size][method.value].push_back(std::log(end));
      table.rows.push_back({std::to_string(size), name, number_words(tuned), std::to_string(ends.size()),
                            interval_words(mean(ends), student_t_interval(ends))});
      findings.summary.push_back({{"samples", size},
                                  {"method", name},
                                  {"step", tuned},
                                  {"final_loss", std::isfinite(mean(ends)) ? Json(mean(ends)) : Json()},
                                  {"runs", ends.size()}});
    }
    figure.panels.push_back(std::move(panel));
  }
  findings.tables.push_back(std::move(table));
  findings.figures.push_back(std::move(figure));

  // ln (loss of gradient descent / loss of the method), by seed.
  const auto advantage = [&](std::int64_t size, Method method) {
    std::vector<double> values;
    const auto &gd = finals[size][Method::gd], &other = finals[size][method];
    for (std::size_t i = 0; i < std::min(gd.size(), other.size()); ++i) values.push_back(gd[i] - other[i]);
    return values;
  };
  for (const Method method : {Method::batch, Method::sgd}) {
    const std::string name(label(method));
    const std::vector<double> values = advantage(sizes_.back(), method);
    LandscapeVerdict better{
        .claim = "after equally many observations " + name + " is further down than gradient descent",
        .criterion =
            "at the largest number of samples the 95 % interval of ln (loss of gradient descent / loss of " +
            name + "), one value for each seed, is above 0; does not hold where it is below"};
    const std::optional<Interval> interval = student_t_interval(values);
    if (interval && std::isfinite(interval->low)) {
      better.finding = interval->low > 0    ? Finding::holds
                       : interval->high < 0 ? Finding::does_not_hold
                                            : Finding::not_shown;
      better.sentence = "with " + std::to_string(sizes_.back()) + " samples gradient descent's loss is " +
                        interval_words(std::exp(mean(values)),
                                       Interval{std::exp(interval->low), std::exp(interval->high)}) +
                        " times that of " + name + ".";
      better.statistic = {.name = "ln of the ratio of losses",
                          .value = mean(values),
                          .interval = interval,
                          .n = static_cast<std::int64_t>(values.size())};
    }
    findings.verdicts.push_back(std::move(better));
    if (sizes_.size() < 2) continue;
    LandscapeVerdict grows{.claim = "the advantage of " + name + " grows with the number of samples",
                           .criterion =
                               "the 95 % interval of that logarithm at the largest number of samples less "
                               "that at the smallest is above 0; does not hold where it is below"};
    std::vector<double> difference = advantage(sizes_.back(), method);
    const std::vector<double> small = advantage(sizes_.front(), method);
    for (std::size_t i = 0; i < std::min(difference.size(), small.size()); ++i) difference[i] -= small[i];
    const std::optional<Interval> growth =
        small.size() == difference.size() ? student_t_interval(difference) : std::nullopt;
    if (growth && std::isfinite(growth->low)) {
      grows.finding = growth->low > 0    ? Finding::holds
                      : growth->high < 0 ? Finding::does_not_hold
                                         : Finding::not_shown;
      grows.sentence = "the ratio of losses, gradient descent's over that of " + name + ", with " +
                       std::to_string(sizes_.back()) + " samples is " +
                       interval_words(std::exp(mean(difference)),
                                      Interval{std::exp(growth->low), std::exp(growth->high)}) +
                       " times that with " + std::to_string(sizes_.front()) + ".";
      grows.statistic = {.name = "difference of logarithms",
                         .value = mean(difference),
                         .interval = growth,
                         .n = static_cast<std::int64_t>(difference.size())};
    }
    findings.verdicts.push_back(std::move(grows));
  }
  findings.notes.push_back(
      "Data: " + problem_.text + ", in samples of the sizes shown. A run sees each sample " +
      std::to_string(whole(settings_, "epochs")) +
      (order_ == BatchOrder::epochs ? " times; batches go through the samples epoch by epoch. "
                                    : " times on average; batches are drawn with replacement. ") +
      "The step of each method and size is the best of the list with seed 1, which is left out of all "
      "comparisons; seeds 2 to " +
      std::to_string(seeds) + " share start and order between methods.");
  findings.notes.push_back(
      "Observations: samples looked at, each time they are. Further down: with a lower loss on all samples "
      "of that size. A step of gradient descent (gd) looks at all samples, one of mini-batch gradient "
      "descent (batch) at " +
      std::to_string(whole(settings_, "batch")) +
      ", one of SGD at a single sample (elsewhere SGD may have larger batches): with N samples gradient "
      "descent makes " +
      std::to_string(whole(settings_, "epochs")) + " steps and SGD " +
      std::to_string(whole(settings_, "epochs")) + " N. Curves are means over the compared seeds.");
  return findings;
}

}  // namespace

LandscapeExperiment efficiency_experiment() {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 3000, 8, "parity");
  const std::vector<LandscapeOption> own = {
      {.name = "sizes",
       .help = "numbers of samples that are drawn from the data",
       .usual = {100, 1000, 3000},
       .low = 2,
       .high = 100000},
      choice_option("standardise", "inputs and targets with mean 0 and variance 1", YesNo::yes),
      {.name = "hidden",
       .help = "widths of the hidden layers",
       .usual = {12, 12, 12, 12, 12},
       .low = 1,
       .high = 1000},
      choice_option("activation", "of hidden units", HiddenActivation::relu),
      {.name = "epochs",
       .help = "observations: so many times the samples",
       .usual = 20,
       .low = 1,
       .high = 1000000},
      {.name = "batch", .help = "of mini-batch gradient descent", .usual = 50, .low = 1, .high = 100000},
      choice_option("order",
                    "of the samples in batches: drawn with replacement, or epoch after epoch without",
                    BatchOrder::replacement),
      {.name = "step_sizes",
       .help = "tried with seed 1; the loss has a factor 1/2, so that a step is twice Keras'",
       .usual = {1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001},
       .low = 1e-12,
       .high = 100},
      {.name = "seeds",
       .help = "the first tunes, the others compare",
       .usual = 9,
       .quick = 5,
       .low = 3,
       .high = 10000}};
  options.insert(options.end(), own.begin(), own.end());
  return {
      .name = "efficiency",
      .summary = "gradient descent, mini-batches and SGD at equal observations (the thesis' experiment 2)",
      .statement =
          "With many samples stochastic gradient methods lower the loss further than gradient descent "
          "before it has seen as many observations; the more samples, the more so.",
      .source =
          "Bottou & Bousquet (2008); Bottou, Curtis & Nocedal (2018); Fleischmann's thesis, experiment 2",
      .options = std::move(options),
      .presets = {{.name = "thesis",
                   .help = "the thesis' experiment 2: 100, 1,000 and 10,000 samples of California housing, "
                           "which --data-set csv:FILE names",
                   .settings = {{"data_set", "csv:california-housing.csv"},
                                {"labels", "given"},
                                {"sizes", {100, 1000, 10000}},
                                {"hidden", {12, 12, 12, 12, 12}},
                                {"activation", "relu"},
                                {"epochs", 20},
                                {"batch", 50},
                                {"order", "epochs"},  // Keras'
                                {"step_sizes",
                                 {2.0, 1.0, 0.2, 0.1, 0.02, 0.01, 0.002, 0.001, 0.0002, 0.0001}},
                                {"seeds", 9}}}},
      .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
        return std::make_unique<EfficiencyStudy>(settings, data);
      }};
}

}  // namespace qmse
