#include "experiment/report/run_curves.h"

#include <cmath>
#include <map>
#include <set>

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
  // What tells the rows apart is in their titles, and no more.
  std::vector<std::string> titles;
  for (const Panel& panel : figure.panels) {
    if (contains(panel.title, "Test")) titles.push_back(panel.title);
  }
  CHECK(titles == std::vector<std::string>{"Test accuracy, SGD, momentum 0.9",
                                           "Test accuracy, SGD, momentum 0", "Test accuracy, Adam"});
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

TEST_CASE("run curves: of many groups a panel draws eight, the best in turn from each loss, and says so") {
  const World world;
  for (int i = 0; i < 60; ++i) {
    const bool mse = i % 2 == 0;
    write_run(world.folder / std::to_string(i), {{"lr", 0.001 * (i + 1)}, {"loss", mse ? "mse" : "qmse"}},
              {mse ? 0.9 - 0.001 * i : 0.01 * i});
  }
  const Figure figure = world.figure({.measures = {"test_accuracy"}});
  REQUIRE(figure.panels.size() == 1);
  REQUIRE(figure.panels[0].curves.size() == kMaxCurves);
  CHECK(contains(figure.caption, "Panels show 8 of their groups of runs at most"));
  CHECK(contains(figure.caption, "8 of 60"));
  std::vector<std::string> labels;
  for (const Curve& curve : figure.panels[0].curves) labels.push_back(curve.label);
  CHECK(labels == std::vector<std::string>{"MSE, learning rate 0.001", "MSE, learning rate 0.003",
                                           "MSE, learning rate 0.005", "MSE, learning rate 0.007",
                                           "QMSE, learning rate 0.054", "QMSE, learning rate 0.056",
                                           "QMSE, learning rate 0.058", "QMSE, learning rate 0.06"});
}

TEST_CASE("run curves: colours follow the loss and dashes the rate, alike in all panels") {
  const World world;
  int run = 0;
  for (const char* model : {"cnn", "mlp"}) {
    for (const char* loss : {"qmse", "mse"}) {
      for (const double lr : {0.01, 0.1, 1.0}) {
        if (std::string(model) == "mlp" && lr == 0.01) continue;
        write_run(world.folder / std::to_string(++run), {{"model", model}, {"loss", loss}, {"lr", lr}},
                  {0.5});
      }
    }
  }
  const Figure figure = world.figure({.measures = {"test_accuracy"}});
  REQUIRE(figure.panels.size() == 2);  // by model
  CHECK(figure.panels[0].title == "Test accuracy, CNN");
  CHECK(figure.panels[1].title == "Test accuracy, MLP");
  std::map<std::string, std::pair<std::size_t, std::size_t>> styles;
  for (const Panel& panel : figure.panels) {
    for (const Curve& curve : panel.curves) {
      CAPTURE(curve.label);
      REQUIRE(curve.style);
      const std::pair style(curve.style->colour, curve.style->dash);
      CHECK(styles.emplace(curve.label, style).first->second == style);
    }
  }
  CHECK(styles.size() == 6);
  CHECK(styles["MSE, learning rate 0.1"].first == styles["MSE, learning rate 1"].first);
  CHECK(styles["MSE, learning rate 0.1"].first != styles["QMSE, learning rate 0.1"].first);
  CHECK(styles["MSE, learning rate 0.1"].second == styles["QMSE, learning rate 0.1"].second);
  CHECK(styles["MSE, learning rate 0.1"].second != styles["MSE, learning rate 1"].second);
}

TEST_CASE(
    "run curves: where all panels together have too many rates, colours still follow the loss in each") {
  const World world;
  int run = 0;
  for (const char* dataset : {"mnist", "fashion-mnist", "cifar10"}) {
    for (const char* loss : {"qmse", "mse"}) {
      for (int rate = 1; rate <= 4; ++rate) {  // other ones with each data set: twelve
        const double lr = rate * (std::string(dataset) == "mnist" ? 0.001 : *dataset == 'f' ? 0.01 : 0.1);
        write_run(world.folder / std::to_string(++run), {{"dataset", dataset}, {"loss", loss}, {"lr", lr}},
                  {0.5});
      }
    }
  }
  const Figure figure = world.figure({.measures = {"test_accuracy"}});
  REQUIRE(figure.panels.size() == 3);
  std::map<bool, std::size_t> colours;  // of MSE, and of QMSE
  for (const Panel& panel : figure.panels) {
    REQUIRE(panel.curves.size() == 8);
    std::map<std::string, std::size_t> dashes;  // of a rate
    std::set<std::size_t> distinct;
    for (const Curve& curve : panel.curves) {
      CAPTURE(panel.title, curve.label);
      REQUIRE(curve.style);
      const std::size_t colour = curve.style->colour, dash = curve.style->dash;
      CHECK(colours.emplace(curve.label.starts_with("MSE"), colour).first->second == colour);
      CHECK(dashes.emplace(curve.label.substr(curve.label.find(',')), dash).first->second == dash);
      distinct.insert(dash);
    }
    CHECK(distinct.size() == 4);
  }
  CHECK(colours[true] != colours[false]);
}

TEST_CASE("run curves: names have no more settings than tell the curves apart") {
  const World world;
  // Three settings differ, and the loss alone tells.
  write_run(world.folder / "a", {{"loss", "mse"}, {"lr", 0.1}, {"batch_size", 32}}, {0.5});
  write_run(world.folder / "b", {{"loss", "qmse"}, {"lr", 0.2}, {"batch_size", 64}}, {0.5});
  const Figure figure = world.figure();
  CHECK(figure.panels[0].curves[0].label == "MSE");
  CHECK(figure.panels[0].curves[1].label == "QMSE");
}

TEST_CASE("run curves: a run that began with another one's weights goes on behind that epoch") {
  const World world;
  const auto set_hashes = [&](const char* run, const std::vector<std::string>& hashes) {
    std::string lines;
    const RunRecord record = read_run(world.folder / run);
    for (Json line : record.epochs) {
      line["weights_sha256"] = hashes[line["epoch"].get<std::size_t>() - 1];
      lines += line.dump() + "\n";
    }
    write_bytes(world.folder / run / "metrics.jsonl", lines);
  };
  const auto begin_with = [&](const char* run, const std::string& hash) {
    write_bytes(world.folder / run / "environment.json", Json{{"init_from", {{"sha256", hash}}}}.dump());
  };
  write_run(world.folder / "first", {{"loss", "mse"}}, {0.1, 0.2, 0.3});
  set_hashes("first", {"aa", "bb", "cc"});
  write_run(world.folder / "second", {{"loss", "qmse"}, {"init_from", "/x"}}, {0.4, 0.5});
  set_hashes("second", {"dd", "ee"});
  begin_with("second", "bb");
  write_run(world.folder / "third", {{"loss", "qmse"}, {"init_from", "/y"}}, {0.6});
  begin_with("third", "ee");
  const auto x_of = [&](CurveAxis axis, const std::string& part) {
    const Figure figure = world.figure({.x = axis, .measures = {"test_accuracy"}});
    for (const Curve& curve : figure.panels[0].curves) {
      if (contains(curve.label, part)) return curve.x;
    }
    return std::vector<double>{};
  };
  CHECK(x_of(CurveAxis::epoch, "MSE") == std::vector<double>{1, 2, 3});
  CHECK(x_of(CurveAxis::epoch, "first weights epoch 2 of first") == std::vector<double>{3, 4});
  CHECK(x_of(CurveAxis::epoch, "first weights epoch 2 of second") == std::vector<double>{5});
  CHECK(x_of(CurveAxis::step, "epoch 2 of first") == std::vector<double>{30, 40});
  CHECK(x_of(CurveAxis::seconds, "epoch 2 of second") == std::vector<double>{10});
}

TEST_CASE("run curves: losses of different kinds on one axis are said to be") {
  const World world;
  for (const char* loss : {"mse", "qmse"}) {
    write_run(world.folder / loss, {{"loss", loss}}, {0.5});
    write_bytes(world.folder / loss / "metrics.jsonl",
                "{\"epoch\": 1, \"test_loss\": 0.5, \"test_accuracy\": 1}\n");
  }
  const Figure figure = world.figure({.measures = {"test_loss", "test_accuracy"}, .log_y = true});
  CHECK(contains(figure.panels[0].note, "losses of different kinds"));
  CHECK(figure.panels[1].note == "");
  CHECK(figure.panels[0].log_y);
}

TEST_CASE("run curves: steps that a run has logged are drawn in place of epochs") {
  const World world;
  write_run(world.folder / "run", {}, {0.5});
  RunRecord run = read_run(world.folder / "run");
  CHECK_THROWS_AS(take_steps(run), DataError);
  write_bytes(world.folder / "run/steps.jsonl",
              "{\"epoch\": 1, \"step\": 2, \"loss\": 0.75}\n{\"epoch\": 1, \"step\": 4, \"loss\": 0.5}\n");
  take_steps(run);
  const Figure figure = run_figure(group_runs({run}), {.x = CurveAxis::step, .measures = {"loss"}});
  CHECK(figure.panels[0].curves[0].x == std::vector<double>{2, 4});
  CHECK(figure.panels[0].curves[0].mean == std::vector<double>{0.75, 0.5});
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

TEST_CASE("run curves: a measure of every second epoch is a line through those") {
  const World world;
  for (const int seed : {1, 2}) {
    const std::filesystem::path run = world.folder / std::to_string(seed);
    write_run(run, {{"seed", seed}}, {0.5, 0.5, 0.5, 0.5});
    std::string lines;
    for (int epoch = 1; epoch <= 4; ++epoch) {
      Json line = {{"epoch", epoch}, {"step", 10 * epoch}, {"seconds", 2.0}, {"test_accuracy", 0.5}};
      if (epoch % 2 == 0) line["diagnosis_sharpness"] = epoch * seed;
      lines += line.dump() + "\n";
    }
    write_bytes(run / "metrics.jsonl", lines);
  }
  const Figure figure =
      world.figure({.x = CurveAxis::seconds, .measures = {"diagnosis_sharpness", "test_accuracy"}});
  const Curve& curve = figure.panels[0].curves[0];
  CHECK(curve.x == std::vector<double>{4, 8});
  CHECK(curve.mean == std::vector<double>{3, 6});
  CHECK(figure.panels[0].title == "Sharpness");
  CHECK(figure.panels[1].curves[0].x.size() == 4);
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
