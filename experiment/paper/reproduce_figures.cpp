#include "experiment/paper/reproduce_figures.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

namespace qmse {
namespace {

constexpr Inset kPaperInset = {80, 100};  // epochs

double number(const ConfigJson& line, const char* key) {
  const auto value = line.find(key);
  return value != line.end() && value->is_number() ? value->get<double>() : std::nan("");
}

// The mean of the seeds that finished; each that did not is a strand, up to where it ended.
Curve curve(const VariantRuns& row, const char* key, const std::string& label) {
  Curve curve;
  curve.label = label;
  std::vector<const SeedRun*> runs;
  for (const SeedRun& run : row.runs) {
    if (run.status == MemberStatus::finished) {
      runs.push_back(&run);
    } else if (!run.epochs.empty()) {
      Strand& strand = curve.strands.emplace_back();
      for (std::size_t i = 0; i < run.epochs.size(); ++i) {
        strand.x.push_back(static_cast<double>(i + 1));
        strand.y.push_back(number(run.epochs[i], key));
      }
    }
  }
  if (runs.empty()) return curve;
  for (std::size_t i = 0; i < runs.front()->epochs.size(); ++i) {
    std::vector<double> values;
    for (const SeedRun* run : runs) values.push_back(run->epochs.at(i).at(key).get<double>());
    const double center = mean(values);
    curve.x.push_back(static_cast<double>(i + 1));
    curve.mean.push_back(center);
    if (const std::optional<double> deviation = standard_deviation(values)) {
      curve.low.push_back(center - *deviation);
      curve.high.push_back(center + *deviation);
    }
  }
  return curve;
}

void add(Panel& panel, Curve curve) {
  if (!curve.x.empty() || !curve.strands.empty()) panel.curves.push_back(std::move(curve));
}

// "QMSE: 2 of 3 diverged", where not all seeds finished.
void add_note(Panel& panel, const std::string& who, const VariantRuns& row) {
  const std::string missing = missing_text(row);
  if (!missing.empty()) panel.note += (panel.note.empty() ? "" : "; ") + who + ": " + missing;
}

constexpr const char* kStrands =
    " Thin lines with a cross: single runs that did not finish, up to where they ended.";

bool any_strand(const Figure& figure) {
  return std::any_of(figure.panels.begin(), figure.panels.end(), [](const Panel& panel) {
    return std::any_of(panel.curves.begin(), panel.curves.end(),
                       [](const Curve& curve) { return !curve.strands.empty(); });
  });
}

Figure figure_titled(const FigureRuns& runs, const std::string& what) {
  Figure figure;
  char lr[32];
  std::snprintf(lr, sizeof(lr), "%.4g", runs.figure->lr);
  figure.title = runs.figure->dataset + ", lr " + lr + what;
  return figure;
}

// How many seeds the paper's curves are of.
std::string seeds_caption(const FigureRuns& runs) {
  std::size_t most = 0, fewest = std::numeric_limits<std::size_t>::max();
  for (const VariantRuns& row : runs.variants) {
    if (!row.variant.in_paper) continue;
    const auto finished =
        static_cast<std::size_t>(std::count_if(row.runs.begin(), row.runs.end(), [](const SeedRun& run) {
          return run.status == MemberStatus::finished;
        }));
    most = std::max(most, finished);
    fewest = std::min(fewest, finished);
  }
  if (most == 0) return "No run finished.";
  if (most == 1) return "One seed.";
  return "Mean over " + (fewest < most ? std::to_string(fewest) + " to " : "") + std::to_string(most) +
         " seeds that finished; bands: standard deviation.";
}

}  // namespace

Figure paper_figure(const FigureRuns& runs, const ReproducePlan& plan) {
  Figure figure = figure_titled(runs, "");
  figure.caption = seeds_caption(runs);
  figure.columns = plan.paper_only ? 1 : 2;
  for (const double momentum : kPaperMomenta) {
    for (const char* reduction : {"element_mean", "batch_mean"}) {
      if (plan.paper_only && reduction != std::string(kPaperReduction)) continue;
      Panel panel;
      panel.title = momentum_title(momentum) + ", " + reduction;
      panel.x_label = "epoch";
      panel.y_label = "accuracy";
      for (const VariantRuns& row : runs.variants) {
        const Variant& variant = row.variant;
        if (!variant.in_paper || variant.momentum != momentum || variant.reduction != reduction) continue;
        const std::string loss = loss_label(variant.loss);
        add(panel, curve(row, "train_accuracy_full", loss + ", training"));
        add(panel, curve(row, "test_accuracy", loss + ", test"));
        add_note(panel, loss, row);
      }
      if (runs.figure->inset && plan.epochs >= static_cast<std::int64_t>(kPaperInset.x_high))
        panel.inset = kPaperInset;
      figure.panels.push_back(std::move(panel));
    }
  }
  if (any_strand(figure)) figure.caption += kStrands;
  return figure;
}

Figure figure_of_all(const FigureRuns& runs) {
  Figure figure = figure_titled(runs, ": test accuracy with every loss and learning rate");
  figure.columns = static_cast<int>(kPaperMomenta.size());
  figure.caption =
      "Means over the seeds that finished. Last row: MSE at other learning rates, cross-entropy, and Adam, "
      "which has no momentum.";
  const auto is_control = [](const Variant& variant, const std::string& reduction) {
    return variant.reduction == reduction &&
           (variant.in_paper || variant.scaled || variant.loss == "qmse_expected");
  };
  for (const std::string row_title : {"element_mean", "batch_mean", ""}) {
    for (const double momentum : kPaperMomenta) {
      Panel panel;
      panel.title = momentum_title(momentum) + (row_title.empty() ? "" : ", " + row_title);
      panel.x_label = "epoch";
      panel.y_label = "test accuracy";
      for (const VariantRuns& row : runs.variants) {
        const Variant& variant = row.variant;
        if (variant.momentum.value_or(momentum) != momentum) continue;
        std::string label = variant.label;
        if (row_title.empty()) {
          if (is_control(variant, "element_mean") || is_control(variant, "batch_mean")) continue;
        } else {
          if (!is_control(variant, row_title)) continue;
          label.erase(label.find(", " + row_title), row_title.size() + 2);  // the panel's title has it
        }
        add_note(panel, label, row);
        Curve means = curve(row, "test_accuracy", label);
        means.low.clear();  // so many bands would hide the curves
        means.high.clear();
        add(panel, std::move(means));
      }
      figure.panels.push_back(std::move(panel));
    }
  }
  if (any_strand(figure)) figure.caption += kStrands;
  return figure;
}

}  // namespace qmse
