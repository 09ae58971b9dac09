// Successive halving: who competes, who goes on, and that those who do end as if nothing had been compared.
#include "experiment/sweep/halving.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/error.h"
#include "experiment/report/run_groups.h"
#include "experiment/report/tuning_report.h"
#include "experiment/sweep/sweep.h"
#include "experiment/sweep/sweep_estimate.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Two losses, `rates` rates and two seeds, of 6 epochs; compared after epochs 1 and 3, half of them goes on.
struct HalvedSweep {
  SweepRequest request(const std::string& out, const std::vector<double>& rates = {0.001, 0.003, 0.01, 0.03},
                       std::int64_t jobs = 2) const {
    SweepRequest request;
    request.spec.base = data.settings("", "mlp");
    request.spec.base.erase("out");
    request.spec.base["epochs"] = 6;
    request.spec.base["validation"] = 20;
    for (const char* loss : {"mse", "qmse"}) {
      for (const double rate : rates) {
        for (const int seed : {1, 2})
          request.spec.members.push_back({"", {{"loss", loss}, {"lr", rate}, {"seed", seed}}});
      }
    }
    request.spec.halving = Halving{{1, 3}, 2, ""};
    complete(request.spec, "test");
    request.out = folder / out;
    request.jobs = jobs;
    return request;
  }
  Json results(const std::string& out) const {
    return Json::parse(read_bytes(folder / out / "results.json"));
  }
  // Weights and figures of all members, and results.json.
  void check_same(const std::string& out, const std::string& expected) const {
    CHECK(read_bytes(folder / out / "results.json") == read_bytes(folder / expected / "results.json"));
    for (const SweepMember& member : request(out).spec.members) {
      CAPTURE(out, member.name);
      const auto here = folder / out / "members" / member.name,
                 there = folder / expected / "members" / member.name;
      CHECK(metrics_without_times(here) == metrics_without_times(there));
      CHECK(std::filesystem::exists(here / "model.safetensors") ==
            std::filesystem::exists(there / "model.safetensors"));
      if (std::filesystem::exists(there / "model.safetensors"))
        CHECK(read_bytes(here / "model.safetensors") == read_bytes(there / "model.safetensors"));
    }
  }

  TinyData data;
  TempDirectory folder;
};

// The rule once more, said differently: loss by loss, round by round, from the figures of runs that were trained
// to their end. How many epochs each member is to have.
std::map<std::string, int> epochs_by_rule(const SweepSpec& spec, const std::filesystem::path& whole,
                                          const std::vector<std::pair<int, int>>& rounds, int full) {
  std::map<std::string, int> epochs;
  std::map<std::string, std::map<double, std::vector<std::string>>> losses;
  for (const SweepMember& member : spec.members)
    losses[member.settings["loss"].get<std::string>()][member.settings["lr"].get<double>()].push_back(
        member.name);
  for (auto& [loss, rates] : losses) {
    for (const auto& [after, kept] : rounds) {
      std::vector<std::pair<double, double>> best;  // minus the mean, rate
      for (const auto& [rate, names] : rates) {
        double sum = 0;
        for (const std::string& name : names) {
          epochs[name] = after;
          const auto lines = json_lines(whole / "members" / name / "metrics.jsonl");
          sum += lines[static_cast<std::size_t>(after - 1)]["validation_accuracy"].get<double>();
        }
        best.emplace_back(-sum / static_cast<double>(names.size()), rate);
      }
      std::sort(best.begin(), best.end());
      for (std::size_t i = static_cast<std::size_t>(kept); i < best.size(); ++i) rates.erase(best[i].second);
    }
    for (const auto& [rate, names] : rates) {
      for (const std::string& name : names) epochs[name] = full;
    }
  }
  return epochs;
}

SweepSpec spec_of(const std::string& text) { return parse_sweep(text, "file"); }

std::string refusal(const std::string& halving) {
  return message_of<ConfigError>([&] {
    spec_of(R"({"base": {"dataset": "mnist", "epochs": 9, "validation": 0.1}, "grid": {"lr": [0.1, 0.2]},
               "halving": )" +
            halving + "}");
  });
}

}  // namespace

TEST_CASE(
    "halving: members that go on have the bits of a sweep without it, the others stop where they lost") {
  const HalvedSweep tiny;
  SweepRequest request = tiny.request("whole");
  request.spec.halving.reset();
  run_sweep(request, {});
  std::map<std::string, std::string> told;
  const SweepOutcome outcome = run_sweep(
      tiny.request("halved"), {.member = [&](const MemberReport& report, const SweepProgress& progress) {
        CHECK(progress.members == 16);
        CHECK((report.status == MemberStatus::eliminated) == !report.why.empty());
        told[report.name] = report.why;
      }});
  CHECK(outcome.finished == 4);
  CHECK(outcome.eliminated == 12);
  CHECK(outcome.failed.empty());
  CHECK_FALSE(outcome.stopped);
  CHECK(told.size() == 16);

  const auto expected = epochs_by_rule(request.spec, tiny.folder / "whole", {{1, 2}, {3, 1}}, 6);
  for (const SweepMember& member : request.spec.members) {
    CAPTURE(member.name);
    const auto halved = tiny.folder / "halved/members" / member.name,
               whole = tiny.folder / "whole/members" / member.name;
    const int epochs = expected.at(member.name);
    const std::string figures = metrics_without_times(halved);
    CHECK(std::count(figures.begin(), figures.end(), '\n') == epochs);
    CHECK(metrics_without_times(whole).starts_with(figures));
    if (epochs == 6) {
      CHECK(read_bytes(halved / "model.safetensors") == read_bytes(whole / "model.safetensors"));
      CHECK(told[member.name].empty());
    } else {
      CHECK_FALSE(std::filesystem::exists(halved / "model.safetensors"));
      const RunRecord run = read_run(halved);
      CHECK(run.outcome.end == RunEnd::eliminated);
      CHECK(run.outcome.reason == told[member.name]);
      CHECK(missing(told[member.name],
                    {epochs == 1 ? "of 4 by validation accuracy" : "of 2 by validation accuracy",
                     epochs == 1 ? "% on average, after epoch 1; 2 go on"
                                 : "% on average, after epoch 3; 1 goes on"}) == "");
      CHECK(missing(state_text(run), {"eliminated after", "of 6 epochs: place"}) == "");
    }
  }

  // The record has every comparison and its figures.
  const Json results = tiny.results("halved");
  CHECK(results["finished"] == 4);
  CHECK(results["eliminated"] == 12);
  CHECK(results["halving"]["after"] == Json{1, 3});
  CHECK(results["halving"]["metric"] == "validation_accuracy");
  REQUIRE(results["halving"]["rungs"].size() == 4);  // two of each loss
  for (const Json& rung : results["halving"]["rungs"]) {
    const bool first = rung["after"] == 1;
    REQUIRE(rung["settings"].size() == (first ? 4U : 2U));
    for (std::size_t i = 0; i < rung["settings"].size(); ++i) {
      const Json& setting = rung["settings"][i];
      CHECK(setting["goes_on"] == (i < (first ? 2U : 1U)));
      CHECK(setting["members"].size() == 2);
      if (i > 0) CHECK(setting["value"] <= rung["settings"][i - 1]["value"]);
    }
  }

  // The table chooses among those that were trained to the end, and says how many were not.
  const Tuning tuning = tune(group_runs(find_runs(tiny.folder / "halved").runs), {});
  std::string notes;
  for (const std::string& note : tuning_notes(tuning)) notes += note;
  CHECK(missing(notes, {"Of 8 settings 6 were eliminated on the way"}) == "");
  REQUIRE(tuning.parts.size() == 1);
  for (const TunedRow& row : tuning.parts[0].rows) {
    CHECK(row.tried.size() == 4);
    CHECK(row.tried[0].missing.empty());
    CHECK(row.tried[1].missing == "2 of 2 eliminated");
  }
}

TEST_CASE("halving: stopped at any time, by several processes, and gone on with, it is the same sweep") {
  const HalvedSweep tiny;
  run_sweep(tiny.request("whole", {0.001, 0.003, 0.01, 0.03}, 1), {});
  for (const int patience : {3, 40, 90, 150, 200}) {
    CAPTURE(patience);
    const std::string out = "stopped-" + std::to_string(patience);
    std::atomic<int> asked{0};
    const SweepOutcome outcome = run_sweep(tiny.request(out), {.stop = [&] { return ++asked > patience; }});
    CHECK(outcome.stopped);
    CHECK(outcome.failed.empty());
    const SweepOutcome rest = run_sweep(tiny.request(out), {});
    CHECK_FALSE(rest.stopped);
    CHECK(rest.finished == 4);
    CHECK(rest.eliminated == 12);
    tiny.check_same(out, "whole");
  }
  SweepOutcome outcomes[2];
  {
    std::vector<std::jthread> sweeps;
    for (int k = 0; k < 2; ++k) {
      sweeps.emplace_back([&, k] {
        SweepRequest request = tiny.request("shared", {0.001, 0.003, 0.01, 0.03}, 1);
        request.shard = {k, 2, "test"};
        outcomes[k] = run_sweep(request, {});
      });
    }
  }
  for (const SweepOutcome& outcome : outcomes) {
    CHECK(outcome.finished == 4);
    CHECK(outcome.eliminated == 12);
  }
  tiny.check_same("shared", "whole");
  int told = 0;
  CHECK(run_sweep(tiny.request("shared"), {.member = [&](const auto&, const auto&) { ++told; }}).eliminated ==
        12);
  CHECK(told == 0);  // there is nothing left to do
}

TEST_CASE(
    "halving: of equals the first by name goes on, whatever the order of members and how values were come "
    "by") {
  const HalvedSweep tiny;
  SweepSpec spec = tiny.request("out").spec;
  std::mt19937 random(20261126);
  for (int round = 0; round < 30; ++round) {
    std::map<std::string, RungValues> values;
    for (const SweepMember& member : spec.members) {  // few values, so that there are ties
      values[member.name] = {static_cast<double>(random() % 3) / 4, static_cast<double>(random() % 3) / 4};
      if (random() % 8 == 0) values[member.name][0] = values[member.name][1] = NAN;
    }
    std::map<std::string, std::int64_t> first;
    for (int order = 0; order < 4; ++order) {
      std::vector<RungValues> all;
      for (const SweepMember& member : spec.members) all.push_back(values[member.name]);
      const HalvingState state = HalvingBrackets(spec).judge(all);
      std::map<std::string, std::int64_t> epochs;
      for (std::size_t i = 0; i < spec.members.size(); ++i) {
        CHECK_FALSE(state.members[i].waits);
        epochs[spec.members[i].name] = state.members[i].epochs;
      }
      if (order == 0) first = epochs;
      CHECK(epochs == first);
      for (const HalvingRung& rung : state.rungs) {
        const std::size_t count = rung.settings.size();
        std::size_t kept = 0;
        for (std::size_t i = 0; i < count; ++i) {
          const HalvingRung::Setting& setting = rung.settings[i];
          kept += setting.goes_on ? 1 : 0;
          CHECK(setting.goes_on == (i < (count + 1) / 2 && std::isfinite(setting.value)));
          if (i == 0) continue;
          const HalvingRung::Setting& before = rung.settings[i - 1];
          CHECK(before.whole >= setting.whole);
          if (before.whole != setting.whole || std::isnan(setting.value)) continue;
          CHECK(before.value >= setting.value);
          if (before.value == setting.value)
            CHECK(spec.members[before.members[0]].name < spec.members[setting.members[0]].name);
        }
        CHECK(kept <= (count + 1) / 2);
      }
      std::shuffle(spec.members.begin(), spec.members.end(), random);
    }
  }
}

TEST_CASE(
    "halving: a comparison waits for all its members, settings alone do not, and means are over seeds") {
  const HalvedSweep tiny;
  const SweepSpec spec = tiny.request("out", {0.01, 0.03}).spec;  // mse 0.01 0.01 0.03 0.03, qmse likewise
  const HalvingBrackets brackets(spec);
  std::vector<RungValues> values(8);
  HalvingState state = brackets.judge(values);
  CHECK(state.rungs.empty());
  for (const HalvingPlace& place : state.members) {
    CHECK(place.epochs == 1);
    CHECK_FALSE(place.waits);
    CHECK_FALSE(place.eliminated);
    CHECK(place.expected == Approx(1 + 0.5 * 5));  // one of two goes on, and is then alone
  }
  values[0] = {0.5};
  values[1] = {0.7};
  values[2] = {0.9};
  state = brackets.judge(values);
  CHECK(state.rungs.empty());
  CHECK(state.members[0].waits);
  CHECK(state.members[2].waits);
  CHECK_FALSE(state.members[3].waits);
  values[3] = {0.2};  // the best member is of the setting with the worse mean
  state = brackets.judge(values);
  REQUIRE(state.rungs.size() == 1);
  CHECK(state.rungs[0].settings[0].members == std::vector<std::size_t>{0, 1});
  CHECK(state.rungs[0].settings[0].value == Approx(0.6));
  CHECK(state.members[1].epochs == 6);  // alone: nothing to be compared with after epoch 3
  CHECK(state.members[1].expected == 6);
  CHECK(state.members[2].eliminated);
  CHECK(elimination_text(*spec.halving, state, 2) ==
        "place 2 of 2 by validation accuracy, 55.00 % on average, after epoch 1; 1 goes on");
  CHECK(state.members[4].epochs == 1);  // the other loss has its own
}

TEST_CASE("halving: a loss is better where it is lower, and a setting without a finite value never goes on") {
  const HalvedSweep tiny;
  SweepSpec spec = tiny.request("out", {0.01, 0.03}).spec;
  spec.halving->metric = "validation_loss";
  std::vector<RungValues> values(8, {0.5});
  values[0] = values[1] = {0.4};
  values[4] = values[5] = values[6] = values[7] = {NAN};
  const HalvingState state = HalvingBrackets(spec).judge(values);
  CHECK(state.members[0].epochs == 6);
  CHECK(state.members[2].eliminated);
  for (std::size_t i = 4; i < 8; ++i) CHECK(state.members[i].eliminated);
}

TEST_CASE("halving: diverged members lose, and a failed one is waited for by the next command") {
  const HalvedSweep tiny;
  SweepRequest request = tiny.request("out", {0.003, 0.01, 0.03, 1e30});
  SweepOutcome outcome = run_sweep(request, {});
  CHECK(outcome.finished == 4);
  CHECK(outcome.failed.size() == 4);  // 1e30 of both losses
  CHECK(outcome.eliminated == 8);
  const Json diverged = tiny.results("out");
  for (const Json& rung : diverged["halving"]["rungs"]) {
    if (rung["after"] != 1) continue;
    CHECK(rung["settings"][3]["value"].is_null());
    CHECK_FALSE(rung["settings"][3]["goes_on"].get<bool>());
  }

  run_sweep(tiny.request("whole"), {});
  request = tiny.request("mended");
  const std::filesystem::path stump = request.out / "members" / request.spec.members[2].name;
  SweepFolder(request.out, request.spec);
  write_bytes(stump, "");  // a file: no run can be there
  std::string said;
  outcome = run_sweep(request, {.notice = [&](const std::string& text) { said = text; }});
  CHECK(outcome.stopped);
  REQUIRE(outcome.failed.size() == 1);
  CHECK(outcome.finished == 2);  // QMSE's
  CHECK(missing(said, {"7 members wait to be compared with one that failed"}) == "");
  CHECK(tiny.results("mended")["pending"] == 7);
  std::filesystem::remove(stump);
  CHECK(run_sweep(request, {}).finished == 4);
  tiny.check_same("mended", "whole");
}

TEST_CASE(
    "halving: more epochs make those longer that went on, and without their checkpoints nothing is lost") {
  const HalvedSweep tiny;
  SweepRequest request = tiny.request("longer");
  request.spec.base["epochs"] = 5;
  CHECK(run_sweep(request, {}).eliminated == 12);
  run_sweep(tiny.request("whole"), {});
  request = tiny.request("longer");
  std::set<std::string> trained;
  CHECK(run_sweep(request,
                  {.member = [&](const MemberReport& report, const auto&) { trained.insert(report.name); }})
            .finished == 4);
  CHECK(trained.size() == 4);
  for (const SweepMember& member : request.spec.members) {
    CAPTURE(member.name);
    CHECK(metrics_without_times(tiny.folder / "longer/members" / member.name) ==
          metrics_without_times(tiny.folder / "whole/members" / member.name));
  }

  request = tiny.request("dropped");
  request.keep_checkpoints = false;
  run_sweep(request, {});
  for (const SweepMember& member : request.spec.members)
    CHECK_FALSE(
        std::filesystem::exists(tiny.folder / "dropped/members" / member.name / "checkpoint.safetensors"));
  tiny.check_same("dropped", "whole");
  CHECK(run_sweep(request, {}).eliminated == 12);
  tiny.check_same("dropped", "whole");
}

TEST_CASE("halving: a folder keeps its rule and its members") {
  const HalvedSweep tiny;
  SweepRequest request = tiny.request("out", {0.01, 0.03});
  run_sweep(request, {});
  const auto refused = [](const SweepRequest& asked) {
    return message_of<ConfigError>([&] { run_sweep(asked, {}); });
  };
  const SweepRequest first = request;
  request.spec.halving->factor = 3;
  CHECK(missing(refused(request), {"another sweep", "'halving' is", "\"factor\":3", "was", "\"factor\":2"}) ==
        "");
  request.spec.halving.reset();
  CHECK(missing(refused(request), {"'halving' is not given, was"}) == "");
  request = first;
  request.spec.members.pop_back();
  CHECK(missing(refused(request), {"it lacks the member 'loss=qmse,lr=0.03,seed=2'", "depends on all"}) ==
        "");
  CHECK(missing(refused(tiny.request("out", {0.01, 0.03, 0.05})), {"it adds the member", "depends on all"}) ==
        "");
  std::ranges::reverse(request.spec.members);
  request.spec.members.insert(request.spec.members.begin(), first.spec.members.back());
  CHECK(run_sweep(request, {}).finished == 4);  // in another order it is the same
}

TEST_CASE("halving: --dry-run counts the epochs that are to be expected") {
  const HalvedSweep tiny;
  const SweepEstimate estimate = estimate_sweep(tiny.request("none"));
  CHECK(estimate.members == 16);
  CHECK(estimate.epochs == 16 * 1 + 8 * 2 + 4 * 3);
  CHECK_FALSE(std::filesystem::exists(tiny.folder / "none"));
  run_sweep(tiny.request("out"), {});
  CHECK(estimate_sweep(tiny.request("out")).epochs == 0);
}

TEST_CASE("halving: the rule is read, completed and written, and every mistake is one line with the remedy") {
  const std::string start = R"({"base": {"dataset": "mnist", "epochs": 9, "validation": 0.1},
      "grid": {"lr": [0.1, 0.2]}, "halving": )";
  const SweepSpec spec = spec_of(start + R"({"after": [2, 6]}})");
  REQUIRE(spec.halving);
  CHECK(*spec.halving == Halving{{2, 6}, 3, "validation_accuracy"});
  CHECK(spec_of(to_json(spec).dump()).halving == spec.halving);
  CHECK_FALSE(to_json(spec_of(R"({"members": [{"lr": 0.1}]})")).contains("halving"));

  CHECK(missing(refusal("3"), {"file: 'halving' must be an object", "\"after\": [2, 6]"}) == "");
  CHECK(missing(refusal("{}"), {"'after' is missing"}) == "");
  CHECK(missing(refusal(R"({"after": []})"), {"'after' must be a list", "not []"}) == "");
  CHECK(missing(refusal(R"({"after": [2, 2]})"), {"each larger than the one before", "[2,2]"}) == "");
  CHECK(missing(refusal(R"({"after": [0]})"), {"from 1 up"}) == "");
  CHECK(missing(refusal(R"({"after": [2.5]})"), {"whole numbers"}) == "");
  CHECK(missing(refusal(R"({"after": [2], "factor": 1})"),
                {"'factor' must be a whole number from 2", "not 1"}) == "");
  CHECK(missing(refusal(R"({"after": [2], "keep": 1})"), {"unknown key 'keep'", "after, factor, metric"}) ==
        "");
  CHECK(missing(refusal(R"({"after": [2], "metric": "test_accuracy"})"),
                {"'metric' cannot be 'test_accuracy'", "test images looks too good",
                 "validation_accuracy"}) == "");
  CHECK(missing(refusal(R"({"after": [2], "metric": "seconds"})"),
                {"cannot be 'seconds'", "one of train_loss"}) == "");
  CHECK(missing(refusal(R"({"after": [2], "metric": "validation_r2"})"), {"has no validation_r2", "mnist"}) ==
        "");
  CHECK(missing(refusal(R"({"after": [2], "metric": "train_accuracy_full"})"), {"evaluate_train"}) == "");
  CHECK(missing(refusal(R"({"after": [9]})"), {"has 9 epochs", "'after' must name fewer"}) == "");
  CHECK(missing(message_of<ConfigError>([] {
                  spec_of(
                      R"({"base": {"epochs": 9}, "grid": {"lr": [0.1, 0.2]}, "halving": {"after": [2]}})");
                }),
                {"'halving': member 'lr=0.1' has no validation_accuracy", "\"validation\""}) == "");
}
