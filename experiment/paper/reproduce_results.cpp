#include "experiment/paper/reproduce_results.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "data/registry.h"
#include "experiment/report/run_summary.h"
#include "experiment/run/plain_text.h"
#include "experiment/run/run_record.h"

namespace qmse {
namespace {

struct MeasureName {
  Measure measure;
  const char* key;    // in JSON
  const char* label;  // for readers
  MetricKind kind;
};
constexpr MeasureName kMeasures[] = {
    {Measure::final_train, "final_train_accuracy", "final train", MetricKind::accuracy},
    {Measure::best_train, "best_train_accuracy", "best train", MetricKind::accuracy},
    {Measure::final_test, "final_test_accuracy", "final test", MetricKind::accuracy},
    {Measure::best_test, "best_test_accuracy", "best test", MetricKind::accuracy},
    {Measure::residual_sq, "train_residual_sq", "‖r‖²", MetricKind::number}};

MetricUnit unit_of(Measure measure) { return unit_of(kMeasures[static_cast<std::size_t>(measure)].kind); }

std::vector<double> values_of(const VariantRuns& variant, Measure measure) {
  std::vector<double> values;
  for (const SeedRun& run : variant.runs) {
    if (const std::optional<double> value = value_of(run, measure)) values.push_back(*value);
  }
  return values;
}

std::string state_text(const VariantRuns& variant) {
  const std::string missing = missing_text(variant);
  return missing.empty() ? std::to_string(variant.runs.size()) : missing;
}

std::string momentum_text(const Variant& variant) {
  return variant.momentum ? significant_text(*variant.momentum, 2) : "–";
}

std::string rate_text(const Variant& variant) {
  return variant.kind == VariantKind::scaled ? "by seed" : significant_text(variant.lr, 4);
}

ReportTable results_table(const FigureRuns& runs) {
  ReportTable table;
  table.header = {"loss", "momentum", "lr", "seeds"};
  for (const MeasureName& measure : kMeasures) table.header.emplace_back(measure.label);
  for (const VariantRuns& variant : runs.variants) {
    std::vector<std::string> row = {variant.variant.label, momentum_text(variant.variant),
                                    rate_text(variant.variant), state_text(variant)};
    for (const MeasureName& measure : kMeasures)
      row.push_back(spread_text(values_of(variant, measure.measure), unit_of(measure.kind)));
    table.rows.push_back(std::move(row));
  }
  return table;
}

struct Compared {
  VariantKind kind;
  const LossKind* loss;
};
struct Comparison {
  const char* text;
  Compared first, second;
};
std::vector<Comparison> comparisons() {
  const PaperLosses& losses = paper_losses();
  const Compared mse{VariantKind::paper, &losses.mse}, qmse{VariantKind::paper, &losses.qmse},
      without_noise{VariantKind::without_noise, &losses.qmse_without_noise},
      noise_alone{VariantKind::noise_alone, &losses.mse_with_noise}, scaled{VariantKind::scaled, &losses.mse};
  return {{"QMSE − MSE", qmse, mse},
          {"QMSE − QMSE without noise", qmse, without_noise},
          {"MSE with QMSE’s noise − MSE", noise_alone, mse},
          {"QMSE − MSE with QMSE’s noise", qmse, noise_alone},
          {"QMSE − MSE, lr × (E‖r‖² + 1/c)", qmse, scaled}};
}
constexpr Measure kCompared[] = {Measure::final_train, Measure::final_test, Measure::residual_sq};

// A row for the measures of one comparison, which follow each other in `all`.
ReportTable difference_table(const std::vector<Difference>& all) {
  ReportTable table{{"difference", "convention", "momentum", "pairs"}, {}};
  for (const Measure measure : kCompared)
    table.header.push_back(kMeasures[static_cast<std::size_t>(measure)].label);
  for (std::size_t i = 0; i < all.size(); i += std::size(kCompared)) {
    std::vector<std::string> row = {all[i].comparison, std::string(name(all[i].reduction)),
                                    significant_text(all[i].momentum, 2),
                                    std::to_string(all[i].pairs.size())};
    for (std::size_t j = 0; j < std::size(kCompared); ++j)
      row.push_back(difference_text(all[i + j].pairs, all[i + j].interval, unit_of(all[i + j].measure)));
    table.rows.push_back(std::move(row));
  }
  return table;
}

// The command that makes these runs.
std::string command_text(const ReproducePlan& plan) {
  std::string command =
      "qmse reproduce " + (plan.figures.size() == 1 ? plan.figures.front()->name : std::string("all"));
  if (plan.paper_only) command += " --paper-only";
  command += " --epochs " + std::to_string(plan.epochs) + " --seeds " + std::to_string(plan.seeds);
  if (plan.train_limit > 0) command += " --train-limit " + std::to_string(plan.train_limit);
  return command;
}

// Where runs are shorter than the paper's, or of fewer images; empty where they are not.
std::string scale_warning(const std::vector<FigureRuns>& runs, const ReproducePlan& plan) {
  double least = 1, most = 0;  // of the paper's training steps
  std::string images;
  for (const FigureRuns& figure : runs) {
    const std::int64_t all = dataset_info(figure.figure->dataset).train;
    const std::int64_t used = plan.train_limit > 0 ? std::min(plan.train_limit, all) : all;
    const auto steps = [](std::int64_t count) {
      return static_cast<double>((count + kBatchSize - 1) / kBatchSize);
    };
    const double share = static_cast<double>(plan.epochs) * steps(used) / (kPaperEpochs * steps(all));
    least = std::min(least, share);
    most = std::max(most, share);
    if (used < all)
      images += (images.empty() ? "" : ", ") + std::to_string(used) + " of " + std::to_string(all);
  }
  if (least >= 1 && images.empty()) return "";
  const auto percent = [](double value) { return value > 0.99 ? "100" : significant_text(100 * value, 2); };
  std::string share = percent(least);
  if (percent(most) != share) share += " to " + percent(most);
  return "Each of these runs makes " + share + " % of the paper's training steps" +
         (images.empty() ? "" : ", on " + images + " training images") +
         ". They show the beginning of a training, or a smaller one: what the paper says of the end of its "
         "runs they can neither confirm nor refute.";
}

ReportTable claims_table(const std::vector<Claim>& claims) {
  ReportTable table{{"the paper says"}, {}};
  for (const auto& [reduction, judgement] : claims.front().by_reduction)
    table.header.push_back("with " + std::string(name(reduction)));
  for (const Claim& claim : claims) {
    std::vector<std::string> row = {claim.text};
    for (const auto& [reduction, judgement] : claim.by_reduction) row.emplace_back(name(judgement.verdict));
    table.rows.push_back(std::move(row));
  }
  return table;
}

// "official", or how the files differ.
std::string content_of(const Json& environment) {
  const auto data = environment.find("data");
  if (data == environment.end() || !data->is_object()) return "";
  const auto content = data->find("content");
  return content != data->end() && content->is_string() ? content->get<std::string>() : "";
}

// What a line of metrics.jsonl has for the measures.
constexpr const char* kRecorded[] = {"train_residual_sq", "train_accuracy_full", "test_accuracy"};

void check_record(const SeedRun& run, std::int64_t epochs) {
  if (std::ssize(run.epochs) != epochs) {
    throw DataError("member " + in_quotes(run.member) + ": its metrics.jsonl has " +
                    std::to_string(run.epochs.size()) + " of " + counted(epochs, "epoch"));
  }
  for (const Json& line : run.epochs) {
    for (const char* key : kRecorded) {
      if (line.contains(key) && line[key].is_number()) continue;
      throw DataError("member " + in_quotes(run.member) + ": metrics.jsonl has no number " + in_quotes(key) +
                      " in epoch " + line["epoch"].dump());
    }
  }
}

// Runs are compared with each other: on other images they say nothing.
void refuse_other_images(FigureRuns& figure) {
  std::map<Json, std::size_t> count;
  for (const VariantRuns& row : figure.variants) {
    for (const SeedRun& run : row.runs) {
      if (!run.images.is_null()) ++count[run.images];
    }
  }
  if (count.size() < 2) return;
  const Json most = std::max_element(count.begin(), count.end(), [](const auto& a, const auto& b) {
                      return a.second < b.second;
                    })->first;
  for (VariantRuns& row : figure.variants) {
    for (SeedRun& run : row.runs) {
      if (run.status != MemberStatus::finished || run.images == most) continue;
      run.status = MemberStatus::failed;
      run.diverged = false;
      run.error = "it was trained on other images than most of these runs; remove members/" + run.member +
                  " to train it again";
    }
  }
}

}  // namespace

std::vector<FigureRuns> collect(const SweepFolder& folder, const ReproducePlan& plan) {
  std::vector<FigureRuns> all;
  for (const PaperFigure* figure : plan.figures) {
    FigureRuns runs;
    runs.figure = figure;
    for (const Variant& variant : variants(*runs.figure, plan.paper_only)) {
      VariantRuns row{variant, {}};
      for (std::int64_t seed = 1; seed <= plan.seeds; ++seed) {
        SeedRun run;
        run.seed = seed;
        run.member = member_name(*runs.figure, variant, seed);
        const SweepMember member{run.member, Json::object()};
        run.status = folder.status(member);
        if (run.status == MemberStatus::failed) {
          if (const std::optional<MemberFailure> failure = folder.failure(member)) {
            run.error = failure->error;
            run.diverged = failure->final;
          }
        }
        try {
          if (std::optional<RunRecord> record = folder.record(member)) {
            run.epochs = std::move(record->epochs);
            if (!run.epochs.empty()) {
              run.images = trained_on(record->environment);
              if (runs.data.empty()) runs.data = content_of(record->environment);
            }
          }
          if (run.status == MemberStatus::finished) check_record(run, plan.epochs);
        } catch (const Error& error) {
          run.status = MemberStatus::failed;
          run.error = error.what();
          run.epochs.clear();
        }
        row.runs.push_back(std::move(run));
      }
      runs.variants.push_back(std::move(row));
    }
    refuse_other_images(runs);
    all.push_back(std::move(runs));
  }
  return all;
}

std::string missing_text(const VariantRuns& variant) {
  std::string text;
  const auto add = [&](const char* what, auto is) {
    const auto count = std::count_if(variant.runs.begin(), variant.runs.end(), is);
    if (count == 0) return;
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " of " +
            std::to_string(variant.runs.size()) + " " + what;
  };
  using enum MemberStatus;
  add("diverged", [](const SeedRun& run) { return run.status == failed && run.diverged; });
  add("failed", [](const SeedRun& run) { return run.status == failed && !run.diverged; });
  add("not finished", [](const SeedRun& run) { return run.status == pending || run.status == running; });
  return text;
}

std::optional<double> value_of(const SeedRun& run, Measure measure) {
  if (run.status != MemberStatus::finished || run.epochs.empty()) return std::nullopt;
  const bool train = measure == Measure::final_train || measure == Measure::best_train;
  const char* key = measure == Measure::residual_sq ? kRecorded[0] : train ? kRecorded[1] : kRecorded[2];
  const bool best = measure == Measure::best_train || measure == Measure::best_test;
  return best ? best_value(run.epochs, key) : final_value(run.epochs, key);
}

std::vector<Difference> differences(const FigureRuns& runs) {
  const auto find = [&](const Compared& side, Reduction reduction, double momentum) {
    return std::find_if(runs.variants.begin(), runs.variants.end(), [&](const VariantRuns& row) {
      const Variant& variant = row.variant;
      return variant.kind == side.kind && variant.loss == side.loss && variant.reduction == reduction &&
             variant.momentum == momentum;
    });
  };
  std::vector<Difference> all;
  for (const Comparison& comparison : comparisons()) {
    for (const Reduction reduction : conventions(false)) {
      for (const double momentum : kPaperMomenta) {
        const auto first = find(comparison.first, reduction, momentum),
                   second = find(comparison.second, reduction, momentum);
        if (first == runs.variants.end() || second == runs.variants.end()) continue;  // --paper-only
        for (const Measure measure : kCompared) {
          Difference difference{comparison.text, reduction, momentum, measure, {}, {}};
          for (std::size_t i = 0; i < first->runs.size(); ++i) {
            const auto a = value_of(first->runs[i], measure), b = value_of(second->runs[i], measure);
            if (a && b) difference.pairs.push_back(*a - *b);
          }
          difference.interval = student_t_interval(difference.pairs);
          all.push_back(std::move(difference));
        }
      }
    }
  }
  return all;
}

std::vector<ReportSection> sections(const std::vector<FigureRuns>& runs, const ReproducePlan& plan) {
  const std::vector<Claim> claims = judge(runs, plan.paper_only);
  std::vector<ReportSection> all;
  ReportSection verdicts;
  verdicts.title = "What the paper says, and what these runs say";
  verdicts.warning = scale_warning(runs, plan);
  verdicts.paragraphs = {
      "The paper, “A theoretical framework for escaping local optima in MSE toward global convergence”, "
      "trains a network of two convolutions and two fully connected layers with MSE and with its own loss, "
      "QMSE, and shows training and test accuracy over " +
          std::to_string(kPaperEpochs) +
          " epochs, with SGD without momentum and with momentum 0.9. It gives no batch size, no seeds and no "
          "scale of its losses.",
      "These runs: " + counted(plan.epochs, "epoch") + ", " +
          (plan.train_limit > 0 ? "the first " + std::to_string(plan.train_limit) : std::string("all")) +
          " training images, batch size " + std::to_string(kBatchSize) + ", " + counted(plan.seeds, "seed") +
          (plan.paper_only ? ", reduction " + std::string(name(kPaperReduction))
                           : std::string(", both conventions")) +
          ". They are made by: " + command_text(plan)};
  if (!plan.paper_only) {
    verdicts.paragraphs.emplace_back(
        "element_mean multiplies a loss by 2/c, c being the number of classes, which is another learning "
        "rate: the two conventions are two learning rates rather than two confirmations.");
  }
  verdicts.tables = {claims_table(claims)};
  all.push_back(std::move(verdicts));
  ReportSection details;
  details.title = "Claim by claim";
  for (const Claim& claim : claims) details.paragraphs.push_back(claim.sentence());
  all.push_back(std::move(details));
  for (const FigureRuns& figure : runs) {
    ReportSection section;
    section.title = figure.figure->name + ": " + figure.figure->dataset + ", lr " +
                    significant_text(figure.figure->lr, 4);
    section.paragraphs = {
        "c = " + std::to_string(figure.figure->classes) + " classes." +
            (figure.data.empty() ? "" : " The files: " + figure.data + "."),
        "Mean ± standard deviation over the seeds that finished. Accuracies in per cent; training accuracy "
        "is "
        "that of the whole training set after the epoch; final: after the last epoch; best: the highest of "
        "any epoch, chosen by looking at the result; ‖r‖² is the mean over the last epoch's training steps.",
        "Differences are of pairs that share initial weights and data order, in percentage points and in "
        "‖r‖², with the paired Student t interval (95 %). It takes the differences for normal, which few "
        "seeds cannot show, and is not corrected for there being many."};
    if (!plan.paper_only) {
      section.paragraphs.emplace_back(
          "QMSE without noise has the gradient that QMSE has on average; the difference shows what the noise "
          "does. MSE with QMSE’s noise has MSE's gradient on average and QMSE's covariance: its difference "
          "to MSE "
          "shows what such noise does without the weighting, QMSE's to it what the weighting does beside the "
          "noise. lr × (E‖r‖² + 1/c), measured with the initial weights of each seed, gives MSE first steps "
          "as "
          "large as QMSE's are on average; that difference shows what is left beside their size.");
    }
    for (const VariantRuns& row : figure.variants) {
      for (const SeedRun& run : row.runs) {
        if (run.status == MemberStatus::failed)
          section.paragraphs.push_back((run.diverged ? "Diverged: " : "Failed: ") + run.member + ": " +
                                       run.error + ".");
      }
    }
    section.tables = {results_table(figure), difference_table(differences(figure))};
    all.push_back(std::move(section));
  }
  return all;
}

Json to_json(const std::vector<FigureRuns>& runs, const ReproducePlan& plan) {
  Json json;
  json["epochs"] = plan.epochs;
  json["seeds"] = plan.seeds;
  json["train_limit"] = plan.train_limit;
  json["paper_only"] = plan.paper_only;
  json["batch_size"] = kBatchSize;
  json["interval"] = "paired Student t, 95 %";
  if (const std::string warning = scale_warning(runs, plan); !warning.empty()) json["warning"] = warning;
  for (const Claim& claim : judge(runs, plan.paper_only)) {
    Json entry = {{"figure", claim.figure->name},
                  {"claim", claim.text},
                  {"criterion", claim.criterion},
                  {"verdict", claim.verdict()}};
    for (const auto& [reduction, judgement] : claim.by_reduction)
      entry["by_reduction"][std::string(name(reduction))] = {{"verdict", name(judgement.verdict)},
                                                             {"numbers", judgement.numbers}};
    json["claims"].push_back(std::move(entry));
  }
  for (const FigureRuns& figure : runs) {
    Json entry = {{"figure", figure.figure->name},
                  {"dataset", figure.figure->dataset},
                  {"lr", figure.figure->lr},
                  {"data", figure.data}};
    for (const VariantRuns& row : figure.variants) {
      Json variant = {{"key", row.variant.key},
                      {"label", row.variant.label},
                      {"momentum", row.variant.momentum ? Json(*row.variant.momentum) : Json()}};
      for (const MeasureName& measure : kMeasures) {
        const std::vector<double> values = values_of(row, measure.measure);
        if (values.empty()) continue;
        const std::optional<double> deviation = standard_deviation(values);
        variant[measure.key] = {{"mean", mean(values)},
                                {"standard_deviation", deviation ? Json(*deviation) : Json()}};
      }
      for (const SeedRun& run : row.runs) {
        Json seed = {{"seed", run.seed}, {"member", run.member}, {"status", name(run.status)}};
        if (run.status == MemberStatus::failed) seed["diverged"] = run.diverged;
        if (!run.error.empty()) seed["error"] = run.error;
        for (const MeasureName& measure : kMeasures) {
          if (const auto value = value_of(run, measure.measure)) seed[measure.key] = *value;
        }
        variant["runs"].push_back(std::move(seed));
      }
      entry["variants"].push_back(std::move(variant));
    }
    for (const Difference& difference : differences(figure)) {
      if (difference.pairs.empty()) continue;
      const auto& interval = difference.interval;
      const char* key = kMeasures[static_cast<std::size_t>(difference.measure)].key;
      entry["differences"].push_back({{"comparison", difference.comparison},
                                      {"reduction", name(difference.reduction)},
                                      {"momentum", difference.momentum},
                                      {"measure", key},
                                      {"pairs", difference.pairs},
                                      {"mean", mean(difference.pairs)},
                                      {"low", interval ? Json(interval->low) : Json()},
                                      {"high", interval ? Json(interval->high) : Json()}});
    }
    json["figures"].push_back(std::move(entry));
  }
  return json;
}

std::string to_markdown(const std::vector<ReportSection>& all) {
  std::string markdown;
  for (const ReportSection& section : all) {
    markdown += "## " + section.title + "\n\n";
    if (!section.warning.empty()) markdown += "> " + section.warning + "\n\n";
    for (const std::string& paragraph : section.paragraphs) markdown += paragraph + "\n\n";
    for (const ReportTable& table : section.tables)
      markdown += table_text(table, TableFormat::markdown) + "\n";
  }
  return markdown;
}

}  // namespace qmse
