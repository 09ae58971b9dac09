#include "experiment/report/run_curves.h"

#include <cmath>

#include "base/error.h"
#include "tests/support/error_message.h"
#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

namespace {

struct World {
  std::vector<RunGroup> groups() const { return group_runs(find_runs(folder.path()).runs); }
  Figure figure(const CurveRequest& request = {}) const { return run_figure(groups(), request); }

  TempDirectory folder;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("run curves: seeds are one curve, their mean with a band of their deviation") {
  const World world;
  write_run(world.folder / "1", {{"seed", 1}}, {0.5, 0.75});
  write_run(world.folder / "2", {{"seed", 2}}, {0.5, 0.25});
  write_run(world.folder / "3", {{"seed", 3}}, {0.8, 0.5});
  const Figure figure = world.figure();
  REQUIRE(figure.panels.size() == 2);
  CHECK(figure.columns == 2);
  CHECK(figure.panels[0].title == "Training accuracy");
  CHECK(figure.panels[1].title == "Test accuracy");
  CHECK(figure.panels[1].y_label == "accuracy (%)");
  REQUIRE(figure.panels[1].curves.size() == 1);
  const Curve& curve = figure.panels[1].curves[0];
  CHECK(curve.label == "QMSE");
  CHECK(curve.x == std::vector<double>{1, 2});
  REQUIRE(curve.mean.size() == 2);
  CHECK(curve.mean[0] == Approx(60));
  CHECK(curve.low[0] == Approx(60 - std::sqrt(300.0)));  // 50, 50, 80: (100 + 100 + 400) / 2
  CHECK(curve.high[0] == Approx(60 + std::sqrt(300.0)));
  CHECK(curve.mean[1] == 50);
  CHECK(curve.low[1] == 25);  // 75, 25, 50
  CHECK(contains(figure.caption, "mean over 3 seeds"));
  CHECK(contains(figure.caption, "bands: their standard deviation"));
  CHECK(contains(figure.caption, "during the epoch"));
  CHECK_FALSE(figure.panels[0].inset);
}

TEST_CASE("run curves: momenta have rows of panels, other differences name the curves") {
  const World world;
  int run = 0;
  for (const double momentum : {0.0, 0.9}) {
    for (const char* loss : {"qmse", "mse"}) {
      write_run(world.folder / std::to_string(++run),
                {{"momentum", momentum}, {"loss", loss}, {"lr", momentum > 0 ? 0.01 : 0.1}}, {0.5});
    }
  }
  write_run(world.folder / "adam", {{"optimizer", "adam"}, {"lr", 0.001}}, {0.5});
  const Figure figure = world.figure();
  REQUIRE(figure.panels.size() == 6);
  // Learning rates that differ between the rows only are in their titles.
  std::vector<std::string> titles;
  for (const Panel& panel : figure.panels) {
    if (contains(panel.title, "Test")) titles.push_back(panel.title);
  }
  CHECK(titles == std::vector<std::string>{"Test accuracy, SGD, learning rate 0.01, momentum 0.9",
                                           "Test accuracy, SGD, learning rate 0.1, momentum 0",
                                           "Test accuracy, Adam, learning rate 0.001"});
  for (const std::size_t panel : {0u, 1u, 2u, 3u}) {
    REQUIRE(figure.panels[panel].curves.size() == 2);
    CHECK(figure.panels[panel].curves[0].label == "MSE");
    CHECK(figure.panels[panel].curves[1].label == "QMSE");
  }
  CHECK(figure.panels[5].curves[0].label == "QMSE");
  CHECK(figure.panels[5].curves[0].low.empty());
  CHECK(contains(figure.caption, "One seed"));
  CHECK(figure.title == "Fashion-MNIST, CNN");
}

TEST_CASE("run curves: accuracies of 100 epochs and more have the paper's inset") {
  const World world;
  write_run(world.folder / "1", {{"seed", 1}}, std::vector<double>(100, 0.5));
  Figure figure = world.figure({.measures = {"test_accuracy", "test_residual_sq"}});
  REQUIRE(figure.panels[0].inset);
  CHECK(figure.panels[0].inset->x_low == 80);
  CHECK(figure.panels[0].inset->x_high == 100);
  CHECK_FALSE(figure.panels[1].inset);
  CHECK_FALSE(world.figure({.x = CurveAxis::step}).panels[0].inset);
  write_run(world.folder / "2", {{"loss", "mse"}}, std::vector<double>(99, 0.5));
  CHECK_FALSE(world.figure().panels[0].inset);
}

TEST_CASE("run curves: of more groups than there are styles the best of each row are drawn, and it is said") {
  const World world;
  for (int i = 0; i < 60; ++i) {
    const bool momentum = i % 2 == 0;
    write_run(world.folder / std::to_string(i), {{"lr", 0.001 * (i + 1)}, {"momentum", momentum ? 0.9 : 0.0}},
              {momentum ? 0.9 - 0.001 * i : 0.01 * i});
  }
  const Figure figure = world.figure({.measures = {"test_accuracy"}});
  REQUIRE(figure.panels.size() == 2);
  std::size_t curves = 0;
  for (const Panel& panel : figure.panels) {
    curves += panel.curves.size();
    CHECK(panel.curves.size() == 14);
  }
  CHECK(curves == kMaxStyles);
  CHECK(contains(figure.caption, "Of 60 groups of runs the 28 with the highest test accuracy"));
  // The worst of the row whose accuracies are all lower is not there, its best is.
  const auto has_curve = [&](const std::string& label) {
    return std::any_of(figure.panels.begin(), figure.panels.end(), [&](const Panel& panel) {
      return std::any_of(panel.curves.begin(), panel.curves.end(),
                         [&](const Curve& curve) { return curve.label == label; });
    });
  };
  CHECK(has_curve("learning rate 0.06"));
  CHECK(has_curve("learning rate 0.001"));
  CHECK_FALSE(has_curve("learning rate 0.002"));
  CHECK_FALSE(has_curve("learning rate 0.059"));
}

TEST_CASE("run curves: runs on different images have panels of their own") {
  const World world;
  for (const char* hash : {"aa", "bb"}) {
    const std::filesystem::path run = world.folder / hash;
    write_run(run, {{"dataset", "folder"}}, {0.5});
    write_bytes(run / "environment.json",
                Json{{"data", {{"name", "folder"}, {"sha256", std::string(hash) + "00"}}}}.dump());
  }
  const Figure figure = world.figure({.measures = {"test_accuracy"}});
  REQUIRE(figure.panels.size() == 2);
  CHECK(figure.panels[0].title == "Test accuracy, data aa00");
  CHECK(figure.panels[1].title == "Test accuracy, data bb00");
}

TEST_CASE("run curves: over steps and over added seconds") {
  const World world;
  write_run(world.folder / "1", {}, {0.5, 0.5, 0.5});
  CHECK(world.figure({.x = CurveAxis::step}).panels[0].curves[0].x == std::vector<double>{10, 20, 30});
  CHECK(world.figure({.x = CurveAxis::seconds}).panels[0].curves[0].x == std::vector<double>{2, 4, 6});
}

TEST_CASE("run curves: null is a gap, also where other seeds have a value") {
  const World world;
  write_run(world.folder / "1", {{"seed", 1}}, {0.5, 0.5, 0.5});
  write_run(world.folder / "2", {{"seed", 2}}, {0.25, NAN, 0.25});
  const Figure figure = world.figure({.measures = {"test_accuracy"}});
  const Curve& curve = figure.panels[0].curves[0];
  REQUIRE(curve.mean.size() == 3);
  CHECK(curve.mean[0] == 37.5);
  CHECK(std::isnan(curve.mean[1]));
  CHECK(curve.mean[2] == 37.5);
  CHECK(curve.strands.empty());
  CHECK(figure.panels[0].note == "");
}

TEST_CASE(
    "run curves: runs that diverged or stopped are drawn up to where they end, counted, and in no mean") {
  const World world;
  const auto ended = [&](const std::string& name, const Json& changes, const std::vector<double>& values,
                         RunEnd end) {
    Json config = changes;
    config["epochs"] = 3;
    write_run(world.folder / name, config, values, end == RunEnd::finished);
    write_outcome(world.folder / name, {.end = end, .epoch = 3, .step = 25, .layer = "fc1", .reason = "x"});
  };
  ended("1", {{"seed", 1}}, {0.5, 0.5, 0.75}, RunEnd::finished);
  ended("2", {{"seed", 2}}, {0.125, 0.25}, RunEnd::diverged);
  ended("3", {{"seed", 3}}, {}, RunEnd::diverged);
  ended("4", {{"seed", 4}}, {0.625}, RunEnd::stopped);
  ended("m", {{"loss", "mse"}}, {0.0625, 0.25}, RunEnd::diverged);
  const Figure figure = world.figure({.measures = {"test_accuracy"}});
  REQUIRE(figure.panels.size() == 1);
  const std::vector<Curve>& curves = figure.panels[0].curves;
  REQUIRE(curves.size() == 2);
  CHECK(curves[0].label == "MSE");
  CHECK(curves[0].x.empty());
  REQUIRE(curves[0].strands.size() == 1);
  CHECK(curves[0].strands[0].y == std::vector<double>{6.25, 25});
  CHECK(curves[1].mean == std::vector<double>{50, 50, 75});  // the survivor's, and it is said
  CHECK(curves[1].low.empty());
  REQUIRE(curves[1].strands.size() == 2);
  CHECK(curves[1].strands[0].x == std::vector<double>{1, 2});
  CHECK(curves[1].strands[0].y == std::vector<double>{12.5, 25});
  CHECK(curves[1].strands[1].y == std::vector<double>{62.5});
  CHECK(figure.panels[0].note == "MSE: 1 of 1 diverged; QMSE: 2 of 4 diverged, 1 of 4 stopped");
  CHECK(contains(figure.caption, "Thin lines with a cross"));
  CHECK(contains(figure.caption, "One seed for each curve"));
}

TEST_CASE("run curves: of runs that are still going on the longest are the mean") {
  const World world;
  write_run(world.folder / "1", {{"seed", 1}, {"epochs", 5}}, {0.5, 0.5}, false);
  write_run(world.folder / "2", {{"seed", 2}, {"epochs", 5}}, {0.25, 0.25}, false);
  write_run(world.folder / "3", {{"seed", 3}, {"epochs", 5}}, {0.75}, false);
  const Figure figure = world.figure({.measures = {"test_accuracy"}});
  CHECK(figure.panels[0].curves[0].mean == std::vector<double>{37.5, 37.5});
  CHECK(figure.panels[0].curves[0].strands.size() == 1);
  CHECK(figure.panels[0].note == "QMSE: 3 of 3 not finished");
}

TEST_CASE("run curves: the training accuracy after the epoch is taken where all runs have it") {
  const World world;
  write_run(world.folder / "1", {{"seed", 1}}, {0.5});
  write_bytes(world.folder / "1/metrics.jsonl",
              R"({"epoch":1,"train_accuracy":0.5,"train_accuracy_full":0.75,"test_accuracy":0.5})"
              "\n");
  CHECK(train_accuracy_measure(world.groups()) == "train_accuracy_full");
  CHECK(world.figure().panels[0].curves[0].mean[0] == 75);
  CHECK(contains(world.figure().caption, "after the epoch"));
  write_run(world.folder / "2", {{"seed", 2}}, {0.5});
  CHECK(train_accuracy_measure(world.groups()) == "train_accuracy");
}

TEST_CASE("run curves: an unknown measure is an error that names those there are") {
  const World world;
  write_run(world.folder / "1", {}, {0.5});
  CHECK(missing(message_of<ConfigError>([&] { world.figure({.measures = {"accurracy"}}); }),
                {"'accurracy'", "test_accuracy, test_residual_sq"}) == "");
  write_bytes(world.folder / "1/metrics.jsonl", "");
  CHECK(missing(message_of<DataError>([&] { world.figure(); }), {"no epoch"}) == "");
}
