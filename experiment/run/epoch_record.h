// The figures of one epoch: a line of metrics.jsonl.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"

namespace qmse {

// What --diagnose finds after an epoch, over a fixed set of training images (diagnosis.h). Gradients are those
// of batch_mean over the set; what is not finite is NaN.
struct Diagnosis {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double residual_norm = kNone;  // root of the mean of ||r_n||^2
  // Of ||r_n||^2: a tenth, half and nine tenths of the images are at or below, and the largest.
  double residual_sq_q10 = kNone, residual_sq_q50 = kNone, residual_sq_q90 = kNone, residual_sq_max = kNone;
  double mse_gradient = kNone, qmse_gradient = kNone;  // norms; QMSE's expected gradient
  double cosine = kNone;                               // of the two
  double noise_to_drift =
      kNone;  // root mean square of QMSE's noise in a batch of the run, over qmse_gradient
  double negative_share = kNone;  // of draws of v: a_n = ||r_n||^2 + <v_n, r_n> < 0
  double sharpness = kNone;     // largest eigenvalue of the Hessian of the run's loss, QMSE's in expectation
  std::int64_t dead_units = 0;  // hidden units (of convolutions, channels) without any gradient
  double seconds = 0;           // that all this took
};

// Accuracies are fractions; *_residual_sq is the mean of ||r||^2.
struct EpochRecord {
  std::int64_t epoch = 0;                               // 1 after the first
  std::int64_t step = 0;                                // steps since training began
  double lr = 0;                                        // of the epoch's last step
  double train_loss = 0, train_residual_sq = 0;         // added up during the epoch
  double test_loss = 0, test_residual_sq = 0;           // QMSE's loss is its expectation
  std::optional<double> train_accuracy, test_accuracy;  // where there are classes
  std::optional<double> train_r2, test_r2;              // of a table: 1 - sum ||r||^2 / sum ||y - mean y||^2
  double grad_norm = 0;                                 // root mean square over the epoch's steps
  double seconds = 0;                                   // of the epoch, evaluation included
  double images_per_second = 0;                         // of the training steps alone
  std::int64_t null_steps = 0;            // whose gradient was exactly zero although a residual was not
  std::optional<std::int64_t> v_redraws;  // --v-resample: draws of v made again
  std::optional<double> train_accuracy_full, train_r2_full;  // --evaluate-train
  std::optional<double> validation_loss, validation_residual_sq, validation_accuracy,
      validation_r2;                   // --validation
  std::optional<Diagnosis> diagnosis;  // --diagnose
  std::string weights_sha256;          // after the epoch (tensor_digest.h)
};
Json to_json(const EpochRecord& record);

// What a figure is, beside its number.
enum class MetricKind {
  number,
  accuracy,  // a fraction, shown to people in per cent
  r2,        // 1 at best, as an accuracy, but no share
  time,      // depends on the machine's speed: no result
};

// A key of metrics.jsonl: everything that writes, draws or compares the records reads this table.
struct Metric {
  std::string_view key;
  std::string_view label;  // for people: "training accuracy"
  MetricKind kind = MetricKind::number;
  bool during_epoch = false;               // counted while the weights change
  Json (*value)(const EpochRecord&) = {};  // null: the record has none
};
std::span<const Metric> metrics();
// Null for a key of none: a file of another version may have it.
const Metric* find_metric(std::string_view key);
// Whether more of it is better: of accuracies and R²; else less is.
bool higher_is_better(const Metric& metric);

// `line` without the figures of kind time.
Json without_times(Json line);

// The number under `key`; NaN where there is none, or null, as JSON has no NaN.
double number_of(const Json& line, std::string_view key);

}  // namespace qmse
