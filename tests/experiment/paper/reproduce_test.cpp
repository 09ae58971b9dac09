#include <clocale>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "base/error.h"
#include "experiment/paper/reproduce.h"
#include "experiment/paper/reproduce_figures.h"
#include "experiment/paper/reproduce_results.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

ReproducePlan plan_of(const std::string& figure, bool paper_only, std::int64_t seeds) {
  ReproducePlan plan;
  plan.figures = parse_figures(figure);
  plan.paper_only = paper_only;
  plan.seeds = seeds;
  plan.epochs = 2;
  return plan;
}

// Runs of a figure whose last accuracies are `accuracy(variant, seed)`; negative: the run failed.
FigureRuns runs_of(const std::string& figure, bool paper_only, std::int64_t seeds,
                   const std::function<double(const Variant&, std::int64_t)>& accuracy) {
  FigureRuns runs;
  runs.figure = parse_figures(figure).front();
  for (const Variant& variant : variants(*runs.figure, paper_only)) {
    VariantRuns row{variant, {}};
    for (std::int64_t seed = 1; seed <= seeds; ++seed) {
      const double last = accuracy(variant, seed);
      SeedRun run;
      run.seed = seed;
      run.status = last < 0 ? MemberStatus::failed : MemberStatus::finished;
      run.diverged = last < 0;
      for (const double value : {last / 2, last}) {
        run.epochs.push_back(
            {{"train_accuracy_full", value}, {"test_accuracy", value / 2}, {"train_residual_sq", 1 - value}});
      }
      row.runs.push_back(std::move(run));
    }
    runs.variants.push_back(std::move(row));
  }
  return runs;
}

}  // namespace

TEST_CASE("reproduce: the paper has twelve runs a seed, which differ in loss and momentum alone") {
  ReproducePlan plan;
  plan.figures = parse_figures("all");
  plan.paper_only = true;
  plan.seeds = 1;
  const SweepSpec spec = make_spec(plan, [](const auto&, auto) -> double { throw Error("not needed"); });
  CHECK(spec.members.size() == 12);
  CHECK(spec.base["epochs"] == 100);
  CHECK(spec.base["batch_size"] == 64);
  CHECK(spec.base["evaluate_train"] == true);
  std::set<std::string> seen;
  for (const SweepMember& member : spec.members) {
    const Json& settings = member.settings;
    CHECK(settings["lr"] == (settings["dataset"] == "mnist" ? 0.01 : 0.1));
    CHECK(settings["reduction"] == "element_mean");
    seen.insert(settings["dataset"].dump() + settings["loss"].dump() + settings["momentum"].dump());
  }
  CHECK(seen.size() == 12);
  CHECK(missing(message_of<ConfigError>([] { parse_figures("fig4"); }), {"fig1", "all", "'fig4'"}) == "");
}

TEST_CASE("reproduce: by default both conventions, the scaled rate of each seed, a grid and references") {
  const ReproducePlan plan = plan_of("fig1", false, 2);
  SweepSpec spec =
      make_spec(plan, [](const PaperFigure&, std::int64_t seed) { return 1.0 + 0.1 * double(seed); });
  complete(spec, "test");  // all different, all valid
  const auto find = [&](const std::string& name) -> const Json& {
    for (const SweepMember& member : spec.members) {
      if (member.name == name) return member.settings;
    }
    throw Error("no member " + name);
  };
  CHECK(find("fig1-momentum0.9-qmse_expected-batch_mean-seed2")["loss"] == "qmse_expected");
  CHECK(find("fig1-momentum0-mse_noise-element_mean-seed1")["lr"] == 0.01);
  CHECK(find("fig1-momentum0-mse-element_mean-scaled-seed1")["lr"] == 0.011);
  CHECK(find("fig1-momentum0-mse-element_mean-scaled-seed2")["lr"] == 0.012);
  CHECK(find("fig1-momentum0-mse-batch_mean-lr0.03-seed1")["lr"] == 0.03);
  CHECK(find("fig1-mse-batch_mean-adam-seed1")["optimizer"] == "adam");
  CHECK(find("fig1-momentum0.9-cross_entropy-batch_mean-seed1")["momentum"] == 0.9);
  CHECK(spec.members.size() == 2 * variants(*parse_figures("fig1").front(), false).size());
}

TEST_CASE("reproduce: a language with decimal commas changes no name and no rate") {
  const ReproducePlan plan = plan_of("fig1", false, 2);
  const auto spec = [&] {
    return to_json(make_spec(plan, [](const PaperFigure&, std::int64_t) { return 1.23456; })).dump();
  };
  const std::string before = spec();
  const TempDirectory folder;
  const std::string command = "localedef -i de_DE -f UTF-8 '" + (folder / "de_DE.UTF-8").string() + "' 2>&1";
  if (std::system((command + " >/dev/null").c_str()) != 0) {
    WARN("[skipped: no localedef, or no description of de_DE]");
    return;
  }
  ::setenv("LOCPATH", folder.path().c_str(), 1);
  REQUIRE(std::setlocale(LC_ALL, "de_DE.UTF-8") != nullptr);
  char comma[8];
  std::snprintf(comma, sizeof(comma), "%.1f", 0.5);
  const std::string after = spec();
  std::setlocale(LC_ALL, "C");
  ::unsetenv("LOCPATH");
  CHECK(std::string(comma) == "0,5");
  CHECK(after == before);
}

TEST_CASE("reproduce: verdicts follow the intervals of the paired differences") {
  // QMSE ahead by 1, 2 and 3 points: mean 2, deviation 1, t(0.975, 2) = 4.30265, so the interval is 2
  // -+ 2.48.
  const auto ahead = [](double step) {
    return [step](const Variant& variant, std::int64_t seed) {
      return 0.5 + 0.1 * double(seed) +
             (variant.loss == &paper_losses().qmse ? 0.01 * (2 + step * double(seed - 2)) : 0.0);
    };
  };
  const auto verdict = [](const FigureRuns& runs, std::size_t claim, bool paper_only = true) {
    return judge({runs}, paper_only).at(claim).verdict();
  };
  CHECK(verdict(runs_of("fig2", true, 3, ahead(1.0)), 1) == "not shown");
  CHECK(verdict(runs_of("fig2", true, 3, ahead(0.5)), 1) == "holds");  // 2 -+ 1.24
  CHECK(verdict(runs_of("fig2", true, 1, ahead(0.0)), 1) == "not shown");
  const auto behind = [&](const Variant& variant, std::int64_t seed) {
    return 0.9 - ahead(0.5)(variant, seed);
  };
  CHECK(verdict(runs_of("fig2", true, 3, behind), 1) == "does not hold");
  CHECK(verdict(runs_of("fig2", true, 3, ahead(0.5)), 0) == "does not hold");  // 0.7 is not near 1
  CHECK(verdict(runs_of("fig2", true, 3, ahead(0.5)), 2) == "holds");          // test: 1 point
  const auto diverged = [&](const Variant& variant, std::int64_t seed) {
    return variant.loss == &paper_losses().qmse && seed == 2 ? -1.0 : ahead(0.5)(variant, seed);
  };
  CHECK(verdict(runs_of("fig2", true, 3, diverged), 1) == "does not hold");
  FigureRuns unfinished = runs_of("fig2", true, 3, ahead(0.5));
  unfinished.variants[0].runs[0].status = MemberStatus::pending;
  CHECK(verdict(unfinished, 1) == "not run");
  unfinished.variants[0].runs[0].status = MemberStatus::failed;  // for want of disk, say
  CHECK(verdict(unfinished, 1) == "not run");

  const auto by_convention = [&](const Variant& variant, std::int64_t seed) {
    return variant.reduction == Reduction::batch_mean ? behind(variant, seed) : ahead(0.5)(variant, seed);
  };
  const std::vector<Claim> claims = judge({runs_of("fig2", false, 3, by_convention)}, false);
  CHECK(claims[1].verdict() == "depends on the convention");
  CHECK(missing(claims[1].sentence(), {"depends on the convention", "holds with element_mean",
                                       "does not hold with batch_mean", "+2.00 points, higher",
                                       "−2.00 points", "(95 % interval +0.76 to +3.24)", "Criterion"}) == "");
  CHECK(missing(judge({runs_of("fig2", true, 3, behind)}, true)[1].sentence(),
                {" — does not hold with element_mean (", "−2.00 points"}) == "");
  CHECK(missing(judge({runs_of("fig2", false, 3, behind)}, false)[1].sentence(),
                {" — does not hold with element_mean (", ") and with batch_mean ("}) == "");
  // With momentum QMSE has to beat the other three, not itself alone.
  const auto with_momentum = [](double mse) {
    return [mse](const Variant& variant, std::int64_t seed) {
      return 0.01 * double(seed) + (variant.momentum == 0.0               ? 0.5
                                    : variant.loss == &paper_losses().mse ? mse
                                                                          : 0.8);
    };
  };
  CHECK(verdict(runs_of("fig1", true, 3, with_momentum(0.7)), 2) == "holds");
  CHECK(verdict(runs_of("fig1", true, 3, with_momentum(0.9)), 2) == "does not hold");
  CHECK(judge({runs_of("fig3", true, 2,
                       [](const Variant& variant, std::int64_t) {
                         return variant.momentum == 0.0 ? 0.18 : 0.42;
                       })},
              true)[0]
            .verdict() == "holds");
}

TEST_CASE(
    "reproduce: QMSE is compared with MSE, without its noise, its noise alone, and at steps of the same "
    "size") {
  // QMSE is ahead of MSE by 4 points, without its noise by 1, of MSE with its noise by 3; at the same steps
  // by nothing.
  const auto accuracy = [](const Variant& variant, std::int64_t) {
    if (variant.loss == &paper_losses().qmse) return 0.54;
    if (variant.kind == VariantKind::without_noise) return 0.53;
    if (variant.kind == VariantKind::noise_alone) return 0.51;
    return variant.kind == VariantKind::scaled ? 0.54 : variant.kind == VariantKind::paper ? 0.5 : 0.1;
  };
  std::map<std::string, std::set<double>> means;
  for (const Difference& difference : differences(runs_of("fig1", false, 2, accuracy))) {
    if (difference.measure != Measure::final_train) continue;
    CHECK(difference.pairs.size() == 2);
    means[difference.comparison].insert(std::round(1e4 * difference.pairs[0]));
  }
  CHECK(means == std::map<std::string, std::set<double>>{{"QMSE − MSE", {400}},
                                                         {"QMSE − QMSE without noise", {100}},
                                                         {"MSE with QMSE’s noise − MSE", {100}},
                                                         {"QMSE − MSE with QMSE’s noise", {300}},
                                                         {"QMSE − MSE, lr × (E‖r‖² + 1/c)", {0}}});
  CHECK(differences(runs_of("fig1", true, 2, accuracy)).size() == 2 * 3);  // momenta, measures
}

TEST_CASE("reproduce: runs that are shorter than the paper's say so before any number") {
  const auto accuracy = [](const Variant&, std::int64_t) { return 0.5; };
  const std::vector<FigureRuns> runs = {runs_of("fig1", true, 1, accuracy)};
  ReproducePlan plan = plan_of("fig1", true, 1);
  plan.epochs = 5;
  plan.train_limit = 6000;
  const std::string markdown = to_markdown(sections(runs, plan));
  CHECK(markdown.find("> Each of these runs makes 0.5 % of the paper's training steps, on") <
        markdown.find("does not hold"));
  CHECK(markdown.find("on 6000 of 60000 training images") != std::string::npos);
  plan.epochs = kPaperEpochs;
  plan.train_limit = 0;
  CHECK(sections(runs, plan)[0].warning == "");
  CHECK_FALSE(to_json(runs, plan).contains("warning"));
  plan.train_limit = 59999;  // as many steps
  CHECK(missing(sections(runs, plan)[0].warning, {"makes 100 %", "59999 of 60000"}) == "");
  CHECK(to_json(runs, plan)["warning"] == sections(runs, plan)[0].warning);
  plan.epochs = 1000;
  plan.train_limit = 6000;
  CHECK(sections(runs, plan)[0].warning != "");
  plan = plan_of("fig1", true, 1);
  plan.epochs = kPaperEpochs;
  plan.train_limit = 6000;  // 94 steps of 938 an epoch, 94 of 782
  CHECK(missing(sections({runs[0], runs_of("fig2", true, 1, accuracy)}, plan)[0].warning,
                {"makes 10 to 12 % of", "6000 of 60000, 6000 of 50000"}) == "");
}

TEST_CASE("reproduce: a member whose record is damaged counts as failed, and hides no other") {
  const TempDirectory folder;
  ReproducePlan plan = plan_of("fig1", true, 1);
  plan.epochs = 1;
  SweepSpec spec = make_spec(plan, {});
  complete(spec, "test");
  const SweepFolder sweep(folder / "runs", spec);
  const char* records[] = {
      R"({"epoch":1,"train_residual_sq":0.5,"train_accuracy_full":0.5,"test_accuracy":0.25})",
      R"({"epoch":1,"train_residual_sq":0.5,"train_accuracy_full":0.5})",
      R"({"epoch":1,"train_residual_sq":null,"train_accuracy_full":0.5,"test_accuracy":0.25})", "{"};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::filesystem::path run = sweep.directory(spec.members[i]);
    std::filesystem::create_directories(run);
    write_bytes(run / "config.json", R"({"epochs": 1})");
    write_bytes(run / "metrics.jsonl", std::string(records[i]) + "\n");
    write_bytes(run / "model.safetensors", "x");
  }
  std::map<std::string, SeedRun> runs;
  const std::vector<FigureRuns> figures = collect(sweep, plan);
  for (const VariantRuns& row : figures.at(0).variants) runs[row.runs.at(0).member] = row.runs.at(0);
  const auto run = [&](std::size_t i) { return runs.at(spec.members[i].name); };
  CHECK(run(0).status == MemberStatus::finished);
  CHECK(value_of(run(0), Measure::final_test) == 0.25);
  CHECK(missing(run(1).error, {"metrics.jsonl", "'test_accuracy'", "epoch 1"}) == "");
  CHECK(missing(run(2).error, {"'train_residual_sq'", "epoch 1"}) == "");
  CHECK(missing(run(3).error, {"metrics.jsonl", "line 1"}) == "");
  const std::filesystem::path first = sweep.directory(spec.members[0]);
  write_bytes(first / "environment.json", R"({"data": {"content": 5}})");
  CHECK(collect(sweep, plan).at(0).data == "");
  write_bytes(first / "metrics.jsonl", std::string(records[0]) + "\n" + records[0] + "\n");
  CHECK(missing(collect(sweep, plan).at(0).variants.at(0).runs.at(0).error, {"2 of 1 epoch"}) == "");
  for (const std::size_t i : {1u, 2u, 3u}) {
    CHECK(run(i).status == MemberStatus::failed);
    CHECK_FALSE(value_of(run(i), Measure::final_train).has_value());
  }
}

TEST_CASE("reproduce: figures show the runs that diverged up to where they end, and count them") {
  const auto accuracy = [](const Variant& variant, std::int64_t seed) {
    return variant.loss == &paper_losses().qmse && variant.momentum == 0.9 && seed > 1 ? -1.0 : 0.5;
  };
  FigureRuns runs = runs_of("fig2", true, 3, accuracy);
  for (VariantRuns& row : runs.variants) {
    for (SeedRun& run : row.runs) {
      if (!run.diverged) continue;
      run.epochs.pop_back();
      run.epochs[0] = {{"train_accuracy_full", 0.25}, {"test_accuracy", nullptr}};
    }
  }
  const Figure figure = paper_figure(runs, plan_of("fig2", true, 3));
  REQUIRE(figure.panels.size() == 2);
  CHECK(figure.panels[0].note == "");
  CHECK(figure.panels[1].note == "QMSE: 2 of 3 diverged");
  CHECK(missing(figure.caption, {"Lines: the mean over 1 to 3 seeds; bands: their standard deviation",
                                 "Thin lines with a cross"}) == "");
  const std::vector<Curve>& curves = figure.panels[1].curves;
  REQUIRE(curves.size() == 4);
  CHECK(curves[2].label == "QMSE, training");
  REQUIRE(curves[2].strands.size() == 2);
  CHECK(curves[2].strands[0].y == std::vector<double>{25});
  CHECK(curves[0].strands.empty());
  CHECK(missing_text(runs.variants[3]) == "2 of 3 diverged");
  CHECK(figure_of_all(runs).panels.size() == 6);
  CHECK(to_json({runs}, plan_of("fig2", true, 3)).dump().find("\"diverged\":true") != std::string::npos);
}

TEST_CASE("reproduce: a run on other images than most of its figure is not compared with them") {
  const TempDirectory folder;
  ReproducePlan plan = plan_of("fig1", true, 1);
  plan.epochs = 1;
  SweepSpec spec = make_spec(plan, {});
  complete(spec, "test");
  const SweepFolder sweep(folder / "runs", spec);
  for (std::size_t i = 0; i < spec.members.size(); ++i) {
    const std::filesystem::path run = sweep.directory(spec.members[i]);
    std::filesystem::create_directories(run);
    write_bytes(run / "config.json", R"({"epochs": 1})");
    write_bytes(run / "environment.json",
                Json{{"data", {{"sha256", i == 0 ? "aa" : "bb"}, {"content", "x"}}}}.dump());
    write_bytes(run / "metrics.jsonl",
                R"({"epoch":1,"train_residual_sq":0.5,"train_accuracy_full":0.5,"test_accuracy":0.25})"
                "\n");
    write_bytes(run / "model.safetensors", "x");
  }
  const std::vector<FigureRuns> figures = collect(sweep, plan);
  std::size_t failed = 0;
  for (const VariantRuns& row : figures.at(0).variants) {
    for (const SeedRun& run : row.runs) {
      if (run.status != MemberStatus::failed) continue;
      ++failed;
      CHECK(run.member == spec.members[0].name);
      CHECK_FALSE(run.diverged);
      CHECK(missing(run.error, {"other images", "remove members/fig1"}) == "");
    }
  }
  CHECK(failed == 1);
  CHECK(judge(figures, true)[1].verdict() == "not run");
}

TEST_CASE("reproduce: tables have mean and deviation, differences with intervals, and every run") {
  const auto accuracy = [](const Variant& variant, std::int64_t seed) {
    if (variant.loss == &paper_losses().cross_entropy) return -1.0;
    return 0.5 + 0.1 * double(seed) + (variant.loss == &paper_losses().qmse ? 0.02 : 0.0);
  };
  const std::vector<FigureRuns> runs = {runs_of("fig1", false, 2, accuracy)};
  const ReproducePlan plan = plan_of("fig1", false, 2);
  const std::string markdown = to_markdown(sections(runs, plan));
  // MSE 60 % and 70 %: deviation sqrt(50) = 7.07; test half of it.
  for (const char* part : {"| 65.00 ± 7.07 |", "| 32.50 ± 3.54 |", "| 0.3500 ± 0.0707 |", "2 of 2 diverged",
                           "QMSE without noise, batch_mean", "+2.00 (+2.00 to +2.00)", "2 epochs",
                           "both conventions", "qmse reproduce fig1 --epochs 2 --seeds 2"}) {
    CAPTURE(part, markdown);
    CHECK(markdown.find(part) != std::string::npos);
  }
  const Json json = to_json(runs, plan);
  std::size_t count = 0;
  for (const Json& row : json["figures"][0]["variants"]) count += row["runs"].size();
  CHECK(count == 2 * variants(*parse_figures("fig1").front(), false).size());
  CHECK(json["claims"].size() == 3);
  const std::string alone =
      to_markdown(sections({runs_of("fig1", true, 1, accuracy)}, plan_of("fig1", true, 1)));
  CHECK(alone.find("±") == alone.rfind("±"));  // only in the explanation
  CHECK(alone.find("(one pair: no interval)") != std::string::npos);
}
