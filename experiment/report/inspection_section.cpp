#include "experiment/report/inspection_section.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "losses/losses.h"

namespace qmse {
namespace {

std::vector<double> numbers(const Json& inspection, const char* key) {
  return inspection.at(key).get<std::vector<double>>();
}

Panel eigenvalue_panel(const Json& inspection) {
  Panel panel{.title = "Eigenvalues of DDᵀ",
              .x_label = "from the largest",
              .y_label = "eigenvalue",
              .curves = {},
              .log_y = true};
  std::vector<double> values = numbers(inspection, "eigenvalues");
  std::reverse(values.begin(), values.end());
  Curve curve{.label = "DDᵀ", .x = {}, .mean = values};
  for (std::size_t i = 0; i < values.size(); ++i) curve.x.push_back(static_cast<double>(i + 1));
  panel.curves.push_back(std::move(curve));
  return panel;
}

// Where kappa (||r||^2 + 1/c), and for MSE kappa alone, is so large that a visit with the run's learning rate
// carries the residual no nearer.
Panel sample_panel(const Json& inspection) {
  Panel panel{.title = "Each image",
              .x_label = "‖r‖²",
              .y_label = "κ, the largest eigenvalue of its block",
              .curves = {},
              .log_x = true,
              .log_y = true};
  const std::vector<double> residual_sq = numbers(inspection, "residual_sq"),
                            kappa = numbers(inspection, "kappa");
  panel.curves.push_back({.label = "images", .x = residual_sq, .mean = kappa, .mark = CurveMark::dots});
  const Json& training = inspection.at("training");
  if (!training.contains("lr") || training["lr"].get<double>() <= 0) return panel;
  const double c = inspection.at("outputs").get<double>();
  const Reduction reduction = training.at("reduction") == name(Reduction::element_mean)
                                  ? Reduction::element_mean
                                  : Reduction::batch_mean;
  const double limit = 2 * training.at("batch_size").get<double>() *
                       (1 - training.at("momentum").get<double>()) /
                       (training["lr"].get<double>() * scale_of(reduction, static_cast<std::int64_t>(c)));
  const auto [low, high] = std::minmax_element(residual_sq.begin(), residual_sq.end());
  const double first = std::max(*low, 1e-6 * *high), last = std::max(*high, first);
  if (!(first > 0)) return panel;
  Curve mse{.label = "limit of MSE", .x = {}, .mean = {}},
      qmse{.label = "limit of QMSE", .x = {}, .mean = {}};
  for (int i = 0; i <= 50; ++i) {
    const double square = first * std::pow(last / first, i / 50.0);
    mse.x.push_back(square);
    mse.mean.push_back(limit);
    qmse.x.push_back(square);
    qmse.mean.push_back(limit / (square + 1 / c));
  }
  panel.curves.push_back(std::move(mse));
  panel.curves.push_back(std::move(qmse));
  return panel;
}

// What one random vector says of how many eigenvalues there are about each node.
Panel hessian_panel(const Json& inspection) {
  Panel panel{.title = "Hessian of the MSE",
              .x_label = "eigenvalue",
              .y_label = "how many are about there",
              .curves = {},
              .log_y = true};
  const Json& hessian = inspection.at("hessian");
  Curve curve{.label = "Lanczos’ method",
              .x = numbers(hessian, "nodes"),
              .mean = numbers(hessian, "weights"),
              .mark = CurveMark::dots};
  for (double& weight : curve.mean) weight *= inspection.at("parameters").get<double>();
  panel.curves.push_back(std::move(curve));
  return panel;
}

ReportTable unit_table(const Json& inspection) {
  ReportTable table{{"hidden layer", "units", "dead", "always active", "copies", "tied copies"}, {}};
  for (const Json& layer : inspection.at("units")) {
    const auto shown = [&](const char* key) { return layer.contains(key) ? layer[key].dump() : "–"; };
    table.rows.push_back({layer.at("layer").get<std::string>(), shown("units"), shown("dead"),
                          shown("always_on"), shown("duplicate"), shown("tied")});
  }
  return table;
}

}  // namespace

Figure inspection_figure(const Json& inspection) {
  return {.title = inspection.at("dataset").get<std::string>() + ", " + inspection.at("samples").dump() +
                   " images",
          .panels = {eigenvalue_panel(inspection), hessian_panel(inspection), sample_panel(inspection)},
          .columns = 3};
}

ReportSection inspection_section(const Json& inspection, const std::string& title,
                                 const std::string& source) {
  ReportSection section{.title = title};
  try {
    section.paragraphs = inspection.at("sentences").get<std::vector<std::string>>();
    section.tables = {unit_table(inspection)};
    section.figures = {inspection_figure(inspection)};
  } catch (const Json::exception&) {
    throw DataError(source + " is not what qmse inspect writes");
  }
  return section;
}

}  // namespace qmse
