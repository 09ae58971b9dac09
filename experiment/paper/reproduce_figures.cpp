#include "experiment/paper/reproduce_figures.h"

#include <algorithm>
#include <string>

#include "base/number_text.h"
#include "experiment/report/mean_curve.h"
#include "experiment/run/metric_text.h"

namespace qmse {
namespace {

constexpr Inset kPaperInset = {80, 100};  // epochs

// The mean of the seeds that finished; each that did not is a strand, up to where it ended.
Curve curve(const VariantRuns& row, const char* key, const std::string& label) {
  std::vector<RunLine> lines;
  for (const SeedRun& run : row.runs) {
    RunLine& line = lines.emplace_back();
    line.whole = run.status == MemberStatus::finished;
    for (std::size_t i = 0; i < run.epochs.size(); ++i) {
      line.x.push_back(static_cast<double>(i + 1));
      line.y.push_back(unit_of(key).factor * number_of(run.epochs[i], key));
    }
  }
  return mean_curve(label, lines);
}

void add(Panel& panel, Curve curve) {
  if (!curve.x.empty() || !curve.strands.empty()) panel.curves.push_back(std::move(curve));
}

// "QMSE: 2 of 3 diverged", where not all seeds finished.
void add_note(Panel& panel, const std::string& who, const VariantRuns& row) {
  const std::string missing = missing_text(row);
  if (!missing.empty()) panel.note += (panel.note.empty() ? "" : "; ") + who + ": " + missing;
}

bool any_strand(const Figure& figure) {
  return std::any_of(figure.panels.begin(), figure.panels.end(), [](const Panel& panel) {
    return std::any_of(panel.curves.begin(), panel.curves.end(),
                       [](const Curve& curve) { return !curve.strands.empty(); });
  });
}

Figure figure_titled(const FigureRuns& runs, const std::string& what) {
  Figure figure;
  figure.title = runs.figure->dataset + ", lr " + significant_text(runs.figure->lr, 4) + what;
  return figure;
}

std::string caption_of(const FigureRuns& runs, bool (*counts)(const Variant&)) {
  std::vector<std::size_t> seeds;
  for (const VariantRuns& row : runs.variants) {
    if (!counts(row.variant)) continue;
    seeds.push_back(
        static_cast<std::size_t>(std::count_if(row.runs.begin(), row.runs.end(), [](const SeedRun& run) {
          return run.status == MemberStatus::finished;
        })));
  }
  return seeds_caption(seeds);
}

bool is_of_paper(const Variant& variant) { return variant.kind == VariantKind::paper; }

}  // namespace

Figure paper_figure(const FigureRuns& runs, const ReproducePlan& plan) {
  Figure figure = figure_titled(runs, "");
  figure.caption = caption_of(runs, is_of_paper);
  figure.columns = plan.paper_only ? 1 : 2;
  for (const double momentum : kPaperMomenta) {
    for (const Reduction reduction : conventions(plan.paper_only)) {
      Panel panel;
      panel.title = momentum_title(momentum) + ", " + std::string(name(reduction));
      panel.x_label = "epoch";
      panel.y_label = measure_axis("test_accuracy");
      for (const VariantRuns& row : runs.variants) {
        const Variant& variant = row.variant;
        if (!is_of_paper(variant) || variant.momentum != momentum || variant.reduction != reduction) continue;
        const std::string loss(variant.loss->label);
        add(panel, curve(row, "train_accuracy_full", loss + ", training"));
        add(panel, curve(row, "test_accuracy", loss + ", test"));
        add_note(panel, loss, row);
      }
      if (runs.figure->inset && plan.epochs >= static_cast<std::int64_t>(kPaperInset.x_high))
        panel.inset = kPaperInset;
      figure.panels.push_back(std::move(panel));
    }
  }
  if (any_strand(figure)) figure.caption += std::string(" ") + kStrandsCaption;
  return figure;
}

Figure figure_of_all(const FigureRuns& runs) {
  Figure figure = figure_titled(runs, ": test accuracy with every loss and learning rate");
  figure.columns = static_cast<int>(kPaperMomenta.size());
  figure.caption =
      "Means over the seeds that finished. Last row: MSE at other learning rates, cross-entropy, and Adam, "
      "which has no momentum.";
  // The last row has the references, those before it the others of their convention.
  std::vector<std::optional<Reduction>> rows = {Reduction::element_mean, Reduction::batch_mean, std::nullopt};
  for (const std::optional<Reduction> reduction : rows) {
    const std::string ending = reduction ? ", " + std::string(name(*reduction)) : "";
    for (const double momentum : kPaperMomenta) {
      Panel panel;
      panel.title = momentum_title(momentum) + ending;
      panel.x_label = "epoch";
      panel.y_label = "test " + measure_axis("test_accuracy");
      for (const VariantRuns& row : runs.variants) {
        const Variant& variant = row.variant;
        if (variant.momentum.value_or(momentum) != momentum) continue;
        const bool is_reference = variant.kind == VariantKind::reference;
        if (reduction ? is_reference || variant.reduction != *reduction : !is_reference) continue;
        std::string label = variant.label;
        if (reduction) label.erase(label.find(ending), ending.size());  // the panel's title has it
        add_note(panel, label, row);
        Curve means = curve(row, "test_accuracy", label);
        means.low.clear();  // so many bands would hide the curves
        means.high.clear();
        add(panel, std::move(means));
      }
      figure.panels.push_back(std::move(panel));
    }
  }
  if (any_strand(figure)) figure.caption += std::string(" ") + kStrandsCaption;
  return figure;
}

}  // namespace qmse
