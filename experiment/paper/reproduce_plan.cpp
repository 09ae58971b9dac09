#include "experiment/paper/reproduce_plan.h"

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/name_text.h"
#include "base/number_text.h"

namespace qmse {
namespace {

// MSE's other learning rates, times the paper's: enough to see whether its rate is the best one.
constexpr double kGrid[] = {0.1, 0.3, 3.0, 10.0};
constexpr double kAdamRate = 0.001;  // the usual one

constexpr const char* kAll = "all";

// Of few digits: names of members have them, and the last bits of another processor change nothing.
std::string rate_text(double rate) { return significant_text(rate, 4); }

double rounded(double rate) { return number_from<double>(rate_text(rate)).value(); }

Variant plain(VariantKind kind, const LossKind& loss, Reduction reduction, double momentum, double lr) {
  return {.kind = kind,
          .loss = &loss,
          .reduction = reduction,
          .optimizer = find_optimizer("sgd"),
          .momentum = momentum,
          .lr = lr,
          .key = std::string(loss.name) + "-" + std::string(name(reduction)),
          .label = std::string(loss.label) + ", " + std::string(name(reduction))};
}

}  // namespace

const PaperLosses& paper_losses() {
  static const PaperLosses losses = {*find_loss("mse"), *find_loss("qmse"), *find_loss("qmse_expected"),
                                     *find_loss("mse_noise"), *find_loss("cross_entropy")};
  return losses;
}

std::vector<Reduction> conventions(bool paper_only) {
  if (paper_only) return {kPaperReduction};
  return {Reduction::element_mean, Reduction::batch_mean};
}

const std::array<PaperFigure, 3>& paper_figures() {
  static const std::array<PaperFigure, 3> figures = {PaperFigure{"fig1", "mnist", 0.01, 10, true},
                                                     PaperFigure{"fig2", "cifar10", 0.1, 10, false},
                                                     PaperFigure{"fig3", "cifar100", 0.1, 100, false}};
  return figures;
}

std::string momentum_title(double momentum) { return "momentum " + rate_text(momentum); }

std::vector<Variant> variants(const PaperFigure& figure, bool paper_only) {
  const PaperLosses& losses = paper_losses();
  std::vector<Variant> all;
  for (const double momentum : kPaperMomenta) {
    for (const Reduction reduction : conventions(paper_only)) {
      for (const LossKind* loss : {&losses.mse, &losses.qmse})
        all.push_back(plain(VariantKind::paper, *loss, reduction, momentum, figure.lr));
      if (paper_only) continue;
      all.push_back(
          plain(VariantKind::without_noise, losses.qmse_without_noise, reduction, momentum, figure.lr));
      all.push_back(plain(VariantKind::noise_alone, losses.mse_with_noise, reduction, momentum, figure.lr));
      all.push_back(plain(VariantKind::scaled, losses.mse, reduction, momentum, 0));
      all.back().key += "-scaled";
      all.back().label += ", lr × (E‖r‖² + 1/c)";
    }
    if (paper_only) continue;
    for (const double factor : kGrid) {
      Variant other =
          plain(VariantKind::reference, losses.mse, Reduction::batch_mean, momentum, factor * figure.lr);
      other.key += "-lr" + rate_text(other.lr);
      other.label += ", lr " + rate_text(other.lr);
      all.push_back(other);
    }
    all.push_back(
        plain(VariantKind::reference, losses.cross_entropy, Reduction::batch_mean, momentum, figure.lr));
    all.back().label = losses.cross_entropy.label;
  }
  if (paper_only) return all;
  for (const LossKind* loss : {&losses.mse, &losses.cross_entropy}) {
    Variant adam = plain(VariantKind::reference, *loss, Reduction::batch_mean, 0, kAdamRate);
    adam.optimizer = find_optimizer("adam");
    adam.key += "-adam";
    adam.label = std::string(loss->label) + ", " + std::string(adam.optimizer->label);
    adam.momentum.reset();
    all.push_back(adam);
  }
  return all;
}

std::string member_name(const PaperFigure& figure, const Variant& variant, std::int64_t seed) {
  return figure.name + (variant.momentum ? "-momentum" + rate_text(*variant.momentum) : "") + "-" +
         variant.key + "-seed" + std::to_string(seed);
}

SweepSpec make_spec(const ReproducePlan& plan, const InitialWeight& initial_weight) {
  SweepSpec spec;
  spec.base = {{"model", "cnn"},
               {"batch_size", kBatchSize},
               {"epochs", plan.epochs},
               {"evaluate_train", true},
               {"train_limit", plan.train_limit}};
  if (!plan.data.empty()) spec.base["data"] = escape_name(plan.data);
  for (const PaperFigure* each : plan.figures) {
    const PaperFigure& figure = *each;
    // Seed by seed, so that a sweep that is left early has whole comparisons.
    for (std::int64_t seed = 1; seed <= plan.seeds; ++seed) {
      for (const Variant& variant : variants(figure, plan.paper_only)) {
        const double lr =
            variant.kind == VariantKind::scaled ? figure.lr * initial_weight(figure, seed) : variant.lr;
        Json settings = {{"dataset", figure.dataset},
                         {"loss", variant.loss->name},
                         {"reduction", name(variant.reduction)},
                         {"optimizer", variant.optimizer->name},
                         {"lr", rounded(lr)}};
        if (variant.momentum) settings["momentum"] = *variant.momentum;
        settings["seed"] = seed;
        spec.members.push_back({member_name(figure, variant, seed), std::move(settings)});
      }
    }
  }
  return spec;
}

std::vector<const PaperFigure*> parse_figures(const std::string& which) {
  std::vector<const PaperFigure*> chosen;
  for (const PaperFigure& figure : paper_figures()) {
    if (which == figure.name || which == kAll) chosen.push_back(&figure);
  }
  if (!chosen.empty()) return chosen;
  throw ConfigError("reproduce what? fig1 (MNIST), fig2 (CIFAR-10), fig3 (CIFAR-100) or all, not " +
                    in_quotes(which));
}

}  // namespace qmse
