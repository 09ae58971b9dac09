// The loss on a plane through a network's parameters, with what the plane does not show.
#include "analysis/critical/plane.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "algebra/norm.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/network_point.h"
#include "analysis/landscape/words.h"
#include "base/error.h"

namespace qmse {
namespace {

constexpr int kLevels = 8;  // contour lines

enum class Directions { path, random };
constexpr std::array<Choice<Directions>, 2> choices(Directions) {
  return {{{Directions::path, "path"}, {Directions::random, "random"}}};
}

class PlaneStudy final : public LandscapeStudy {
 public:
  PlaneStudy(const Json& settings, const std::string& data)
      : settings_(settings), point_(settings, data, usual()) {
    if (point_.layers().empty()) throw ConfigError("a network without a hidden layer is not drawn");
    if (along_path()) drawn();  // what is wrong with the path is said now
  }

  static SmallNetwork usual() { return {.hidden = {8}, .start = ProblemStart::descent}; }

  std::vector<Json> members() const override {
    std::vector<Json> members = {{{"about", along_path() ? "path" : "directions"}}};
    for (std::int64_t row = 0; row < whole(settings_, "grid"); ++row) members.push_back({{"row", row}});
    return members;
  }

  MemberResult run(const Json& member) const override {
    const Drawn& drawn = this->drawn();
    const std::unique_ptr<LossSurface> surface = point_.surface();
    if (member.contains("row")) {
      Json losses = Json::array();
      for (std::int64_t column = 0; column < whole(settings_, "grid"); ++column)
        losses.push_back(
            surface->loss(at(drawn.x(column, settings_), drawn.y(whole(member, "row"), settings_))));
      return {.record = {{"loss", losses}}};
    }
    MemberResult result = along_path() ? about_path(*surface) : about_directions(*surface);
    result.record["loss"] = surface->loss(point_.weights());
    result.points = point_.saved();
    return result;
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return point_.samples(); }
  std::span<const double> slope_factors() const override { return point_.slope_factors(); }
  Json data() const override { return point_.description(); }

 private:
  // The plane and what of it is drawn.
  struct Drawn {
    PathPlane path;  // of --directions random the plane alone
    std::vector<std::vector<double>> points;
    double x_low = 0, x_high = 0, y_low = 0, y_high = 0;

    double x(std::int64_t column, const Json& settings) const {
      return x_low + (x_high - x_low) * static_cast<double>(column) /
                         static_cast<double>(whole(settings, "grid") - 1);
    }
    double y(std::int64_t row, const Json& settings) const {
      return y_low +
             (y_high - y_low) * static_cast<double>(row) / static_cast<double>(whole(settings, "grid") - 1);
    }
  };

  bool along_path() const { return chosen<Directions>(settings_, "directions") == Directions::path; }

  const Drawn& drawn() const {
    std::call_once(once_, [this] {
      Drawn drawn;
      const double reach = number(settings_, "reach");
      if (along_path()) {
        drawn.points = point_.path(whole(settings_, "every"));
        drawn.path = path_plane(drawn.points);
        const auto range = [&](const std::vector<double>& along, double& low, double& high) {
          const auto [least, most] = std::minmax_element(along.begin(), along.end());
          const double margin = 0.25 * reach * (*most - *least) + 1e-3 * reach;
          low = *least - margin;
          high = *most + margin;
        };
        range(drawn.path.along_first, drawn.x_low, drawn.x_high);
        range(drawn.path.along_second, drawn.y_low, drawn.y_high);
      } else {
        drawn.path.plane = filter_normalised_plane(point_.weights(), rows(),
                                                   static_cast<std::uint64_t>(whole(settings_, "seed")));
        drawn.x_low = drawn.y_low = -reach;
        drawn.x_high = drawn.y_high = reach;
      }
      drawn_ = std::move(drawn);
    });
    return drawn_;
  }

  // Each unit's incoming weights, and the outputs'.
  std::vector<WeightRow> rows() const {
    std::vector<WeightRow> rows;
    const std::vector<UnitLayer> layers = point_.layers();
    for (const UnitLayer& layer : layers) {
      for (std::int64_t i = 0; i < layer.units; ++i)
        rows.push_back({layer.weights + i * layer.inputs, layer.inputs});
    }
    const UnitLayer& last = layers.back();
    const std::int64_t size = last.units * last.block;
    for (std::int64_t row = 0; row < last.rows; ++row) rows.push_back({last.next + row * size, size});
    return rows;
  }

  std::vector<double> at(double x, double y) const {
    const Plane& plane = drawn().path.plane;
    std::vector<double> w = point_.weights();
    for (std::size_t i = 0; i < w.size(); ++i) w[i] += x * plane.first[i] + y * plane.second[i];
    return w;
  }

  MemberResult about_path(LossSurface& surface) const {
    const Drawn& drawn = this->drawn();
    Json losses = Json::array(), projected = Json::array();
    for (std::size_t p = 0; p < drawn.points.size(); ++p) {
      losses.push_back(surface.loss(drawn.points[p]));
      projected.push_back(surface.loss(at(drawn.path.along_first[p], drawn.path.along_second[p])));
    }
    return {.record = {{"path_loss", losses},
                       {"projected_loss", projected},
                       {"x", drawn.path.along_first},
                       {"y", drawn.path.along_second},
                       {"projection_error", drawn.path.projection_error},
                       {"explained", drawn.path.explained}}};
  }

  MemberResult about_directions(LossSurface& surface) const {
    const Plane& plane = drawn().path.plane;
    const std::vector<double>& w = point_.weights();
    Json curvatures = Json::array();
    for (const std::vector<double>* direction : {&plane.first, &plane.second}) {
      std::vector<double> product(w.size());
      surface.curvature_product(w, *direction, product, Mlp::Curvature::hessian);
      double along = 0;
      for (std::size_t i = 0; i < w.size(); ++i) along += (*direction)[i] * product[i];
      curvatures.push_back(along / (norm(*direction) * norm(*direction)));
    }
    const double tolerance = surface.exact() ? 1e-6 : 1e-4;
    const ExtremeEigenpairs top =
        extreme_eigenpairs(curvature_of(surface, w), static_cast<std::int64_t>(w.size()), 1, SpectrumEnd::top,
                           1, {.tolerance = tolerance});
    return {.record = {{"curvatures", curvatures},
                       {"largest", top.pairs.front().value},
                       {"residual", top.pairs.front().residual}}};
  }

  void add_figure(const std::vector<Json>& records, Findings& findings) const;

  Json settings_;
  NetworkPoint point_;
  mutable std::once_flag once_;
  mutable Drawn drawn_;
};

void PlaneStudy::add_figure(const std::vector<Json>& records, Findings& findings) const {
  const Drawn& drawn = this->drawn();
  const std::int64_t grid = whole(settings_, "grid");
  std::vector<double> losses;
  for (std::size_t row = 1; row < records.size(); ++row) {
    const std::vector<double> line = numbers_or_nan(records[row], "loss");
    losses.insert(losses.end(), line.begin(), line.end());
    findings.summary.push_back(
        {{"y", drawn.y(static_cast<std::int64_t>(row - 1), settings_)}, {"loss", records[row]["loss"]}});
  }
  std::vector<double> finite;
  for (const double value : losses) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  Panel panel{
      .title = "Lines of equal loss",
      .x_label = along_path() ? "along the first direction" : "first direction, in norms of the weights",
      .y_label = along_path() ? "along the second direction" : "second direction",
      .curves = {}};
  // Levels at equal shares of the grid's points.
  for (int l = 1; l <= kLevels && !finite.empty(); ++l) {
    const double level = quantile(finite, static_cast<double>(l) / (kLevels + 1));
    Curve curve{.label = "loss " + number_words(level, 2),
                .x = {},
                .mean = {},
                .style = CurveStyle{.colour = 0, .dash = static_cast<std::size_t>(l - 1) % kDashes}};
    for (const ContourSegment& segment : contour(losses, grid, grid, level)) {
      const auto place = [grid](double low, double high, double index) {
        return low + (high - low) * index / static_cast<double>(grid - 1);
      };
      curve.x.insert(curve.x.end(), {place(drawn.x_low, drawn.x_high, segment.x0),
                                     place(drawn.x_low, drawn.x_high, segment.x1), NAN});
      curve.mean.insert(curve.mean.end(), {place(drawn.y_low, drawn.y_high, segment.y0),
                                           place(drawn.y_low, drawn.y_high, segment.y1), NAN});
    }
    if (!curve.x.empty()) panel.curves.push_back(std::move(curve));
  }
  if (along_path()) {
    const std::vector<double>&first = drawn.path.along_first, &second = drawn.path.along_second;
    panel.curves.push_back(
        {.label = "the path, projected", .x = first, .mean = second, .style = CurveStyle{.colour = 1}});
    if (!first.empty()) {
      panel.curves.push_back({.label = "its start",
                              .x = {first.front()},
                              .mean = {second.front()},
                              .mark = CurveMark::circles,
                              .style = CurveStyle{.colour = 1}});
      panel.curves.push_back({.label = "its end",
                              .x = {first.back()},
                              .mean = {second.back()},
                              .mark = CurveMark::dots,
                              .style = CurveStyle{.colour = 1}});
    }
  } else {
    panel.curves.push_back({.label = "the network", .x = {0}, .mean = {0}, .mark = CurveMark::dots});
  }
  findings.figures.push_back({.title = "The loss on a plane", .panels = {std::move(panel)}});
}

Findings PlaneStudy::conclude(const std::vector<Json>& records) const {
  Findings findings;
  const Json& about = records.front();
  add_figure(records, findings);
  std::string note = point_.words() + ". Loss " + number_words(number(about, "loss"), 5) +
                     " in the middle, " + std::to_string(point_.parameters()) + " parameters.";
  if (along_path()) {
    const std::vector<double> explained = numbers_or_nan(about, "explained"),
                              errors = numbers_or_nan(about, "projection_error"),
                              losses = numbers_or_nan(about, "path_loss"),
                              projected = numbers_or_nan(about, "projected_loss");
    const double share = explained[0] + explained[1], worst = *std::max_element(errors.begin(), errors.end());
    double apart = 0;
    for (std::size_t p = 0; p < losses.size(); ++p)
      apart = std::max(apart, std::abs(projected[p] - losses[p]) / std::max(std::abs(losses[p]), 1e-300));
    const auto points = static_cast<std::int64_t>(losses.size());
    findings.verdicts.push_back(
        {.claim = "the plane holds the path of training",
         .finding = share >= 0.9 ? Finding::holds : Finding::does_not_hold,
         .sentence =
             "the plane holds " + number_words(100 * share) +
             " % of the sum of the squared distances of the path's points to its end (its two directions " +
             number_words(100 * explained[0]) + " and " + number_words(100 * explained[1]) +
             " %), a sum that far points dominate; for a single point the distance to the plane over the "
             "distance to the end is " +
             number_words(median(std::span(errors).first(errors.size() - 1))) +
             " in the median and at most " + number_words(worst) + ".",
         .statistic = {.name = "share of the squared distances", .value = share, .interval = {}, .n = points},
         .criterion = "the two directions have at least 90 % of the sum of the squared distances"});
    findings.verdicts.push_back(
        {.claim = "the loss drawn under the path, at the projections of its points, is the points' own",
         .finding = apart <= 0.1 ? Finding::holds : Finding::does_not_hold,
         .sentence = "where a point of the path is drawn, the plane's loss is up to " +
                     number_words(100 * apart) + " % off the loss at the point.",
         .statistic = {.name = "largest relative difference", .value = apart, .interval = {}, .n = points},
         .criterion = "the two losses differ by at most 10 % at each point of the path"});
    note +=
        " The plane goes through the path's end, along the two directions that hold most of its points' "
        "squared distances (principal components). The points themselves lie beside the plane; the picture "
        "is not the loss along the path.";
  } else {
    const std::vector<double> curvatures = numbers_or_nan(about, "curvatures");
    const double largest = number(about, "largest"),
                 seen = std::max(std::abs(curvatures[0]), std::abs(curvatures[1])) / std::abs(largest);
    findings.verdicts.push_back(
        {.claim = "a random plane shows how sharp the minimum is",
         .finding = seen >= 0.5 ? Finding::holds : Finding::does_not_hold,
         .sentence = "the curvatures along the two directions are " + number_words(curvatures[0]) + " and " +
                     number_words(curvatures[1]) + "; the largest eigenvalue of the Hessian is " +
                     number_words(largest) + ", of which the plane shows " + number_words(100 * seen) + " %.",
         .statistic = {.name = "larger curvature of the two / largest eigenvalue",
                       .value = seen,
                       .interval = {},
                       .n = 2},
         .criterion = "the larger of the two curvatures is at least half of the largest eigenvalue"});
    note +=
        " Directions, filter-normalised: normal random numbers, each unit's weights scaled to the norm they "
        "have in the network, biases 0.";
  }
  findings.notes.push_back(note);
  return findings;
}

}  // namespace

LandscapeExperiment plane_experiment() {
  std::vector<LandscapeOption> options = {
      choice_option(
          "directions",
          "path: the first two principal components of the way to the network (of its descent, or a run's "
          "snapshots); random: filter-normalised",
          Directions::path),
      {.name = "grid", .help = "places in each direction", .usual = 31, .quick = 21, .low = 3, .high = 1001},
      {.name = "reach",
       .help =
           "random: how far from the network, in norms of the weights; path: how much margin, 1: a quarter "
           "of its extent",
       .usual = 1.0,
       .low = 1e-6,
       .high = 1000},
      {.name = "every",
       .help = "steps of the descent between two points of the path",
       .usual = 50,
       .low = 1,
       .high = 100000000},
      {.name = "seed", .help = "of random directions", .usual = 1, .low = 0, .high = 4294967295.0}};
  for (LandscapeOption& option : network_point_options(PlaneStudy::usual()))
    options.push_back(std::move(option));
  return {.name = "plane",
          .summary =
              "the loss on a plane through a network: along the path of training, or along random directions",
          .statement =
              "The loss drawn on a plane through a network is to show how it is shaped around it. But a "
              "plane along the path of training need not hold the path, and a plane along random directions "
              "need not show the curvature. (The setting directions says which of the two was drawn. Random "
              "directions are filter-normalised: each unit's random numbers are scaled to the norm of the "
              "unit's weights in the network.)",
          .source = "Li, Xu, Taylor, Studer & Goldstein (2018)",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<PlaneStudy>(settings, data);
          }};
}

}  // namespace qmse
