// The eigenvalues of a Hessian at one point: the ends with their residuals, the density between, and what of
// it is the Gauss-Newton part.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "algebra/dense.h"
#include "algebra/norm.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/network_point.h"
#include "analysis/landscape/words.h"
#include "base/error.h"

namespace qmse {
namespace {

constexpr std::int64_t kDense = 2000;  // parameters up to which the whole matrix is there to compare with
constexpr int kPlaces = 200;           // of a density

// H = G + R: the Hessian, its Gauss-Newton part and the residual part, which has the outputs' curvature.
enum class Part { hessian, gauss_newton, residual };
constexpr std::array<Choice<Part>, 3> choices(Part) {
  return {{{Part::hessian, "hessian"}, {Part::gauss_newton, "gauss-newton"}, {Part::residual, "residual"}}};
}

SymmetricProduct product_of(LossSurface& surface, const std::vector<double>& w, Part part) {
  if (part != Part::residual) {
    return curvature_of(surface, w,
                        part == Part::hessian ? Mlp::Curvature::hessian : Mlp::Curvature::gauss_newton);
  }
  return [&surface, &w, other = std::vector<double>(w.size())](std::span<const double> in,
                                                               std::span<double> out) mutable {
    surface.curvature_product(w, in, out, Mlp::Curvature::hessian);
    surface.curvature_product(w, in, other, Mlp::Curvature::gauss_newton);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] -= other[i];
  };
}

struct Density {
  double low = 0, high = 0, width = 0;  // of the range; deviation of what each node becomes

  double place(int p) const { return low + (high - low) * (p + 0.5) / kPlaces; }
  // Nodes and weights as a sum of normal densities.
  std::vector<double> of(const std::vector<double>& nodes, const std::vector<double>& weights) const {
    std::vector<double> density(kPlaces);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      for (int p = 0; p < kPlaces; ++p) {
        const double z = (place(p) - nodes[i]) / width;
        density[static_cast<std::size_t>(p)] +=
            weights[i] * std::exp(-0.5 * z * z) / (width * std::sqrt(2 * std::numbers::pi));
      }
    }
    return density;
  }
};

class SpectrumStudy final : public LandscapeStudy {
 public:
  SpectrumStudy(const Json& settings, const std::string& data) : settings_(settings), point_(settings, data) {
    const auto size = static_cast<std::int64_t>(point_.parameters());
    if (whole(settings, "count") > size) {
      throw ConfigError("--count " + std::to_string(whole(settings, "count")) + " is more than the " +
                        std::to_string(size) + " eigenvalues there are");
    }
    exact_ = point_.surface()->exact();
  }

  std::vector<Json> members() const override {
    std::vector<Json> members;
    for (const auto& [part, end] : kEnds)
      members.push_back({{"part", std::string(name(part))}, {"end", std::string(name(end))}});
    for (std::int64_t probe = 1; probe <= whole(settings_, "probes"); ++probe)
      members.push_back({{"probe", probe}});
    if (dense()) members.push_back({{"dense", 0}});
    return members;
  }

  MemberResult run(const Json& member) const override {
    const std::unique_ptr<LossSurface> surface = point_.surface();
    const std::vector<double>& w = point_.weights();
    const auto size = static_cast<std::int64_t>(w.size());
    if (member.contains("dense")) return {.record = {{"values", whole_spectrum(*surface, w)}}};
    if (member.contains("probe")) {
      const SpectralNodes nodes =
          spectral_nodes(product_of(*surface, w, Part::hessian), size, whole(settings_, "quadrature"), 1,
                         static_cast<std::uint32_t>(whole(member, "probe")));
      return {.record = {{"nodes", nodes.nodes}, {"weights", nodes.weights}}};
    }
    const Part part = chosen<Part>(member, "part");
    const SpectrumEnd end = chosen<SpectrumEnd>(member, "end");
    const ExtremeEigenpairs found =
        extreme_eigenpairs(product_of(*surface, w, part), size, whole(settings_, "count"), end, 1,
                           {.products = whole(settings_, "products"), .tolerance = tolerance()});
    Json values = Json::array(), residuals = Json::array();
    for (const EigenPair& pair : found.pairs) {
      values.push_back(pair.value);
      residuals.push_back(pair.residual);
    }
    MemberResult result{.record = {{"values", values},
                                   {"residuals", residuals},
                                   {"converged", found.converged},
                                   {"products", found.products}}};
    if (part == Part::hessian && end == SpectrumEnd::top) {
      std::vector<double> gradient(w.size());
      result.record["loss"] = surface->gradient(w, gradient);
      result.record["gradient"] = norm(gradient);
      result.points = point_.saved();
    }
    return result;
  }

  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return point_.samples(); }
  std::span<const double> slope_factors() const override { return point_.slope_factors(); }
  Json data() const override { return point_.description(); }

 private:
  // Members before the probes.
  static constexpr std::pair<Part, SpectrumEnd> kEnds[] = {{Part::hessian, SpectrumEnd::top},
                                                           {Part::hessian, SpectrumEnd::bottom},
                                                           {Part::gauss_newton, SpectrumEnd::top},
                                                           {Part::residual, SpectrumEnd::top},
                                                           {Part::residual, SpectrumEnd::bottom}};

  bool dense() const { return static_cast<std::int64_t>(point_.parameters()) <= kDense; }
  // Of differences no more can be asked.
  double tolerance() const { return exact_ ? 1e-8 : 1e-5; }
  static std::vector<double> whole_spectrum(LossSurface& surface, const std::vector<double>& w);
  void add_ends(const std::vector<Json>& records, Findings& findings) const;
  void add_density(const std::vector<Json>& records, Findings& findings) const;

  Json settings_;
  NetworkPoint point_;
  bool exact_ = true;
};

std::vector<double> SpectrumStudy::whole_spectrum(LossSurface& surface, const std::vector<double>& w) {
  const std::size_t size = w.size();
  std::vector<double> matrix(size * size), unit(size);
  for (std::size_t i = 0; i < size; ++i) {
    unit[i] = 1;
    surface.curvature_product(w, unit, std::span<double>(matrix).subspan(i * size, size),
                              Mlp::Curvature::hessian);
    unit[i] = 0;
  }
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < i; ++j)
      matrix[i * size + j] = matrix[j * size + i] = 0.5 * (matrix[i * size + j] + matrix[j * size + i]);
  }
  return symmetric_eigen(matrix, static_cast<std::int64_t>(size), false).values;
}

// Far from all nodes a density is 1e-300, which nobody wants on an axis.
std::vector<double> drawn(std::vector<double> density) {
  const double most = *std::max_element(density.begin(), density.end());
  for (double& value : density) value = value < 1e-6 * most ? NAN : value;
  return density;
}

std::vector<double> list(const Json& record, const char* what) {
  return record[what].get<std::vector<double>>();
}

void SpectrumStudy::add_ends(const std::vector<Json>& records, Findings& findings) const {
  const std::vector<double> top = list(records[0], "values"), bottom = list(records[1], "values"),
                            part = list(records[2], "values");
  const std::vector<double> top_residuals = list(records[0], "residuals"),
                            bottom_residuals = list(records[1], "residuals");
  const double norm = std::max(std::abs(top.front()), std::abs(bottom.front()));
  double worst = 0;
  bool converged = true;
  for (std::size_t end = 0; end < std::size(kEnds); ++end)
    converged = converged && records[end]["converged"].get<bool>();
  ReportTable table{{"", "largest", "‖Hv − λv‖", "smallest", "‖Hv − λv‖", "largest of the Gauss–Newton part"},
                    {}};
  for (std::size_t i = 0; i < std::min({top.size(), bottom.size(), part.size()}); ++i) {
    worst = std::max({worst, top_residuals[i], bottom_residuals[i]});
    table.rows.push_back({std::to_string(i + 1), number_words(top[i], 8), number_words(top_residuals[i], 2),
                          number_words(bottom[i], 8), number_words(bottom_residuals[i], 2),
                          number_words(part[i], 8)});
    findings.summary.push_back({{"place", i + 1},
                                {"largest", top[i]},
                                {"largest_residual", top_residuals[i]},
                                {"smallest", bottom[i]},
                                {"smallest_residual", bottom_residuals[i]},
                                {"gauss_newton", part[i]}});
  }
  findings.tables.push_back(std::move(table));
  // Rounding of a norm of 0 is no number.
  const double relative = norm > 0 ? worst / norm : 0;
  findings.verdicts.push_back(
      {.claim = "the values found at both ends of the Hessian's spectrum are eigenvalues",
       .finding = !converged || relative > 10 * tolerance() ? Finding::not_shown
                  : exact_                                  ? Finding::exact
                                                            : Finding::holds,
       .sentence = "the largest eigenvalue is " + number_words(top.front(), 6) + ", the smallest " +
                   number_words(bottom.front(), 4) + "; every residual ‖Hv − λv‖ is at most " +
                   number_words(relative, 2) +
                   " ‖H‖; H has an eigenvalue at a distance of at most ‖Hv − λv‖ from each value λ found, v "
                   "the unit vector found with it" +
                   (converged ? "." : ", but --products was too small for all of them to converge."),
       .statistic = {.name = "largest residual / norm",
                     .value = relative,
                     .interval = {},
                     .n = static_cast<std::int64_t>(top.size() + bottom.size())},
       .criterion =
           "all have converged, with residuals of at most " + number_words(10 * tolerance()) + " ‖H‖"});
  // Weyl: the i-th eigenvalues of G + R and G differ by something between R's smallest and largest.
  const double lowest = list(records[4], "values").front(), highest = list(records[3], "values").front();
  double outside = 0, apart = 0;
  for (std::size_t i = 0; i < std::min(top.size(), part.size()); ++i) {
    outside = std::max({outside, lowest - (top[i] - part[i]), (top[i] - part[i]) - highest});
    apart = std::max(apart, std::abs(top[i] - part[i]));
  }
  const double share = norm > 0 ? std::max(std::abs(lowest), std::abs(highest)) / norm : 0;
  findings.verdicts.push_back(
      {.claim = "the largest eigenvalues are those of the Gauss–Newton part, to within the residual part",
       .finding = !converged                          ? Finding::not_shown
                  : outside > 10 * tolerance() * norm ? Finding::does_not_hold
                  : share <= 0.5                      ? Finding::holds
                                                      : Finding::depends,
       .sentence = "the residual part's eigenvalues are from " + number_words(lowest) + " to " +
                   number_words(highest) + ", " + number_words(share, 2) + " of ‖H‖; the " +
                   std::to_string(std::min(top.size(), part.size())) +
                   " largest of H and of its Gauss–Newton part differ by at most " + number_words(apart) +
                   (share > 0.5 ? ". Here the Gauss–Newton part says little of H." : "."),
       .statistic = {.name = "norm of the residual part / norm",
                     .value = share,
                     .interval = {},
                     .n = static_cast<std::int64_t>(std::min(top.size(), part.size()))},
       .criterion = "they differ by no more than the residual part's eigenvalues allow (Weyl's inequality), "
                    "and these are at most half of ‖H‖"});
}

void SpectrumStudy::add_density(const std::vector<Json>& records, Findings& findings) const {
  const std::vector<double> top = list(records[0], "values"), bottom = list(records[1], "values");
  const double norm = std::max(std::abs(top.front()), std::abs(bottom.front()));
  const auto size = static_cast<double>(point_.parameters());
  const auto probes = static_cast<std::size_t>(whole(settings_, "probes"));
  // tr H is the size times the mean of the nodes, a number of each probe.
  std::vector<double> traces, nodes, weights;
  for (std::size_t probe = 0; probe < probes; ++probe) {
    const Json& record = records[std::size(kEnds) + probe];
    const std::vector<double> at = list(record, "nodes"), of = list(record, "weights");
    double sum = 0;
    for (std::size_t i = 0; i < at.size(); ++i) {
      sum += at[i] * of[i];
      nodes.push_back(at[i]);
      weights.push_back(of[i] / static_cast<double>(probes));
    }
    traces.push_back(size * sum);
  }
  Density density{.low = bottom.front() - 0.05 * norm, .high = top.front() + 0.05 * norm, .width = 1};
  if (!(density.high > density.low)) density.high = density.low + 1;  // of a Hessian that is 0
  density.width = 0.01 * (density.high - density.low);
  const std::vector<double> by_probes = density.of(nodes, weights);
  Curve estimated{.label = "stochastic Lanczos", .x = {}, .mean = drawn(by_probes)};
  for (int p = 0; p < kPlaces; ++p) estimated.x.push_back(density.place(p));
  Panel panel{.title = "Density of eigenvalues",
              .x_label = "eigenvalue",
              .y_label = "density",
              .curves = {estimated},
              .log_y = true};
  std::string trace_words = "tr H, the sum of all eigenvalues, is " +
                            interval_words(mean(traces), student_t_interval(traces)) + " by " +
                            std::to_string(probes) + " probes";
  if (dense()) {
    const std::vector<double> all = list(records.back(), "values");
    const std::vector<double> exact = density.of(all, std::vector<double>(all.size(), 1 / size));
    double distance = 0, most = 0, trace = 0;
    for (std::size_t p = 0; p < exact.size(); ++p)
      distance += std::abs(exact[p] - by_probes[p]) * (density.high - density.low) / kPlaces;
    for (const double value : all) trace += value;
    for (std::size_t i = 0; i < std::min(top.size(), bottom.size()); ++i)
      most = std::max({most, std::abs(top[i] - all[all.size() - 1 - i]), std::abs(bottom[i] - all[i])});
    const double relative = norm > 0 ? most / norm : 0;
    findings.verdicts.push_back(
        {.claim = "Lanczos' method finds the ends of the spectrum, multiple eigenvalues included",
         .finding = relative > 10 * tolerance() ? Finding::does_not_hold
                    : exact_                    ? Finding::exact
                                                : Finding::holds,
         .sentence = "the " + std::to_string(top.size()) +
                     " largest and smallest eigenvalues differ from those of the whole matrix by at most " +
                     number_words(relative, 2) + " ‖H‖.",
         .statistic = {.name = "largest difference / norm",
                       .value = relative,
                       .interval = {},
                       .n = static_cast<std::int64_t>(2 * top.size())},
         .criterion = "they differ by at most " + number_words(10 * tolerance()) + " ‖H‖"});
    findings.verdicts.push_back(
        {.claim = "stochastic Lanczos quadrature gives the density of eigenvalues",
         .finding = distance <= 0.2 ? Finding::holds : Finding::does_not_hold,
         .sentence = "∫|estimated − exact| of the densities, smoothed over 1 % of the range, is " +
                     number_words(distance, 2) + "; " + trace_words + ", " + number_words(trace) +
                     " exactly.",
         .statistic = {.name = "L1 distance of densities",
                       .value = distance,
                       .interval = {},
                       .n = static_cast<std::int64_t>(probes)},
         .criterion = "that integral is at most 0.2; of densities that do not overlap it is 2"});
    panel.curves.push_back({.label = "whole matrix", .x = estimated.x, .mean = drawn(exact)});
  }
  findings.notes.push_back(point_.words() + ". Loss " + number_words(number(records[0], "loss"), 5) +
                           ", ‖∇L‖ = " + number_words(number(records[0], "gradient"), 2) + ", " +
                           std::to_string(point_.parameters()) + " parameters; " + trace_words +
                           ". Negative eigenvalues of the Hessian come from the residual part alone: the "
                           "Gauss–Newton part has none. Lanczos' method finds the ends of the spectrum from "
                           "products Hv alone; with random vectors, the probes, such products also give the "
                           "density of all eigenvalues and their sum. Densities are smoothed, so they reach "
                           "beyond the outermost eigenvalues, below 0 too where these are near it.");
  findings.figures.push_back({.title = "The Hessian's spectrum", .panels = {std::move(panel)}});
}

Findings SpectrumStudy::conclude(const std::vector<Json>& records) const {
  Findings findings;
  add_ends(records, findings);
  add_density(records, findings);
  return findings;
}

}  // namespace

LandscapeExperiment spectrum_experiment() {
  std::vector<LandscapeOption> options = {
      {.name = "count", .help = "eigenvalues at each end", .usual = 10, .low = 1, .high = 1000},
      {.name = "products",
       .help = "with the Hessian at most, for each end",
       .usual = 5000,
       .low = 2,
       .high = 1000000},
      {.name = "probes", .help = "random starts for the density", .usual = 20, .low = 2, .high = 10000},
      {.name = "quadrature", .help = "products of each of them", .usual = 80, .low = 2, .high = 2000}};
  for (LandscapeOption& option : network_point_options()) options.push_back(std::move(option));
  return {.name = "spectrum",
          .summary = "eigenvalues of the Hessian at a point: both ends with residuals, density, trace",
          .statement =
              "The Hessian at a trained network has a few large eigenvalues, near those of its Gauss–Newton "
              "part, and a bulk near 0.",
          .source =
              "Sagun, Bottou & LeCun (2016); Ghorbani, Krishnan & Xiao (2019); Lanczos quadrature: Golub & "
              "Meurant (2010)",
          .options = std::move(options),
          .presets = {},
          .make = [](const Json& settings, const std::string& data) -> std::unique_ptr<LandscapeStudy> {
            return std::make_unique<SpectrumStudy>(settings, data);
          }};
}

}  // namespace qmse
