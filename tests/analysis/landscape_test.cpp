// The frame of the experiments, and each experiment at a small size on data that need no file.
#include "analysis/landscape/run.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include "analysis/landscape/problem.h"
#include "base/error.h"
#include "engine/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/idx_files.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using namespace qmse::test;

namespace {

LandscapeRequest small_width(const std::filesystem::path& out) {
  return {.experiment = "width",
          .given = {{"data_set", "gaussian"},
                    {"samples", 24},
                    {"inputs", 4},
                    {"widths", {1, 4, 12}},
                    {"seeds", {6}},
                    {"steps", 3000}},
          .out = out,
          .threads = 2};
}

std::string content(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

const Json& verdict(const Json& result, const std::string& claim) {
  for (const Json& each : result["verdicts"]) {
    if (each["claim"].get<std::string>().find(claim) != std::string::npos) return each;
  }
  FAIL("no verdict on " + claim);
  return result;
}

}  // namespace

TEST_CASE("landscape: a stopped experiment goes on with the same bytes, whatever the number of threads") {
  const TempDirectory folder;
  const LandscapeOutcome whole = run_landscape(small_width(folder / "whole"), {});
  REQUIRE(whole.finished);
  LandscapeRequest request = small_width(folder / "parts");
  request.threads = 1;
  int asked = 0;
  const LandscapeOutcome stopped = run_landscape(request, {.stop = [&] { return ++asked > 5; }});
  CHECK_FALSE(stopped.finished);
  CHECK_FALSE(std::filesystem::exists(folder / "parts/result.json"));
  {  // a kill in the middle of a line
    std::ofstream log(folder / "parts/members.jsonl", std::ios::app);
    log << "{\"member\": {\"hidden";
  }
  std::int64_t first = -1;
  const LandscapeOutcome rest = run_landscape(
      request, {.progress = [&](std::int64_t done, std::int64_t) { first = first < 0 ? done : first; }});
  CHECK(rest.finished);
  CHECK(first == 5);
  for (const char* file :
       {"result.json", "settings.json", "points.safetensors", "figure-1.svg", "report.html"})
    CHECK(content(folder / "parts" / file) == content(folder / "whole" / file));
  // Again: nothing is left to do, nothing changes.
  const LandscapeOutcome again = run_landscape(request, {});
  CHECK(again.result == whole.result);
}

TEST_CASE("landscape: a network alone has the bits it has beside others") {
  const TempDirectory folder;
  run_landscape(small_width(folder / "all"), {});
  LandscapeRequest alone = small_width(folder / "alone");
  alone.given["widths"] = {4};
  alone.given["seeds"] = {2};
  run_landscape(alone, {});
  const SafetensorsFile many(folder / "all/points.safetensors"), few(folder / "alone/points.safetensors");
  const std::string name = "hidden_layers=1-width=4-seed=2:end";
  CHECK(many.read<double>(name) == few.read<double>(name));
  CHECK(many.read<double>("x") == few.read<double>("x"));
}

TEST_CASE("landscape width: spread and bad minima vanish beyond d0 d1 = N, and the affine trap stands") {
  const TempDirectory folder;
  LandscapeRequest request = small_width(folder / "width");
  request.given["widths"] = {1, 2, 3, 16};
  request.given["seeds"] = {12};
  request.given["steps"] = 20000;
  const LandscapeOutcome outcome = run_landscape(request, {});
  const Json& groups = outcome.result["summary"];
  REQUIRE(groups.size() == 4);
  for (int narrow = 0; narrow < 3; ++narrow) {
    CHECK(groups[narrow]["share_bad"] == 1);
    CHECK(groups[narrow]["clarke_median"].get<double>() < 1e-4);  // stationary, though
    CHECK(groups[narrow]["gradient_median"].get<double>() >
          10 * groups[narrow]["clarke_median"].get<double>());
  }
  CHECK(groups[3]["share_bad"].get<double>() <= 0.1);
  CHECK(verdict(outcome.result, "spread less")["verdict"] == "holds");
  const Json& trap = verdict(outcome.result, "every differentiable local minimum");
  CHECK(trap["verdict"] == "does not hold");
  CHECK(trap["statistic"]["value"].get<double>() > 0.1);
}

TEST_CASE(
    "landscape width: the verdict fails where the statement is false: starts in the trap never leave it") {
  const TempDirectory folder;
  LandscapeRequest request = small_width(folder / "trap");
  request.given.update({{"start", "trap"}, {"widths", {6, 8}}, {"seeds", {40}}, {"steps", 50}});
  const LandscapeOutcome outcome = run_landscape(request, {});
  CHECK(verdict(outcome.result, "finds no bad minimum")["verdict"] == "does not hold");
  CHECK(outcome.result["summary"][0]["share_bad"] == 1);
}

TEST_CASE("landscape width: noise on the slopes frees from the affine trap") {
  const TempDirectory folder;
  LandscapeRequest request = small_width(folder / "noise");
  request.given.update({{"start", "trap"},
                        {"widths", {12}},
                        {"seeds", {3}},
                        {"steps", 20000},
                        {"slope_noise", 0.3},
                        {"lr", {0.02}}});
  const LandscapeOutcome outcome = run_landscape(request, {});
  const double trapped = verdict(outcome.result, "every differentiable")["statistic"]["value"];
  CHECK(outcome.result["summary"][0]["mean"].get<double>() < 0.1 * trapped);
}

TEST_CASE("landscape: settings that make no sense are errors that name the option") {
  const TempDirectory folder;
  const auto message = [&](const Json& given) {
    LandscapeRequest request = small_width(folder / "wrong");
    request.given.update(given);
    return message_of<ConfigError>([&] { run_landscape(request, {}); });
  };
  using Catch::Contains;
  CHECK_THAT(message({{"widths", {0}}}), Contains("--widths") && Contains("from 1"));
  CHECK_THAT(message({{"widths", Json::array()}}), Contains("--widths"));
  CHECK_THAT(message({{"samples", 1}}), Contains("--samples"));
  CHECK_THAT(message({{"labels", "classes:0"}}), Contains("classes:K"));
  CHECK_THAT(message({{"data_set", "nothing"}}), Contains("--data-set"));
  CHECK_THAT(message({{"activation", "softmax"}}), Contains("--activation"));
  CHECK_THAT(message({{"lr", {-1.0}}}), Contains("--lr"));
  CHECK_THAT(message({{"loss", "bce"}}), Contains("targets from 0 to 1"));
  CHECK_THAT(message({{"colour", 3}}), Contains("colour"));
  CHECK_FALSE(std::filesystem::exists(folder / "wrong"));
  const auto& options = landscape_experiment("width").options;
  const auto option = std::find_if(options.begin(), options.end(),
                                   [](const auto& each) { return each.name == "slope_noise"; });
  CHECK(setting_from_text(*option, "0.5") == 0.5);
  CHECK_THAT(message_of<ConfigError>([&] { setting_from_text(*option, "much"); }),
             Contains("--slope-noise") && Contains("much"));
  CHECK_THROWS_AS(setting_from_text(*option, "nan"), ConfigError);
  CHECK_THROWS_AS(landscape_experiment("nothing"), ConfigError);
}

TEST_CASE("landscape: a folder with something else, or with other settings, is left alone") {
  const TempDirectory folder;
  std::filesystem::create_directory(folder / "other");
  std::ofstream(folder / "other/mine.txt") << "mine";
  CHECK_THROWS_AS(run_landscape(small_width(folder / "other"), {}), ConfigError);
  LandscapeRequest request = small_width(folder / "one");
  request.given["steps"] = 10;
  run_landscape(request, {});
  const std::string before = content(folder / "one/result.json");
  request.given["steps"] = 11;
  CHECK_THROWS_AS(run_landscape(request, {}), ConfigError);
  CHECK(content(folder / "one/result.json") == before);
  std::ofstream(folder / "one/members.jsonl") << "{\"member\": 3}\n";
  request.given["steps"] = 10;
  CHECK_THROWS_AS(run_landscape(request, {}), DataError);
  // What is refused before its first member leaves no folder that refuses the corrected command.
  LandscapeRequest nowhere = small_width(folder / "nowhere");
  nowhere.device = "cuda:99";
  CHECK_THROWS_AS(run_landscape(nowhere, {}), Error);
  CHECK_FALSE(std::filesystem::exists(folder / "nowhere"));
}

TEST_CASE("landscape: a network that diverges is counted, not averaged") {
  const TempDirectory folder;
  LandscapeRequest request = small_width(folder / "wild");
  request.given.update({{"lr", {1e6}}, {"steps", 200}, {"widths", {2}}});
  const LandscapeOutcome outcome = run_landscape(request, {});
  CHECK(outcome.result["summary"][0]["diverged"] == 6);
  CHECK(outcome.result["summary"][0]["runs"] == 0);
  CHECK(verdict(outcome.result, "spread less")["verdict"] == "not run");
  CHECK(verdict(outcome.result, "spread less")["sentence"].get<std::string>().find("--widths") !=
        std::string::npos);
}

TEST_CASE("problem: tables of one's own, and what is wrong with them by line") {
  const TempDirectory folder;
  const auto problem = [&](const std::string& text) {
    std::ofstream(folder / "data.csv") << text;
    Json settings = complete_settings(problem_options("csv:" + (folder / "data.csv").string(), 2, 1, "given"),
                                      {}, "", false, Json::object());
    return make_problem(settings, "");
  };
  const Problem good = problem("height,weight\n1.5,2\n-3e1,4\r\n\n");
  CHECK(good.samples.count == 2);
  CHECK(good.samples.input(1, 0) == -30);
  CHECK(good.samples.target(1, 0) == 4);
  using Catch::Contains;
  const auto message = [&](const std::string& text) { return message_of<DataError>([&] { problem(text); }); };
  CHECK_THAT(message("1,2\n3,x\n"), Contains("line 2"));
  CHECK_THAT(message("1,2\n3,nan\n"), Contains("line 2"));
  CHECK_THAT(message("1,2\n3,4,5\n"), Contains("line 2") && Contains("3 columns"));
  CHECK_THAT(message("1\n2\n"), Contains("line 1"));
  CHECK_THAT(message("a,b\n"), Contains("no sample"));
  CHECK_THROWS_AS(problem("1,2\n3,2\n"), ConfigError);  // equal targets
}

TEST_CASE("problem: more than the images have, one class, one sample, are errors that say so") {
  const TempDirectory folder;
  write_mnist(folder.path(), 40, 10);  // of 8 x 8
  const auto message = [&](Json given) {
    const Json settings =
        complete_settings(problem_options("mnist-pca", 30, 5, "class"), {}, "", false, given);
    return message_of<ConfigError>([&] { make_problem(settings, folder.path().string()); });
  };
  using Catch::Contains;
  CHECK_THAT(message({{"inputs", 65}}), Contains("--inputs 65") && Contains("at most 29"));
  CHECK_THAT(message({{"samples", 41}}), Contains("--samples 41") && Contains("40"));
  CHECK_THAT(message({{"samples", 3}, {"inputs", 2}, {"labels", "classes:1"}}),
             Contains("equal") && Contains("nothing to learn"));
  CHECK_THROWS_WITH(message({{"samples", 1}}), Contains("--samples") && Contains("from 2"));
  std::ofstream(folder / "one.csv") << "1,2\n";
  CHECK_THAT(message({{"data_set", "csv:" + (folder / "one.csv").string()}, {"labels", "given"}}),
             Contains("1 samples") && Contains("equal"));
}

TEST_CASE("landscape: widths, tolerances and steps of 0 are errors that say from where on they are allowed") {
  const auto message = [](const std::string& experiment, const Json& given) {
    const LandscapeExperiment& of = landscape_experiment(experiment);
    return message_of<ConfigError>([&] { complete_settings(of.options, of.presets, "", false, given); });
  };
  using Catch::Contains;
  CHECK_THAT(message("width", {{"widths", {0}}}), Contains("--widths") && Contains("from 1"));
  for (const char* experiment : {"spectrum", "plane", "connect", "edge", "sgd-floor", "schedule"})
    CHECK_THAT(message(experiment, {{"hidden", {0}}}), Contains("--hidden") && Contains("from 1"));
  CHECK_THAT(message("escape", {{"delta", 0.0}}), Contains("--delta") && Contains("from"));
  CHECK_THAT(message("edge", {{"every", 0}}), Contains("--every") && Contains("from 1"));
  CHECK_THAT(message("plane", {{"grid", 1}}), Contains("--grid") && Contains("from 3"));
  CHECK_THAT(message("connect", {{"places", 0}}), Contains("--places") && Contains("from 2"));
  CHECK_THAT(message("spectrum", {{"count", 0}}), Contains("--count") && Contains("from 1"));
}

TEST_CASE("landscape: a choice that there is not is an error that names those there are") {
  using Catch::Contains;
  int options_with_choices = 0;
  for (const LandscapeExperiment& experiment : landscape_experiments()) {
    for (const LandscapeOption& option : experiment.options) {
      if (option.choices.empty()) continue;
      ++options_with_choices;
      CAPTURE(experiment.name, option.name);
      for (const std::string& choice : option.choices) CHECK(setting_from_text(option, choice) == choice);
      const std::string message = message_of<ConfigError>([&] { setting_from_text(option, "No_such"); });
      std::string names;
      for (const std::string& choice : option.choices) names += (names.empty() ? "" : ", ") + choice;
      CHECK_THAT(message, Contains("one of " + names + ", not 'No_such'"));
    }
  }
  CHECK(options_with_choices > 40);
}

TEST_CASE("landscape: names in members and files that nothing has are errors, not the next best thing") {
  const auto study = [](const std::string& experiment, const Json& given) {
    const LandscapeExperiment& of = landscape_experiment(experiment);
    return of.make(complete_settings(of.options, of.presets, "", true, given), "");
  };
  using Catch::Contains;
  const Json small = {{"data_set", "gaussian"}, {"samples", 12}, {"inputs", 2}, {"labels", "parity"}};
  Json trained = small, sizes = small;
  trained.update({{"hidden", {2}}, {"pretraining", 2}, {"start", "random"}, {"count", 1}});
  sizes.update({{"sizes", {6, 12}}, {"hidden", {2}}});
  const auto spectrum = study("spectrum", trained), efficiency = study("efficiency", sizes),
             trap = study("trap", Json::object());
  const auto message = [](const LandscapeStudy& of, Json member, const char* name) {
    member[name] = "Middle";
    return message_of<ConfigError>([&] { of.run(member); });
  };
  CHECK_THAT(message(*spectrum, spectrum->members().front(), "end"),
             Contains("unknown end 'Middle'; known: top, bottom"));
  CHECK_THAT(message(*spectrum, spectrum->members().front(), "part"),
             Contains("known: hessian, gauss-newton, residual"));
  CHECK_THAT(message(*efficiency, efficiency->members().front(), "method"),
             Contains("known: gd, batch, sgd"));
  CHECK_THAT(message(*trap, trap->members().front(), "method"), Contains("known: mse, mse_momentum"));
  Json network = describe_network({.widths = {2, 3, 1}}, {});
  CHECK_FALSE(parse_network(network, "here").slope_factors);
  network["slope_factors"] = "perhaps";
  CHECK_THAT(message_of<DataError>([&] { parse_network(network, "here"); }),
             Contains("here: ") && Contains("'perhaps'") && Contains("yes, no"));
}

TEST_CASE("problem: data sets and labels that are not known are errors that say what is") {
  const auto message = [](const Json& given) {
    const Json settings =
        complete_settings(problem_options("gaussian", 30, 5, "class"), {}, "", false, given);
    return message_of<ConfigError>([&] { make_problem(settings, ""); });
  };
  using Catch::Contains;
  for (const char* name : {"mnist", "Gaussian", "gaussian ", "pca", ""}) {
    CHECK_THAT(message({{"data_set", name}}),
               Contains("--data-set '" + std::string(name) + "'") &&
                   Contains("gaussian, circles, xor, csv:FILE, NAME-pca or NAME-half"));
  }
  CHECK_THAT(message({{"data_set", "table-pca"}}), Contains("'table' has no images") && Contains("csv:FILE"));
  for (const char* labels : {"given", "Random", "random:2", "class:3", "classes", "pair", "", ":"}) {
    CHECK_THAT(message({{"labels", labels}}),
               Contains("--labels '" + std::string(labels) + "'") &&
                   Contains("random, parity, class, classes:K, pair:A:B or projection:K"));
  }
  for (const char* labels : {"classes:", "classes:0", "classes:-1", "classes:3x", "classes:2:3"})
    CHECK_THAT(message({{"labels", labels}}), Contains("classes:K takes whole numbers from 1"));
  CHECK_THAT(message({{"labels", "projection:0"}}), Contains("projection:K takes whole numbers from 1"));
  CHECK_THAT(message({{"labels", "pair:1"}}), Contains("pair:A:B takes two classes"));
  CHECK_THAT(message({{"labels", "pair:1:-2"}}), Contains("pair:A:B takes whole numbers from 0"));
  CHECK_THAT(message({{"labels", "pair:2:2"}}), Contains("two different classes"));
  CHECK_THAT(message({{"labels", "pair:1:2"}}), Contains("is for images"));
}

TEST_CASE("problem: the thesis' points are shipped with the program") {
  Json settings = complete_settings(problem_options("circles", 2, 1, "given"), {}, "", false, Json::object());
  const Problem circles = make_problem(settings, "");
  CHECK(circles.samples.count == 100);
  CHECK(circles.samples.inputs == 2);
  double sum = 0;
  for (std::int64_t n = 0; n < 100; ++n) sum += circles.samples.target(n, 0);
  CHECK(sum == 44);
  CHECK(circles.samples.input(0, 0) == 0.02517635605679832);
}
