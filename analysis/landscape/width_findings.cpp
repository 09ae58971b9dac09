// What is said of the end points of gradient descent, by width.
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "analysis/experiment_1.h"
#include "analysis/landscape/width_study.h"
#include "analysis/landscape/words.h"

namespace qmse {
namespace {

constexpr double kBadShare = 1e-3;  // of the loss of the best constant: what counts as a bad end point

// What the thesis' author published: final costs by number of hidden layers and width.
std::map<std::pair<std::int64_t, std::int64_t>, std::vector<double>> thesis_costs() {
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<double>> costs;
  for (const std::vector<double>& row : number_rows(kThesisExperiment1, "the thesis"))
    costs[{std::llround(row[0]), std::llround(row[1])}].push_back(row[2]);
  return costs;
}

}  // namespace

std::vector<WidthStudy::Group> WidthStudy::groups(const std::vector<Json>& records) const {
  std::vector<Group> groups;
  const std::vector<Json> all = members();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].contains("trap")) continue;
    const std::int64_t depth = whole(all[i], "hidden_layers"), width = whole(all[i], "width");
    if (groups.empty() || groups.back().depth != depth || groups.back().width != width)
      groups.push_back({.depth = depth, .width = width});
    Group& group = groups.back();
    const Json& record = records[i];
    if (record["loss"].is_null()) {
      ++group.diverged;
      continue;
    }
    group.losses.push_back(number(record, "loss"));
    group.gradient.push_back(number(record, "gradient"));
    group.bad += group.losses.back() > kBadShare * constant_loss_;
    group.with_kinks += whole(record, "kinks") > 0;
    if (!record["clarke"].is_null()) {
      group.clarke.push_back(number(record, "clarke"));
      group.stationary += group.clarke.back() <= 1e-4;
    }
  }
  for (Group& group : groups) {
    const auto count = static_cast<std::int64_t>(group.losses.size());
    if (count == 0) continue;
    group.mean = mean(group.losses);
    group.bad_interval = clopper_pearson(group.bad, count);
    if (count < 2) continue;
    group.deviation = *standard_deviation(group.losses);
    group.deviation_interval = bootstrap_interval(count, [&](std::span<const std::int64_t> drawn) {
      std::vector<double> losses;
      for (const std::int64_t j : drawn) losses.push_back(group.losses[static_cast<std::size_t>(j)]);
      return *standard_deviation(losses);
    });
  }
  return groups;
}

Findings WidthStudy::conclude(const std::vector<Json>& records) const {
  const std::vector<Group> all = groups(records);
  Findings findings;
  ReportTable table{
      {"hidden layers × width", "d₀d₁/N", "runs", "mean loss", "standard deviation", "median loss",
       "max − min", "share bad", "‖∇L‖, median", "Clarke residual, median", "runs on kinks"},
      {}};
  for (const Group& group : all) {
    const auto count = static_cast<std::int64_t>(group.losses.size());
    Json row = {{"hidden_layers", group.depth},
                {"width", group.width},
                {"runs", count},
                {"diverged", group.diverged}};
    if (count > 0) {
      const auto [least, most] = std::minmax_element(group.losses.begin(), group.losses.end());
      row.update(
          {{"mean", group.mean},
           {"median", median(group.losses)},
           {"std", group.deviation},
           {"std_low", group.deviation_interval ? Json(group.deviation_interval->low) : Json(nullptr)},
           {"std_high", group.deviation_interval ? Json(group.deviation_interval->high) : Json(nullptr)},
           {"interquartile", quantile(group.losses, 0.75) - quantile(group.losses, 0.25)},
           {"range", *most - *least},
           {"std_over_mean", group.mean > 0 ? group.deviation / group.mean : NAN},
           {"share_bad", group.share_bad()},
           {"share_bad_low", group.bad_interval.low},
           {"share_bad_high", group.bad_interval.high},
           {"gradient_median", median(group.gradient)},
           {"clarke_median", group.clarke.empty() ? Json(nullptr) : Json(median(group.clarke))},
           {"stationary", group.stationary},
           {"with_kinks", group.with_kinks}});
      table.rows.push_back({std::to_string(group.depth) + " × " + std::to_string(group.width),
                            number_words(capacity(group)), std::to_string(count), number_words(group.mean),
                            interval_words(group.deviation, group.deviation_interval),
                            number_words(median(group.losses)), number_words(*most - *least),
                            interval_words(group.share_bad(), group.bad_interval, 2),
                            number_words(median(group.gradient)),
                            group.clarke.empty() ? "–" : number_words(median(group.clarke)),
                            std::to_string(group.with_kinks)});
    }
    findings.summary.push_back(row);
  }
  findings.tables.push_back(std::move(table));
  const Json* trap = has_trap() ? &records.front() : nullptr;
  add_verdicts(all, trap, findings);
  add_figures(all, findings);
  if (schedule_ == WidthSchedule::thesis && problem_.source == ProblemSource::circles)
    add_thesis(all, findings);
  findings.notes.push_back("Data: " + problem_.text + ". A run is bad where its loss is above " +
                           number_words(kBadShare * constant_loss_) +
                           ", a thousandth of the loss of the best constant output. Where the activation is "
                           "piecewise linear, ‖∇L‖ need not become small at a minimum: runs end with samples "
                           "exactly on kinks. The Clarke residual, the least gradient norm over all slopes "
                           "that a kink allows, says whether such a point is stationary (0: it is). Soudry "
                           "and Carmon's theorem speaks of points without kinks only. Its noise on the "
                           "slopes: each unit's slope is multiplied by a fixed random factor near 1, another "
                           "one for each sample.");
  return findings;
}

void WidthStudy::add_verdicts(const std::vector<Group>& groups, const Json* trap, Findings& findings) const {
  for (const std::int64_t depth : depths_) {
    std::vector<const Group*> list;
    for (const Group& group : groups) {
      if (group.depth == depth && std::isfinite(group.deviation)) list.push_back(&group);
    }
    const std::string where = depths_.size() > 1 ? std::to_string(depth) + " hidden layers: " : "";
    LandscapeVerdict shrinks{
        .claim = "the losses of minima that gradient descent finds spread less, the wider the network",
        .criterion =
            "from some width on, not from the narrowest on, the upper end of the 95 % interval of the "
            "losses' standard deviation is at most a tenth of the largest standard deviation"};
    if (list.size() >= 2) {
      const Group* peak = *std::max_element(list.begin(), list.end(),
                                            [](auto a, auto b) { return a->deviation < b->deviation; });
      std::size_t from = list.size();
      while (from > 0 && list[from - 1]->deviation_interval->high <= 0.1 * peak->deviation) --from;
      const bool holds = from < list.size() && from > 0;
      shrinks.finding = holds ? Finding::holds : Finding::does_not_hold;
      const Group& last = holds ? *list[from] : *list.back();
      shrinks.sentence =
          where + "the standard deviation of the losses is largest at width " + std::to_string(peak->width) +
          " (" + interval_words(peak->deviation, peak->deviation_interval) + "), and " +
          (holds ? "from width " + std::to_string(last.width) +
                       " on (d₀d₁/N = " + number_words(capacity(last)) + ") it is below a tenth of that"
                 : "is never safely below a tenth of that: " +
                       interval_words(last.deviation, last.deviation_interval) + " at width " +
                       std::to_string(last.width)) +
          "; divided by the mean loss of the same width it goes from " +
          number_words(list.front()->deviation / list.front()->mean, 2) + " at width " +
          std::to_string(list.front()->width) + " to " + number_words(last.deviation / last.mean, 2) +
          " at width " + std::to_string(last.width) +
          (last.deviation * list.front()->mean > list.front()->deviation * last.mean
               ? ", since the mean falls faster than the spread."
               : ".");
      shrinks.statistic = {.name = "deviation at width " + std::to_string(last.width),
                           .value = last.deviation,
                           .interval = last.deviation_interval,
                           .n = static_cast<std::int64_t>(last.losses.size())};
    } else {
      shrinks.sentence = where +
                         "a spread that shrinks takes two widths with two end points each at least; "
                         "give more --widths or --seeds.";
    }
    findings.verdicts.push_back(std::move(shrinks));

    LandscapeVerdict none{
        .claim = "where d₀d₁ ≥ N, gradient descent from random starts finds no bad minimum",
        .criterion =
            "at every width with d₀d₁ ≥ N the upper end of the 95 % interval (Clopper–Pearson) of the share "
            "of bad runs is at most 0.1"};
    std::string numbers;
    const Group *from = nullptr, *first = nullptr;  // all good from here on; the narrowest
    bool some_bad = false;
    for (const Group* group : list) {
      if (capacity(*group) < 1) continue;
      if (first == nullptr) first = group;
      const bool good = group->bad_interval.high <= 0.1;
      from = !good ? nullptr : from == nullptr ? group : from;
      some_bad = some_bad || group->bad_interval.low > 0.1;
      numbers += (numbers.empty() ? "width " : "; width ") + std::to_string(group->width) + ": " +
                 interval_words(group->share_bad(), group->bad_interval, 2);
    }
    if (first != nullptr) {
      none.finding = from == first     ? Finding::holds
                     : from != nullptr ? Finding::depends
                     : some_bad        ? Finding::does_not_hold
                                       : Finding::not_shown;
      const Group* shown = from == nullptr ? list.back() : from;
      none.statistic = {.name = "share bad at width " + std::to_string(shown->width),
                        .value = shown->share_bad(),
                        .interval = shown->bad_interval,
                        .n = static_cast<std::int64_t>(shown->losses.size())};
      none.sentence = where + "share of bad end points at widths with d₀d₁ ≥ N: " + numbers +
                      (from != nullptr ? "; at most 0.1, the interval included, from width " +
                                             std::to_string(from->width) + " on" +
                                             (from == first ? "." : ", so at some such widths only.")
                                       : ".");
      findings.verdicts.push_back(std::move(none));
    }
  }
  if (trap != nullptr) {
    const double loss = number(*trap, "loss"), gradient = number(*trap, "gradient");
    const std::int64_t width = widths_.back();
    LandscapeVerdict verdict{
        .claim =
            "where d₀d₁ ≥ N, every differentiable local minimum has loss 0 (without noise on the slopes)",
        .criterion =
            "does not hold where one point with all pre-activations > 0, no kink and a gradient of "
            "rounding size has a loss well above the best run's"};
    double best = INFINITY;
    for (const Group& group : groups) {
      if (group.depth == 1 && group.width == width && !group.losses.empty())
        best = *std::min_element(group.losses.begin(), group.losses.end());
    }
    const bool applies =
        static_cast<double>(problem_.samples.inputs * width) >= static_cast<double>(problem_.samples.count);
    const bool spurious = gradient < 1e-12 && whole(*trap, "kinks") == 0 && loss > 1.01 * best + 1e-6;
    verdict.finding = applies && spurious ? Finding::does_not_hold : Finding::not_shown;
    verdict.sentence =
        "the best affine fit, built of units that are active on all samples, has loss " + number_words(loss) +
        " at width " + std::to_string(width) + ", where the best run reaches " + number_words(best, 2) +
        ". At the affine fit ‖∇L‖ is " + number_words(gradient, 2) + ". All pre-activations are at least " +
        number_words(number(*trap, "min_pre_activation")) +
        ", so near this point every unit is linear and the network an affine function; none is better than "
        "the best affine fit, so this is a local minimum. The theorem's proof takes a matrix with a column "
        "for each sample, which stacks for every unit its slope there times (x, 1), and needs it to have "
        "rank N = " +
        std::to_string(problem_.samples.count) + "; here every unit repeats the same rows, and the rank is " +
        std::to_string(whole(*trap, "rank_ax")) +
        ". With noise on the slopes (setting slope_noise 0.01, start trap) descent leaves the point.";
    verdict.statistic = {.name = "loss of the affine trap", .value = loss, .interval = {}, .n = 1};
    findings.verdicts.push_back(std::move(verdict));
  }
}

void WidthStudy::add_figures(const std::vector<Group>& groups, Findings& findings) const {
  for (const std::int64_t depth : depths_) {
    Curve cloud{.label = "runs", .x = {}, .mean = {}, .mark = CurveMark::dots},
        middle{.label = "median, quartiles", .x = {}, .mean = {}};
    Curve deviation{.label = "standard deviation, 95 %", .x = {}, .mean = {}},
        range{.label = "max − min", .x = {}, .mean = {}};
    Curve bad{.label = "share bad, 95 %", .x = {}, .mean = {}};
    double place = 0, least = INFINITY, most = 0;
    for (const Group& group : groups) {
      if (group.depth != depth || group.losses.empty()) continue;
      const auto width = static_cast<double>(group.width);
      for (std::size_t i = 0; i < group.losses.size(); ++i) {
        place = std::fmod(place + 0.618033988749895, 1.0);  // spread evenly, without chance
        cloud.x.push_back(width * (1 + 0.1 * (place - 0.5)));
        cloud.mean.push_back(group.losses[i]);
      }
      middle.x.push_back(width);
      middle.mean.push_back(median(group.losses));
      middle.low.push_back(quantile(group.losses, 0.25));
      middle.high.push_back(quantile(group.losses, 0.75));
      bad.x.push_back(capacity(group));
      bad.mean.push_back(group.share_bad());
      bad.low.push_back(group.bad_interval.low);
      bad.high.push_back(group.bad_interval.high);
      if (!group.deviation_interval) continue;
      const auto [low, high] = std::minmax_element(group.losses.begin(), group.losses.end());
      deviation.x.push_back(capacity(group));
      deviation.mean.push_back(group.deviation);
      deviation.low.push_back(group.deviation_interval->low);
      deviation.high.push_back(group.deviation_interval->high);
      range.x.push_back(capacity(group));
      range.mean.push_back(*high - *low);
      if (group.deviation > 0) least = std::min(least, group.deviation);
      most = std::max(most, *high - *low);
    }
    Figure figure{
        .title = "Where gradient descent ends, by width" +
                 (depths_.size() > 1 ? ", " + std::to_string(depth) + " hidden layers" : std::string()),
        .panels = {},
        .columns = 2};
    figure.panels.push_back({.title = "End points",
                             .x_label = "width",
                             .y_label = "loss",
                             .curves = {cloud, middle},
                             .log_x = true});
    figure.panels.push_back({.title = "The same, logarithmic",
                             .x_label = "width",
                             .y_label = "loss",
                             .curves = {cloud, middle},
                             .log_x = true,
                             .log_y = true});
    Panel spread{.title = "Spread",
                 .x_label = "d₀d₁/N",
                 .y_label = "loss",
                 .curves = {deviation, range},
                 .log_x = true,
                 .log_y = true};
    if (least < most) spread.curves.push_back({.label = "d₀d₁ = N", .x = {1, 1}, .mean = {least, most}});
    figure.panels.push_back(std::move(spread));
    figure.panels.push_back({.title = "Bad end points",
                             .x_label = "d₀d₁/N",
                             .y_label = "share",
                             .curves = {bad, {.label = "d₀d₁ = N", .x = {1, 1}, .mean = {0, 1}}},
                             .log_x = true});
    findings.figures.push_back(std::move(figure));
  }
}

void WidthStudy::add_thesis(const std::vector<Group>& groups, Findings& findings) const {
  const auto published = thesis_costs();
  ReportTable table{{"hidden layers × width", "thesis: runs", "mean loss", "standard deviation", "here: runs",
                     "mean loss", "standard deviation", "ratio of means"},
                    {}};
  double worst = 1;
  for (const Group& group : groups) {
    const auto found = published.find({group.depth, group.width});
    if (found == published.end() || group.losses.empty()) continue;
    const std::vector<double>& costs = found->second;
    const double ratio = group.mean / mean(costs);
    if (group.width <= 10) worst = std::max({worst, ratio, 1 / ratio});
    table.rows.push_back({std::to_string(group.depth) + " × " + std::to_string(group.width),
                          std::to_string(costs.size()), number_words(mean(costs)),
                          number_words(standard_deviation(costs).value_or(NAN)),
                          std::to_string(group.losses.size()), number_words(group.mean),
                          number_words(group.deviation), number_words(ratio)});
    Curve* curve = nullptr;
    Panel& panel = findings
                       .figures[static_cast<std::size_t>(
                           std::find(depths_.begin(), depths_.end(), group.depth) - depths_.begin())]
                       .panels[1];
    for (Curve& each : panel.curves) {
      if (each.label == "thesis, median") curve = &each;
    }
    if (curve == nullptr) {
      panel.curves.push_back({.label = "thesis, median", .x = {}, .mean = {}});
      curve = &panel.curves.back();
    }
    curve->x.push_back(static_cast<double>(group.width));
    curve->mean.push_back(median(costs));
  }
  if (table.rows.empty()) return;
  findings.tables.push_back(std::move(table));
  findings.verdicts.push_back(
      {.claim = "the thesis' published results can be reproduced",
       .finding = worst <= 1.25 ? Finding::holds : Finding::does_not_hold,
       .sentence = "mean losses at widths up to 10 differ from the published ones by at most a factor " +
                   number_words(worst) + ".",
       .statistic = {.name = "largest ratio of means",
                     .value = worst,
                     .interval = {},
                     .n = static_cast<std::int64_t>(groups.size())},
       .criterion =
           "within 25 % at widths up to 10; wider networks' losses are those of where training stops"});
}

}  // namespace qmse
