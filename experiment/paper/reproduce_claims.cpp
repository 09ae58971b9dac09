// The paper's claims about its figures, and when we say that one holds.
#include <cmath>
#include <functional>
#include <stdexcept>

#include "base/error.h"
#include "experiment/paper/reproduce_results.h"
#include "experiment/run/metric_text.h"
#include "experiment/run/plain_text.h"

namespace qmse {
namespace {

// "Near 100 %": a mean final training accuracy of at least this.
constexpr double kNearOne = 0.98;
// "About 15 %": within this of it.
constexpr double kAbout = 0.05;
// "Similar": a mean difference within two percentage points.
constexpr double kSimilar = 0.02;

std::string points(double difference) { return difference_text(unit_of(MetricKind::accuracy), difference); }

// The paper's two losses in one convention.
class Runs {
 public:
  Runs(const FigureRuns& figure, Reduction reduction) : figure_(figure), reduction_(reduction) {}

  const VariantRuns& of(const LossKind& loss, double momentum) const {
    for (const VariantRuns& row : figure_.variants) {
      const Variant& variant = row.variant;
      if (variant.kind == VariantKind::paper && variant.loss == &loss && variant.reduction == reduction_ &&
          variant.momentum == momentum)
        return row;
    }
    throw std::logic_error("no runs of " + std::string(loss.name));
  }
  const VariantRuns& mse(double momentum) const { return of(paper_losses().mse, momentum); }
  const VariantRuns& qmse(double momentum) const { return of(paper_losses().qmse, momentum); }

 private:
  const FigureRuns& figure_;
  Reduction reduction_;
};

// All of them: the worst verdict, all numbers.
Judgement all_of(const std::vector<Judgement>& parts) {
  Judgement whole{Verdict::holds, ""};
  for (const Verdict worse : {Verdict::not_shown, Verdict::not_run, Verdict::does_not_hold}) {
    for (const Judgement& part : parts) {
      if (part.verdict == worse) whole.verdict = worse;
    }
  }
  for (const Judgement& part : parts) whole.numbers += (whole.numbers.empty() ? "" : "; ") + part.numbers;
  return whole;
}

std::string who(const VariantRuns& row) {
  return std::string(row.variant.loss->label) + " with " + momentum_title(*row.variant.momentum);
}

// What can be said before any number is looked at: a run that diverged makes no accuracy hold; one that
// failed otherwise, for want of disk or memory, says nothing.
std::optional<Judgement> unfinished(const VariantRuns& row) {
  std::int64_t diverged = 0, finished = 0;
  for (const SeedRun& run : row.runs) {
    diverged += run.diverged ? 1 : 0;
    finished += run.status == MemberStatus::finished ? 1 : 0;
  }
  const auto all = static_cast<std::int64_t>(row.runs.size());
  if (finished == all) return std::nullopt;
  const std::string of_all = " of " + std::to_string(all) + " runs of " + who(row);
  if (const std::int64_t missing = all - finished - diverged; missing > 0)
    return Judgement{Verdict::not_run,
                     std::to_string(missing) + of_all + (missing == 1 ? " is missing" : " are missing")};
  return Judgement{Verdict::does_not_hold,
                   std::to_string(diverged) + of_all + " ended with a loss that was not finite"};
}

std::vector<double> values(const VariantRuns& row, Measure measure) {
  std::vector<double> all;
  for (const SeedRun& run : row.runs) all.push_back(value_of(run, measure).value_or(NAN));
  return all;
}

// A mean that satisfies `condition`.
Judgement level(const VariantRuns& row, Measure measure, const std::function<bool(double)>& condition) {
  if (const auto early = unfinished(row)) return *early;
  const double value = mean(values(row, measure));
  return {condition(value) ? Verdict::holds : Verdict::does_not_hold, who(row) + ": " + accuracy_text(value)};
}

std::vector<double> paired(const VariantRuns& first, const VariantRuns& second, Measure measure) {
  std::vector<double> all = values(first, measure);
  const std::vector<double> others = values(second, measure);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] -= others[i];
  return all;
}

// `first` is above `second`: holds where the confidence interval of the paired difference lies above 0, does
// not hold where it lies below, and is not shown where it includes 0.
Judgement above(const VariantRuns& first, const VariantRuns& second, Measure measure,
                const std::string& what) {
  for (const VariantRuns* row : {&first, &second}) {
    if (const auto early = unfinished(*row)) return *early;
  }
  const std::vector<double> pairs = paired(first, second, measure);
  const std::optional<Interval> interval = student_t_interval(pairs);
  const std::string numbers = what + " " + points(mean(pairs)) + " points";
  if (!interval) return {Verdict::not_shown, numbers + " (one seed: no interval)"};
  const std::string bounds =
      " (95 % interval " + points(interval->low) + " to " + points(interval->high) + ")";
  if (interval->low > 0) return {Verdict::holds, numbers + ", higher" + bounds};
  if (interval->high < 0) return {Verdict::does_not_hold, numbers + ", lower" + bounds};
  return {Verdict::not_shown, numbers + ", undecided" + bounds};
}

Judgement qmse_above(const Runs& runs, double momentum, Measure measure) {
  return above(runs.qmse(momentum), runs.mse(momentum), measure,
               std::string(measure == Measure::final_train ? "training" : "test") + ", " +
                   momentum_title(momentum) + ":");
}

Judgement similar(const Runs& runs, double momentum) {
  const VariantRuns &qmse = runs.qmse(momentum), &mse = runs.mse(momentum);
  for (const VariantRuns* row : {&qmse, &mse}) {
    if (const auto early = unfinished(*row)) return *early;
  }
  const double difference = mean(paired(qmse, mse, Measure::final_test));
  return {std::abs(difference) <= kSimilar ? Verdict::holds : Verdict::does_not_hold,
          momentum_title(momentum) + ": " + points(difference) + " points"};
}

struct Rule {
  const PaperFigure* figure;
  const char* text;
  const char* criterion;
  std::function<Judgement(const Runs&)> judge;
};

Judgement levels(const Runs& runs, const std::vector<double>& momenta,
                 const std::function<bool(double)>& condition) {
  std::vector<Judgement> parts;
  for (const double momentum : momenta) {
    for (const VariantRuns* row : {&runs.mse(momentum), &runs.qmse(momentum)})
      parts.push_back(level(*row, Measure::final_train, condition));
  }
  return all_of(parts);
}

const std::vector<Rule>& rules() {
  const auto near_one = [](double accuracy) { return accuracy >= kNearOne; };
  const auto about = [](double target) {
    return [target](double accuracy) { return std::abs(accuracy - target) <= kAbout; };
  };
  const auto& [fig1, fig2, fig3] = paper_figures();
  static const std::vector<Rule> all = {
      {&fig1, "On MNIST both losses reach a training accuracy near 100 %.",
       "mean final training accuracy of at least 98 % for both losses and both momenta",
       [=](const Runs& runs) {
         return levels(runs, {0.0, 0.9}, near_one);
       }},
      {&fig1, "On MNIST QMSE is ahead of MSE in training and test accuracy.",
       "95 % intervals of the paired differences of final accuracy above 0, training and test, both momenta",
       [](const Runs& runs) {
         return all_of(
             {qmse_above(runs, 0.0, Measure::final_train), qmse_above(runs, 0.0, Measure::final_test),
              qmse_above(runs, 0.9, Measure::final_train), qmse_above(runs, 0.9, Measure::final_test)});
       }},
      {&fig1, "On MNIST QMSE with momentum is the best of the four.",
       "95 % intervals of the paired differences of final test accuracy, QMSE with momentum 0.9 minus each "
       "of "
       "the others, above 0",
       [](const Runs& runs) {
         const VariantRuns& best = runs.qmse(0.9);
         std::vector<Judgement> parts;
         for (const VariantRuns* other : {&runs.qmse(0.0), &runs.mse(0.0), &runs.mse(0.9)})
           parts.push_back(above(best, *other, Measure::final_test, "test, minus " + who(*other) + ":"));
         return all_of(parts);
       }},
      {&fig2, "On CIFAR-10 both losses reach a training accuracy near 100 % with momentum.",
       "mean final training accuracy of at least 98 % for both losses with momentum 0.9",
       [=](const Runs& runs) { return levels(runs, {0.9}, near_one); }},
      {&fig2, "On CIFAR-10 QMSE's training accuracy is significantly higher without momentum.",
       "95 % interval of the paired difference of final training accuracy above 0 with momentum 0",
       [](const Runs& runs) { return qmse_above(runs, 0.0, Measure::final_train); }},
      {&fig2, "On CIFAR-10 the test accuracies are similar.",
       "mean difference of final test accuracy within 2 points for both momenta",
       [](const Runs& runs) {
         return all_of({similar(runs, 0.0), similar(runs, 0.9)});
       }},
      {&fig3, "On CIFAR-100 the training accuracy is about 15 % without momentum.",
       "mean final training accuracy within 5 points of 15 % for both losses with momentum 0",
       [=](const Runs& runs) { return levels(runs, {0.0}, about(0.15)); }},
      {&fig3, "On CIFAR-100 the training accuracy is about 35 % with momentum.",
       "mean final training accuracy within 5 points of 35 % for both losses with momentum 0.9",
       [=](const Runs& runs) { return levels(runs, {0.9}, about(0.35)); }},
      {&fig3, "On CIFAR-100 QMSE improves the training accuracy, without and with momentum.",
       "95 % intervals of the paired differences of final training accuracy above 0 for both momenta",
       [](const Runs& runs) {
         return all_of(
             {qmse_above(runs, 0.0, Measure::final_train), qmse_above(runs, 0.9, Measure::final_train)});
       }},
  };
  return all;
}

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::holds:
      return "holds";
    case Verdict::does_not_hold:
      return "does not hold";
    case Verdict::not_shown:
      return "not shown";
    case Verdict::not_run:
      return "not run";
  }
  return "";
}

std::string Claim::verdict() const {
  for (const auto& [reduction, judgement] : by_reduction) {
    if (judgement.verdict != by_reduction.front().second.verdict) return "depends on the convention";
  }
  return std::string(name(by_reduction.front().second.verdict));
}

std::string Claim::sentence() const {
  const bool depends = verdict() != name(by_reduction.front().second.verdict);
  std::string sentence = text + " — " + verdict();
  std::string joint = depends ? ": " : "";
  for (const auto& [reduction, judgement] : by_reduction) {
    sentence += joint;
    if (depends) sentence += name(judgement.verdict);
    sentence += " with " + std::string(name(reduction)) + " (" + judgement.numbers + ")";
    joint = depends ? ", " : " and";
  }
  return sentence + ". Criterion: " + criterion + ".";
}

std::vector<Claim> judge(const std::vector<FigureRuns>& all, bool paper_only) {
  std::vector<Claim> claims;
  for (const FigureRuns& figure : all) {
    for (const Rule& rule : rules()) {
      if (rule.figure != figure.figure) continue;
      Claim claim{rule.figure, rule.text, rule.criterion, {}};
      for (const Reduction reduction : conventions(paper_only))
        claim.by_reduction.emplace_back(reduction, rule.judge(Runs(figure, reduction)));
      claims.push_back(std::move(claim));
    }
  }
  return claims;
}

}  // namespace qmse
