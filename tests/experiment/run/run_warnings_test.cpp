#include "experiment/run/run_warnings.h"

#include <cmath>
#include <limits>
#include <tuple>

#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// 1000 images of 10 classes, 100 of each.
ImageDataset images() {
  ImageDataset all;
  all.count = 1000;
  for (std::int32_t i = 0; i < 1000; ++i) all.labels.push_back(i % 10);
  for (int i = 0; i < 10; ++i) all.class_names.push_back(std::to_string(i));
  return all;
}

EpochRecord epoch(std::int64_t number, double loss, double accuracy) {
  EpochRecord record;
  record.epoch = number;
  record.train_loss = loss;
  record.train_accuracy = record.test_accuracy = accuracy;
  return record;
}

std::string after(RunWarnings& warnings, const EpochRecord& record, bool last = false) {
  std::string all;
  for (const std::string& text : warnings.after(record, last)) all += (all.empty() ? "" : "; ") + text;
  return all;
}

RunWarnings warnings_of(const std::string& loss, Reduction reduction = Reduction::batch_mean) {
  TrainConfig config;
  config.loss = loss;
  config.loss_options.reduction = reduction;
  return RunWarnings(config, images(), images());
}

}  // namespace

TEST_CASE("run warnings: a training that goes well has none") {
  RunWarnings warnings = warnings_of("mse");
  CHECK(after(warnings, epoch(1, 0.3, 0.5)) == "");
  CHECK(after(warnings, epoch(2, 0.001, 0.9)) == "");
  CHECK(after(warnings, epoch(3, 0.04, 0.9), true) == "");  // ten times more, and still small
}

TEST_CASE("run warnings: a loss ten times that of outputs of zero, whatever the loss") {
  // ||r||^2 of a one-hot target and zeros is 1; E of QMSE 1/2 (1 + 1/c); cross-entropy log(c).
  for (const auto& [loss, reduction, zero] : {std::tuple{"mse", Reduction::batch_mean, 0.5},
                                              {"mse", Reduction::element_mean, 0.1},
                                              {"qmse", Reduction::batch_mean, 0.55},
                                              {"qmse_expected", Reduction::element_mean, 0.11},
                                              {"cross_entropy", Reduction::batch_mean, std::log(10.0)}}) {
    CAPTURE(loss, reduction);
    RunWarnings warnings = warnings_of(loss, reduction);
    CHECK(after(warnings, epoch(1, 9.9 * zero, 0.5)) == "");
    RunWarnings again = warnings_of(loss, reduction);
    CHECK(missing(after(again, epoch(1, 10.1 * zero, 0.5)), {"the loss of epoch 1", "--lr"}) == "");
  }
}

TEST_CASE("run warnings: a loss that was small and is so no longer") {
  RunWarnings warnings = warnings_of("mse");
  CHECK(after(warnings, epoch(1, 0.1, 0.8)) == "");
  CHECK(after(warnings, epoch(2, 0.01, 0.98)) == "");
  CHECK(missing(after(warnings, epoch(3, 0.2, 0.35)), {"from 0.01 in epoch 2", "0.2 in epoch 3"}) == "");
  CHECK(after(warnings, epoch(4, std::numeric_limits<double>::quiet_NaN(), 0.5)) ==
        "");  // has its own notice
}

TEST_CASE("run warnings: accuracy at chance is said when it begins, and at the end") {
  RunWarnings warnings = warnings_of("mse");
  CHECK(missing(after(warnings, epoch(1, 0.45, 0.1)), {"epoch 1", "guessing", "10.00 %"}) == "");
  CHECK(after(warnings, epoch(2, 0.45, 0.11)) == "");
  CHECK(after(warnings, epoch(3, 0.3, 0.4)) == "");
  CHECK(missing(after(warnings, epoch(4, 0.45, 0.1)), {"epoch 4"}) == "");
  CHECK(missing(after(warnings, epoch(5, 0.45, 0.1), true), {"epoch 5", "guessing"}) == "");
  // Better than a lucky guess: 0.1 + 3 sqrt(0.09 / 1000) is 0.128.
  RunWarnings other = warnings_of("mse");
  CHECK(after(other, epoch(1, 0.45, 0.13), true) == "");
}

TEST_CASE("run warnings: a run whose loss explodes says so") {
  const TinyData data;
  const TempDirectory folder;
  Json given = data.settings(folder / "run", "mlp");
  given.update({{"optimizer", "adam"}, {"lr", 10.0}, {"loss", "mse"}, {"epochs", 1}});
  std::string notices;
  train(given, {.notice = [&](const std::string& text) { notices += text + "; "; }});
  CHECK(missing(notices, {"the loss of epoch 1 is"}) == "");
}
