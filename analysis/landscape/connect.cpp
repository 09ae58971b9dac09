// The way between two networks: is the loss on the straight line above that at its ends, and how much of it
// is only the order of the units?
#include <algorithm>
#include <cmath>

#include "analysis/landscape/experiment.h"
#include "analysis/landscape/network_point.h"
#include "analysis/landscape/words.h"
#include "base/error.h"
#include "data/sha256.h"

namespace qmse {
namespace {

SmallNetwork usual() { return {.hidden = {40}, .start = ProblemStart::descent}; }

class ConnectStudy final : public LandscapeStudy {
 public:
  ConnectStudy(const Json& settings, const std::string& data)
      : settings_(settings), point_(settings, data, usual()) {
    const std::string other = text(settings, "other");
    if (point_.trained() == nullptr && other.empty())
      throw ConfigError("--other is missing: the network to go to");
    if (!other.empty()) other_ = point_.other(other);
    if (point_.layers().empty()) throw ConfigError("a network without a hidden layer has no units to match");
  }

  std::vector<Json> members() const override {
    if (!other_.empty()) return {{{"pair", 1}}};
    std::vector<Json> members;
    for (std::int64_t pair = 1; pair <= whole(settings_, "pairs"); ++pair)
      members.push_back({{"pair", pair}});
    return members;
  }

  MemberResult run(const Json& member) const override {
    std::vector<double> one = point_.trained() == nullptr ? point_.weights() : std::vector<double>(),
                        two = other_;
    if (const TrainedProblem* trained = point_.trained()) {
      const auto pair = static_cast<std::uint64_t>(whole(member, "pair"));
      one = trained->start_from(2 * pair - 1);
      two = trained->start_from(2 * pair);
    }
    const std::unique_ptr<LossSurface> surface = point_.surface();
    const MatchedUnits matched = match_units(point_.layers(), one, two, point_.odd_units());
    const Json before = line(*surface, one, two), after = line(*surface, one, matched.weights);
    const std::vector<double> losses = before.get<std::vector<double>>();
    MemberResult result{.record = {{"loss_one", losses.front()},
                                   {"loss_two", losses.back()},
                                   {"loss_matched", after.back()},
                                   {"before", before},
                                   {"after", after},
                                   {"barrier_before", barrier(losses)},
                                   {"barrier_after", barrier(after.get<std::vector<double>>())},
                                   {"moved", matched.moved},
                                   {"flipped", matched.flipped},
                                   {"sweeps", matched.sweeps}}};
    if (point_.samples() != nullptr) {
      const Json network = point_.saved().front().network;
      result.points = {{"one", network, one}, {"two", network, two}, {"matched", network, matched.weights}};
    }
    return result;
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return point_.samples(); }
  std::span<const double> slope_factors() const override { return point_.slope_factors(); }
  Json data() const override {
    return other_.empty() ? point_.description()
                          : Json{{"one", point_.description()}, {"two_sha256", digest_of(other_)}};
  }

 private:
  static std::string digest_of(const std::vector<double>& w) { return sha256_of<double>(w); }

  // The loss at places + 1 points, ends included.
  Json line(LossSurface& surface, const std::vector<double>& from, const std::vector<double>& to) const {
    const std::int64_t places = whole(settings_, "places");
    std::vector<double> w(from.size());
    Json losses = Json::array();
    for (std::int64_t place = 0; place <= places; ++place) {
      const double t = static_cast<double>(place) / static_cast<double>(places);
      for (std::size_t i = 0; i < w.size(); ++i)
        w[i] = place == places ? to[i] : (1 - t) * from[i] + t * to[i];
      losses.push_back(surface.loss(w));
    }
    return losses;
  }

  // How far the loss rises above the straight line between its ends.
  static double barrier(const std::vector<double>& losses) {
    double most = 0;
    const double last = static_cast<double>(losses.size() - 1);
    for (std::size_t i = 0; i < losses.size(); ++i) {
      const double t = static_cast<double>(i) / last;
      most = std::max(most, losses[i] - ((1 - t) * losses.front() + t * losses.back()));
    }
    return most;
  }

  Json settings_;
  NetworkPoint point_;
  std::vector<double> other_;
};

Findings ConnectStudy::conclude(const std::vector<Json>& records) const {
  Findings findings;
  ReportTable table{
      {"pair", "losses at the ends", "barrier", "barrier after matching", "units moved", "signs flipped"},
      {}};
  std::vector<double> before, after, ratios;
  double changed = 0;
  std::int64_t joined = 0, gone = 0;
  std::size_t places = records.front()["before"].size();
  std::vector<double> mean_before(places), mean_after(places);
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Json& record = records[i];
    if (record["barrier_before"].is_null() || record["barrier_after"].is_null() ||
        record["loss_one"].is_null() || record["loss_two"].is_null()) {
      ++gone;  // a network that is not finite
      continue;
    }
    before.push_back(number(record, "barrier_before"));
    after.push_back(number(record, "barrier_after"));
    const double one = number(record, "loss_one"), two = number(record, "loss_two");
    changed =
        std::max(changed, std::abs(number(record, "loss_matched") - two) / std::max(std::abs(two), 1e-300));
    const double threshold = number(settings_, "level") * std::max(one, two);
    joined += after.back() <= threshold;
    if (before.back() > 0 && after.back() > 0) ratios.push_back(std::log(after.back() / before.back()));
    const std::vector<double> line_before = numbers_or_nan(record, "before"),
                              line_after = numbers_or_nan(record, "after");
    for (std::size_t p = 0; p < places; ++p) {
      mean_before[p] += line_before[p];
      mean_after[p] += line_after[p];
    }
    table.rows.push_back({std::to_string(i + 1), number_words(one) + ", " + number_words(two),
                          number_words(before.back()), number_words(after.back()),
                          std::to_string(whole(record, "moved")), std::to_string(whole(record, "flipped"))});
    findings.summary.push_back({{"pair", i + 1},
                                {"loss_one", one},
                                {"loss_two", two},
                                {"barrier_before", before.back()},
                                {"barrier_after", after.back()}});
  }
  findings.tables.push_back(std::move(table));
  const auto pairs = static_cast<std::int64_t>(before.size());
  LandscapeVerdict same{
      .claim = "matching units leaves the function as it is",
      .criterion = "the network's losses before and after matching differ by at most 1e-12 of the loss"};
  LandscapeVerdict lower{
      .claim = "matching units lowers the barrier",
      .criterion =
          "the 95 % interval of the mean of ln (barrier after / barrier before) over pairs is below 0"};
  LandscapeVerdict connected{
      .claim = "after matching, the straight line between two trained networks stays at their loss",
      .criterion = "for every pair the barrier is at most " + number_words(number(settings_, "level")) +
                   " (--level) times the larger of the two losses"};
  if (pairs > 0) {
    same.finding = changed <= 1e-12 ? Finding::exact : Finding::does_not_hold;
    same.sentence = "the losses before and after matching differ by at most " + number_words(changed, 2) +
                    " of the loss.";
    same.statistic = {.name = "largest relative difference", .value = changed, .interval = {}, .n = pairs};
    const std::optional<Interval> interval =
        ratios.size() < before.size() ? std::nullopt : student_t_interval(ratios);
    const double ratio = ratios.empty() ? NAN : mean(ratios);
    lower.finding = pairs == 1 || !interval ? Finding::not_shown
                    : interval->high < 0    ? Finding::holds
                    : interval->low > 0     ? Finding::does_not_hold
                                            : Finding::not_shown;
    lower.sentence = "the mean barrier is " + number_words(mean(before)) + " before and " +
                     number_words(mean(after)) + " after matching" +
                     (interval ? ", " +
                                     interval_words(std::exp(ratio), Interval{std::exp(interval->low),
                                                                              std::exp(interval->high)}) +
                                     " times as high."
                               : std::string(pairs == 1 ? ", for one pair." : "."));
    lower.statistic = {.name = "mean of ln (after / before)",
                       .value = ratios.empty() ? 0 : ratio,
                       .interval = interval,
                       .n = static_cast<std::int64_t>(ratios.size())};
    const Interval share = clopper_pearson(joined, pairs);
    connected.finding = joined == pairs ? Finding::holds : Finding::does_not_hold;
    connected.sentence = std::to_string(joined) + " of " + std::to_string(pairs) + " barriers are at most " +
                         number_words(number(settings_, "level")) + " times the loss at the ends.";
    connected.statistic = {.name = "share of pairs without a barrier",
                           .value = static_cast<double>(joined) / static_cast<double>(pairs),
                           .interval = share,
                           .n = pairs};
    Panel panel{.title = "Loss on the line between two networks, mean of the pairs",
                .x_label = "t, from one network (0) to the other (1)",
                .y_label = "loss",
                .curves = {}};
    for (auto* curve : {&mean_before, &mean_after}) {
      for (double& value : *curve) value /= static_cast<double>(pairs);
      Curve drawn{.label = curve == &mean_before ? "as trained" : "units matched", .x = {}, .mean = *curve};
      for (std::size_t p = 0; p < places; ++p)
        drawn.x.push_back(static_cast<double>(p) / static_cast<double>(places - 1));
      panel.curves.push_back(std::move(drawn));
    }
    findings.figures.push_back({.title = "From one network to another", .panels = {std::move(panel)}});
  }
  findings.verdicts = {std::move(same), std::move(lower), std::move(connected)};
  findings.notes.push_back(
      point_.words() + ". " + std::to_string(point_.parameters()) + " parameters" +
      (gone > 0 ? "; " + std::to_string(gone) + " pairs were not finite and are left out" : "") +
      ". Barrier: how far the loss between two networks, on the straight line from the weights of one to "
      "those of the other, rises above the straight line between their losses. Matching: the units of one "
      "are put in the order of the most similar ones of the other, by the inner products of their weights, "
      "layer by layer" +
      (point_.odd_units() ? ", with signs" : "") +
      "; with more than one hidden layer that is not always the best order.");
  return findings;
}

}  // namespace

LandscapeExperiment connect_experiment() {
  std::vector<LandscapeOption> options = {
      {.name = "other",
       .help = "the network to go to: a run or weights file beside --weights, a point's name beside --points",
       .usual = ""},
      {.name = "pairs",
       .help = "of networks that are trained, each from two seeds of its own, without --weights and --points",
       .usual = 15,
       .quick = 6,
       .low = 1,
       .high = 10000},
      {.name = "places",
       .help = "of the line at which the loss is computed",
       .usual = 24,
       .low = 2,
       .high = 10000},
      {.name = "level",
       .help = "a barrier is one from this part of the loss on",
       .usual = 0.05,
       .low = 0,
       .high = 100}};
  for (LandscapeOption& option : network_point_options(usual())) options.push_back(std::move(option));
  return {.name = "connect",
          .summary = "the barrier between two networks, before and after their units are matched",
          .statement =
              "Two trained networks are separated by a barrier of the loss; that is largely the order (and "
              "the signs) of their units, and falls when these are matched.",
          .source =
              "Entezari et al. (2022); Ainsworth, Hayase & Srinivasa, Git Re-Basin (2023); Garipov et al. "
              "(2018)",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<ConnectStudy>(settings, data);
          }};
}

}  // namespace qmse
