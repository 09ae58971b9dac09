// The paper's experiments, and what it lacks: which runs they are.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "experiment/sweep/sweep_spec.h"
#include "losses/losses.h"
#include "optim/optimizers.h"

namespace qmse {

// A figure of the paper's section 4: the CNN on one data set, MSE against QMSE, with momentum 0 (upper
// panel) and 0.9 (lower panel).
struct PaperFigure {
  std::string name;  // "fig1"
  std::string dataset;
  double lr = 0;
  std::int64_t classes = 0;
  bool inset = false;  // the paper enlarges its last 20 epochs
};
const std::array<PaperFigure, 3>& paper_figures();

inline constexpr std::array<double, 2> kPaperMomenta = {0.0, 0.9};
std::string momentum_title(double momentum);  // "momentum 0.9"

// Those the paper compares, and what they are compared with beside.
struct PaperLosses {
  const LossKind &mse, &qmse, &qmse_without_noise, &mse_with_noise, &cross_entropy;
};
const PaperLosses& paper_losses();

inline constexpr std::int64_t kPaperEpochs = 100;
inline constexpr std::int64_t kBatchSize = 64;  // the paper gives none

// The paper does not say how its losses are scaled. Where only its own runs are made they take element_mean:
// what whoever follows it with PyTorch's MSELoss gets.
inline constexpr Reduction kPaperReduction = Reduction::element_mean;
// The conventions that are run: the paper's, and unless it alone is asked for the other.
std::vector<Reduction> conventions(bool paper_only);

struct ReproducePlan {
  std::vector<const PaperFigure*> figures;
  bool paper_only = false;
  std::int64_t epochs = kPaperEpochs;
  std::int64_t seeds = 3;
  std::int64_t train_limit = 0;
  std::string data;
};

enum class VariantKind {
  paper,          // MSE and QMSE at the paper's learning rate
  without_noise,  // QMSE's expectation, at the same rate
  noise_alone,    // MSE and the noise of QMSE, at the same rate
  scaled,         // MSE at the paper's rate times E||r||^2 + 1/c at initialisation, which depends on the seed
  reference,      // MSE at other rates, cross-entropy, Adam
};

// What the runs of different seeds have in common: a row of the table.
struct Variant {
  VariantKind kind;
  const LossKind* loss;
  Reduction reduction;
  const OptimizerKind* optimizer;
  std::optional<double> momentum;  // nothing: Adam, which has none of this kind
  double lr = 0;                   // 0: scaled
  std::string key;                 // in names of members: "qmse-element_mean"
  std::string label;               // for readers: "QMSE, element_mean"
};

// The variants of one figure, in the table's order; those of momentum 0 first.
std::vector<Variant> variants(const PaperFigure& figure, bool paper_only);

// "fig1-momentum0.9-qmse-element_mean-seed2"
std::string member_name(const PaperFigure& figure, const Variant& variant, std::int64_t seed);

// E||r||^2 + 1/c over the training images with the initial weights of a seed.
using InitialWeight = std::function<double(const PaperFigure& figure, std::int64_t seed)>;

// All runs. Members of one seed share initial weights, the order of the data and v.
SweepSpec make_spec(const ReproducePlan& plan, const InitialWeight& initial_weight);

// The figures of "fig1", "fig2", "fig3" or "all". ConfigError for anything else.
std::vector<const PaperFigure*> parse_figures(const std::string& which);

}  // namespace qmse
