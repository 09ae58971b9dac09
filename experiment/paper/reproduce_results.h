// What the runs of a reproduction say: means and deviations over seeds, paired differences, and a verdict on
// each claim of the paper.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experiment/paper/reproduce_plan.h"
#include "experiment/report/report.h"
#include "experiment/report/statistics.h"
#include "experiment/sweep/sweep_folder.h"

namespace qmse {

struct SeedRun {
  std::int64_t seed = 0;
  std::string member;
  MemberStatus status = MemberStatus::pending;
  bool diverged = false;  // it failed because its loss was not finite: a result, not an accident
  std::string error;      // why it failed, or cannot be read
  std::vector<Json> epochs;
  Json images;  // trained_on(); null before there is an epoch
};

struct VariantRuns {
  Variant variant;
  std::vector<SeedRun> runs;
};

struct FigureRuns {
  const PaperFigure* figure = nullptr;
  std::vector<VariantRuns> variants;
  std::string data;  // what the images are, as a run recorded it: official or not; empty before there is one
};

// Everything the sweep's folder holds of these figures. A finished member whose record cannot be read, or
// lacks an epoch or what a table shows, counts as failed; so does one that was trained on other images than
// most of its figure.
std::vector<FigureRuns> collect(const SweepFolder& folder, const ReproducePlan& plan);

// Training accuracy is that of the whole training set after the epoch; ||r||^2 is the mean over the last
// epoch's training steps.
enum class Measure { final_train, best_train, final_test, best_test, residual_sq };
// "2 of 3 diverged, 1 of 3 failed"; empty where all have finished.
std::string missing_text(const VariantRuns& variant);

std::optional<double> value_of(const SeedRun& run, Measure measure);  // nothing unless it has finished

// One loss minus another, of pairs that share a seed. QMSE against MSE; against QMSE without its noise, which
// shows what the noise does; against MSE whose first steps are as large, which shows what is left beside
// their size; and MSE with QMSE's noise against MSE and QMSE, which shows what the noise does without the
// weighting of samples, and the weighting beside the noise.
struct Difference {
  std::string comparison;  // "QMSE − MSE"
  Reduction reduction = kPaperReduction;
  double momentum = 0;
  Measure measure = Measure::final_train;
  std::vector<double> pairs;
  std::optional<Interval> interval;
};
std::vector<Difference> differences(const FigureRuns& runs);

// Whether a sentence of the paper is true of these runs:
//   holds           as its criterion says
//   does not hold   the criterion fails
//   not shown       a comparison whose 95 % confidence interval includes 0, or of a single seed
//   not run         runs that it is about have not finished, or failed for another reason than their loss
enum class Verdict { holds, does_not_hold, not_shown, not_run };
std::string_view name(Verdict verdict);

struct Judgement {
  Verdict verdict = Verdict::not_run;
  std::string numbers;
};
struct Claim {
  const PaperFigure* figure = nullptr;
  std::string text;       // what the paper says
  std::string criterion;  // when we say that it holds
  std::vector<std::pair<Reduction, Judgement>> by_reduction;
  // "holds", ..., or "depends on the convention"; and all of it as a sentence.
  std::string verdict() const;
  std::string sentence() const;
};
std::vector<Claim> judge(const std::vector<FigureRuns>& runs, bool paper_only);

// As tables for readers, and as JSON with every seed's values.
std::vector<ReportSection> sections(const std::vector<FigureRuns>& runs, const ReproducePlan& plan);
Json to_json(const std::vector<FigureRuns>& runs, const ReproducePlan& plan);
std::string to_markdown(const std::vector<ReportSection>& sections);

}  // namespace qmse
