#include "experiment/paper/reproduce_plan.h"

#include <array>
#include <charconv>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/name_text.h"
#include "experiment/run/config_fields.h"
#include "optim/optimizers.h"

namespace qmse {
namespace {

// MSE's other learning rates, times the paper's: enough to see whether its rate is the best one.
constexpr double kGrid[] = {0.1, 0.3, 3.0, 10.0};
constexpr double kAdamRate = 0.001;  // the usual one

// Of four digits, with a point in every language: names of members have them.
std::string number_text(double value) {
  std::array<char, 32> text;
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 4);
  return {text.data(), end};
}

double rounded(double value) {
  const std::string text = number_text(value);
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Variant plain(const std::string& loss, const std::string& reduction, double momentum, double lr) {
  Variant variant;
  variant.key = loss + "-" + reduction;
  variant.label = loss_label(loss) + ", " + reduction;
  variant.loss = loss;
  variant.reduction = reduction;
  variant.momentum = momentum;
  variant.lr = lr;
  return variant;
}

}  // namespace

std::string loss_label(const std::string& loss) { return std::string(find_field("loss")->label(loss)); }

const std::array<PaperFigure, 3>& paper_figures() {
  static const std::array<PaperFigure, 3> figures = {PaperFigure{"fig1", "mnist", 0.01, 10, true},
                                                     PaperFigure{"fig2", "cifar10", 0.1, 10, false},
                                                     PaperFigure{"fig3", "cifar100", 0.1, 100, false}};
  return figures;
}

std::string momentum_title(double momentum) { return "momentum " + number_text(momentum); }

std::vector<Variant> variants(const PaperFigure& figure, bool paper_only) {
  std::vector<Variant> all;
  for (const double momentum : kPaperMomenta) {
    for (const char* reduction : {"element_mean", "batch_mean"}) {
      if (paper_only && reduction != std::string(kPaperReduction)) continue;
      for (const char* loss : {"mse", "qmse"}) {
        all.push_back(plain(loss, reduction, momentum, figure.lr));
        all.back().in_paper = true;
      }
      if (paper_only) continue;
      all.push_back(plain("qmse_expected", reduction, momentum, figure.lr));
      Variant scaled = plain("mse", reduction, momentum, 0);
      scaled.key += "-scaled";
      scaled.label += ", lr × (E‖r‖² + 1/c)";
      scaled.scaled = true;
      all.push_back(scaled);
    }
    if (paper_only) continue;
    for (const double factor : kGrid) {
      Variant other = plain("mse", "batch_mean", momentum, factor * figure.lr);
      other.key += "-lr" + number_text(other.lr);
      other.label += ", lr " + number_text(other.lr);
      all.push_back(other);
    }
    all.push_back(plain("cross_entropy", "batch_mean", momentum, figure.lr));
    all.back().label = loss_label("cross_entropy");
  }
  if (paper_only) return all;
  for (const char* loss : {"mse", "cross_entropy"}) {
    Variant adam = plain(loss, "batch_mean", 0, kAdamRate);
    adam.key += "-adam";
    adam.label = loss_label(loss) + ", " + std::string(find_optimizer("adam")->label);
    adam.momentum.reset();
    adam.optimizer = "adam";
    all.push_back(adam);
  }
  return all;
}

std::string member_name(const PaperFigure& figure, const Variant& variant, std::int64_t seed) {
  return figure.name + (variant.momentum ? "-momentum" + number_text(*variant.momentum) : "") + "-" +
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
  for (const std::string& name : plan.figures) {
    const PaperFigure& figure = figure_named(name);
    // Seed by seed, so that a sweep that is left early has whole comparisons.
    for (std::int64_t seed = 1; seed <= plan.seeds; ++seed) {
      for (const Variant& variant : variants(figure, plan.paper_only)) {
        const double lr = variant.scaled ? figure.lr * initial_weight(figure, seed) : variant.lr;
        ConfigJson settings = {{"dataset", figure.dataset},
                               {"loss", variant.loss},
                               {"reduction", variant.reduction},
                               {"optimizer", variant.optimizer},
                               // Of few digits, so that the last bits of another processor change nothing.
                               {"lr", rounded(lr)}};
        if (variant.momentum) settings["momentum"] = *variant.momentum;
        settings["seed"] = seed;
        spec.members.push_back({member_name(figure, variant, seed), std::move(settings)});
      }
    }
  }
  return spec;
}

std::vector<std::string> parse_figures(const std::string& which) {
  std::vector<std::string> all;
  for (const PaperFigure& figure : paper_figures()) {
    if (which == figure.name) return {figure.name};
    all.push_back(figure.name);
  }
  if (which == "all") return all;
  throw ConfigError("reproduce what? fig1 (MNIST), fig2 (CIFAR-10), fig3 (CIFAR-100) or all, not " +
                    in_quotes(which));
}

const PaperFigure& figure_named(const std::string& name) {
  for (const PaperFigure& figure : paper_figures()) {
    if (figure.name == name) return figure;
  }
  throw ConfigError("no figure " + in_quotes(name));
}

}  // namespace qmse
