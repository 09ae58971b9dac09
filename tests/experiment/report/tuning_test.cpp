// Which setting is best, and does one loss beat another at its best: on made-up runs whose answers are known.
#include "experiment/report/tuning_report.h"

#include <cmath>
#include <set>

#include "base/error.h"
#include "tests/support/error_message.h"
#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Runs whose last epoch has these accuracies; negative: it has no validation.
class Runs {
 public:
  void add(const Json& changes, double validation, double test, RunEnd end = RunEnd::finished) {
    const std::filesystem::path run = folder_ / ("run-" + std::to_string(count_++));
    write_run(run, changes, {0.1, test}, end == RunEnd::finished);
    if (validation >= 0) {
      Json config = Json::parse(read_bytes(run / "config.json"));
      config["validation"] = 0.1;
      write_bytes(run / "config.json", config.dump());
      std::string lines;
      for (const double value : {0.9 - validation, validation}) {
        lines += Json{{"epoch", lines.empty() ? 1 : 2},
                      {"validation_accuracy", value},
                      {"test_accuracy", lines.empty() ? 0.1 : test},
                      {"test_loss", 1 - test},
                      {"validation_loss", 1 - value}}
                     .dump() +
                 "\n";
      }
      write_bytes(run / "metrics.jsonl", lines);
    }
    write_outcome(run, {.end = end, .epoch = 2, .step = 20});
  }
  std::vector<RunGroup> groups() const { return group_runs(find_runs(folder_.path()).runs); }

 private:
  TempDirectory folder_;
  int count_ = 0;
};

Json setting(const char* loss, double lr, int seed) {
  Json json = {{"loss", loss}, {"lr", lr}, {"seed", seed}};
  if (std::string(loss) == "qmse") json["v_scope"] = "per_sample";
  return json;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("tuning: the setting is chosen by validation, test reports it, pairs share their seeds") {
  Runs runs;
  // By validation MSE is best at 0.1, by test at 1; QMSE at 0.01.
  const double mse_test[] = {0.80, 0.82, 0.81}, qmse_test[] = {0.85, 0.84, 0.86};
  for (const int seed : {1, 2, 3}) {
    runs.add(setting("mse", 0.1, seed), 0.90, mse_test[seed - 1]);
    runs.add(setting("mse", 1, seed), 0.50, 0.99);
    runs.add(setting("qmse", 0.01, seed), 0.70, qmse_test[seed - 1]);
    runs.add(setting("qmse", 0.1, seed), 0.60, 0.95);
  }
  const Tuning tuning = tune(runs.groups(), {});
  CHECK(tuning.choose == "validation_accuracy");
  CHECK(tuning.best_over == std::vector<std::string>{"lr"});
  REQUIRE(tuning.parts.size() == 1);
  REQUIRE(tuning.parts[0].rows.size() == 2);
  const TunedRow& mse = tuning.parts[0].rows[0];
  const TunedRow& qmse = tuning.parts[0].rows[1];
  CHECK(mse.settings["loss"] == "mse");
  CHECK_FALSE(mse.difference);
  CHECK(mse.tried.front().settings["lr"] == 0.1);
  CHECK(qmse.tried.front().settings["lr"] == 0.01);
  REQUIRE(qmse.difference);
  REQUIRE(qmse.difference->pairs.size() == 3);
  // 0.05, 0.02, 0.05: mean 0.04, deviation sqrt(0.0003), t of two degrees 4.30265.
  CHECK(mean(qmse.difference->pairs) == Approx(0.04).epsilon(1e-9));
  CHECK(qmse.difference->interval->low == Approx(0.04 - 4.30265 * std::sqrt(0.0003 / 3)).epsilon(1e-5));
  CHECK(qmse.difference->interval->high == Approx(0.04 + 4.30265 * std::sqrt(0.0003 / 3)).epsilon(1e-5));
  CHECK(qmse.difference->p_corrected == qmse.difference->p);

  const std::string text = table_text(tuning_table(tuning), TableFormat::text);
  CAPTURE(text);
  CHECK(has(text, "learning rate 0.01"));
  CHECK(has(text, "85.00 ± 1.00"));
  CHECK(has(text, "81.00 ± 1.00"));
  CHECK(has(text, "+4.00 (−0.30 to +8.30)"));
  // 0.85, 0.84, 0.86: deviation 0.01, t of two degrees 4.30265.
  CHECK(has(text, "82.52 to 87.48"));
  CHECK_FALSE(has(text, "99.00"));
  CHECK(tuning_notes(tuning)[0].find("test accuracy had no part in the choice") != std::string::npos);

  // Numbers for programs: each setting, the best of each row with the difference.
  const ReportTable numbers = tuning_numbers(tuning);
  CHECK(numbers.rows.size() == 4);
  CHECK(numbers.header.front() == "loss");
}

TEST_CASE("tuning: chosen by the test images themselves it says so, and so at the edge of what was tried") {
  Runs runs;
  for (const double lr : {0.01, 0.1, 1.0}) {
    runs.add(setting("mse", lr, 1), -1, 0.5 + 0.1 * lr);
    runs.add(setting("qmse", lr, 1), -1, lr == 0.1 ? 0.9 : 0.2);
  }
  const Tuning tuning = tune(runs.groups(), {});
  CHECK(tuning.choose == "test_accuracy");
  std::string all;
  for (const std::string& warning : tuning_warnings(tuning)) all += warning + "\n";
  CAPTURE(all);
  CHECK(has(all, "chosen by test accuracy itself, which makes it too good"));
  CHECK(has(all, "MSE: its best learning rate 1 is the largest tried"));
  CHECK_FALSE(has(all, "QMSE: its best"));
  CHECK(has(table_text(tuning_table(tuning), TableFormat::text), "(one pair: no interval)"));
}

TEST_CASE("tuning: a setting of which a run diverged comes after those of which all finished") {
  Runs runs;
  for (const int seed : {1, 2}) {
    runs.add(setting("mse", 0.1, seed), 0.6, 0.6);
    runs.add(setting("qmse", 0.1, seed), 0.6, 0.6);
    runs.add(setting("qmse", 1, seed), 0.9, 0.9, seed == 2 ? RunEnd::diverged : RunEnd::finished);
    runs.add(setting("cross_entropy", 1, seed), 0.9, 0.9, seed == 2 ? RunEnd::diverged : RunEnd::finished);
  }
  const Tuning tuning = tune(runs.groups(), {});
  const std::vector<TunedRow>& rows = tuning.parts[0].rows;
  REQUIRE(rows.size() == 3);
  CHECK(rows[1].tried.front().settings["lr"] == 0.1);
  CHECK(rows[2].tried.front().missing == "1 of 2 diverged");  // there is no other
  CHECK(has(table_text(tuning_table(tuning), TableFormat::text), "1 of 2 diverged"));
  CHECK(rows[2].difference->pairs.size() == 1);
}

TEST_CASE(
    "tuning: what halving has ended is counted as tried and said, and an interval below zero has a minus "
    "sign") {
  Runs runs;
  for (const int seed : {1, 2}) {
    runs.add(setting("mse", 0.1, seed), 0.6, seed == 1 ? 0.1 : 0.9);
    runs.add(setting("mse", 1, seed), 0.9, 0.9, RunEnd::eliminated);
  }
  const Tuning tuning = tune(runs.groups(), {});
  const TunedRow& row = tuning.parts.at(0).rows.at(0);
  CHECK(row.tried.at(0).settings["lr"] == 0.1);
  CHECK_FALSE(row.tried[0].eliminated);
  CHECK(row.tried.at(1).eliminated);
  CHECK(row.tried[1].missing == "2 of 2 eliminated");
  bool said = false;
  for (const std::string& note : tuning_notes(tuning))
    said = said || has(note, "Of 2 settings 1 was eliminated");
  CHECK(said);
  const std::string table = table_text(tuning_table(tuning), TableFormat::text);
  CHECK(has(table, "−458.25 to 558.25"));  // 50 ± 12.706 * 40
  CHECK_FALSE(has(table, "-"));
}

TEST_CASE("tuning: data sets and models are compared within themselves, options go with their choice") {
  Runs runs;
  for (const char* dataset : {"mnist", "fashion-mnist"}) {
    for (const char* model : {"cnn", "mlp"}) {
      for (const char* loss : {"mse", "qmse"}) {
        Json changes = setting(loss, 0.1, 1);
        changes["dataset"] = dataset;
        changes["model"] = model;
        runs.add(changes, 0.5, 0.5);
        changes["optimizer"] = "adam";
        changes["lr"] = 0.001;
        changes.erase("momentum");
        runs.add(changes, 0.6, 0.6);
        if (std::string(loss) == "qmse") {
          changes["v_scope"] = "per_batch";
          runs.add(changes, 0.7, 0.7);
        }
      }
    }
  }
  const Tuning tuning = tune(runs.groups(), {});
  CHECK(tuning.around == std::vector<std::string>{"dataset", "model"});
  CHECK(tuning.by == std::vector<std::string>{"loss", "v_scope"});
  CHECK(std::set<std::string>(tuning.best_over.begin(), tuning.best_over.end()) ==
        std::set<std::string>{"optimizer", "lr"});
  REQUIRE(tuning.parts.size() == 4);
  for (const TunedPart& part : tuning.parts) {
    REQUIRE(part.rows.size() == 3);  // MSE, QMSE by sample and by batch
    CHECK(part.rows[0].tried.front().settings["optimizer"] == "adam");
  }
  // Eight comparisons.
  CHECK(has(tuning_notes(tuning)[1], "corrected for 8 comparisons by Holm's method"));
}

TEST_CASE("tuning: another measure, loss for one, is better where it is lower") {
  Runs runs;
  for (const double lr : {0.01, 0.1}) {
    runs.add(setting("mse", lr, 1), lr == 0.1 ? 0.8 : 0.3, 0.5);
    runs.add(setting("qmse", lr, 1), lr == 0.1 ? 0.2 : 0.4, 0.6);
  }
  TuningRequest request;
  request.metric = "test_loss";
  Tuning tuning = tune(runs.groups(), request);
  CHECK(tuning.choose == "validation_loss");
  CHECK(tuning.parts[0].rows[0].tried.front().settings["lr"] == 0.1);
  CHECK(tuning.parts[0].rows[1].tried.front().settings["lr"] == 0.01);
  // The epoch with the best validation: of MSE at 0.01 the first, whose accuracy is 0.9 - 0.3.
  request.metric = "test_accuracy";
  request.best_epoch = true;
  tuning = tune(runs.groups(), request);
  CHECK(tuning.parts[0].rows[0].tried.back().runs[0].choose == Approx(0.6));
  CHECK(tuning.parts[0].rows[0].tried.back().runs[0].metric == Approx(0.1));
}

TEST_CASE("tuning: what cannot be compared is a usage error that says what can") {
  Runs runs;
  for (const double lr : {0.01, 0.1}) runs.add(setting("mse", lr, 1), -1, 0.5);
  const auto message = [&](const TuningRequest& request) {
    return message_of<ConfigError>([&] { tune(runs.groups(), request); });
  };
  CHECK(has(message({.by = {"los"}}), "--by: unknown setting 'los' (did you mean 'loss'?)"));
  CHECK(has(message({.by = {"seed"}}), "what means are over"));
  CHECK(has(message({.best_over = std::vector<std::string>{"loss"}}), "both name 'loss'"));
  CHECK(has(message({.metric = "accuracy"}), "no run has 'accuracy'; they have epoch"));
  CHECK(has(message({.choose = "validation_accuracy"}), "--choose-by: no run has"));
  CHECK(has(message({.against = "qmse"}), "--against: no run has loss 'qmse'; they have mse"));
}

TEST_CASE(
    "tuning: a map of two tuned settings is shaded from the worst to the best, and has the best of others") {
  Runs runs;
  for (const int seed : {1, 2}) {
    for (const double lr : {0.1, 0.01}) {
      for (const double momentum : {0.0, 0.9}) {
        for (const int batch : {16, 64}) {
          Json changes = setting("mse", lr, seed);
          changes["momentum"] = momentum;
          changes["batch_size"] = batch;
          const bool diverges = lr == 0.1 && momentum == 0.9;
          runs.add(changes, 0.5 + lr + momentum / 10 - batch / 1000.0, 0.5,
                   diverges ? RunEnd::diverged : RunEnd::finished);
        }
      }
    }
  }
  const std::vector<ReportTable> maps = tuning_maps(tune(runs.groups(), {}));
  REQUIRE(maps.size() == 1);
  const ReportTable& map = maps.front();
  CHECK(has(map.caption, "MSE: validation accuracy, %"));
  CHECK(map.header == std::vector<std::string>{"momentum (down), learning rate (across)", "0.01", "0.1"});
  REQUIRE(map.rows.size() == 2);
  CHECK(has(map.rows[0][1], "49.40 ± 0.00"));  // of batches of 16
  CHECK(has(map.rows[0][2], "58.40 ± 0.00"));
  CHECK(has(map.rows[1][1], "58.40 ± 0.00"));
  CHECK(has(map.rows[1][2], "diverged"));
  CHECK(std::isnan(map.shades[0][0]));
  CHECK(map.shades[0][1] == Approx(0));
  CHECK(map.shades[0][2] == Approx(1));
  CHECK(map.shades[1][1] == Approx(1));
  CHECK(std::isnan(map.shades[1][2]));
  CHECK(tuning_maps(tune(runs.groups(), {.best_over = std::vector<std::string>{"lr"}})).empty());
}

TEST_CASE("tuning: the picture has the measure over the tuned number, and the best of the other settings") {
  Runs runs;
  for (const int seed : {1, 2}) {
    for (const double lr : {0.001, 0.01, 0.1}) {
      for (const double momentum : {0.0, 0.9}) {
        Json changes = setting("mse", lr, seed);
        changes["momentum"] = momentum;
        runs.add(changes, 0.5 + momentum / 10 + lr, 0.4 + momentum / 10 + lr + 0.02 * seed);
      }
    }
  }
  const Figure figure = tuning_figure(tune(runs.groups(), {}));
  REQUIRE(figure.panels.size() == 2);  // validation and test
  const Panel& panel = figure.panels[1];
  CHECK(panel.log_x);
  CHECK(panel.x_label == "learning rate");
  REQUIRE(panel.curves.size() == 1);
  CHECK(panel.curves[0].x == std::vector<double>{0.001, 0.01, 0.1});
  CHECK(panel.curves[0].mean[1] == Approx(100 * (0.4 + 0.09 + 0.01 + 0.03)));
  CHECK(panel.curves[0].high[1] - panel.curves[0].mean[1] == Approx(100 * 0.02 / std::sqrt(2.0)));
  CHECK(tuning_figure(tune(runs.groups(), {.best_over = std::vector<std::string>{}})).panels.empty());
  // Where every line would be one point there is no panel.
  Runs few;
  few.add(setting("mse", 0.1, 1), 0.5, 0.5);
  few.add(setting("mse", 1, 1), 0.5, 0.5, RunEnd::diverged);
  few.add(setting("qmse", 0.01, 1), 0.5, 0.5);
  CHECK(tuning_figure(tune(few.groups(), {})).panels.empty());
}
