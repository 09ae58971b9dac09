#include "experiment/run/epoch_record.h"

#include <limits>

namespace qmse {
namespace {

template <auto member>
Json value(const EpochRecord& record) {
  return record.*member;
}

template <auto member>
Json optional_value(const EpochRecord& record) {
  return record.*member ? Json(*(record.*member)) : Json();
}

template <auto member>
Json diagnosed(const EpochRecord& record) {
  return record.diagnosis ? Json((*record.diagnosis).*member) : Json();
}

using R = EpochRecord;
using D = Diagnosis;
constexpr bool kDuring = true;

// clang-format off
constexpr Metric kMetrics[] = {
    {"epoch", "epoch", MetricKind::number, false, value<&R::epoch>},
    {"step", "step", MetricKind::number, false, value<&R::step>},
    {"lr", "learning rate", MetricKind::number, false, value<&R::lr>},
    {"train_loss", "training loss", MetricKind::number, kDuring, value<&R::train_loss>},
    {"train_residual_sq", "training mean of ‖r‖²", MetricKind::number, kDuring, value<&R::train_residual_sq>},
    {"train_accuracy", "training accuracy", MetricKind::accuracy, kDuring, optional_value<&R::train_accuracy>},
    {"train_r2", "training R²", MetricKind::r2, kDuring, optional_value<&R::train_r2>},
    {"test_loss", "test loss", MetricKind::number, false, value<&R::test_loss>},
    {"test_residual_sq", "test mean of ‖r‖²", MetricKind::number, false, value<&R::test_residual_sq>},
    {"test_accuracy", "test accuracy", MetricKind::accuracy, false, optional_value<&R::test_accuracy>},
    {"test_r2", "test R²", MetricKind::r2, false, optional_value<&R::test_r2>},
    {"validation_loss", "validation loss", MetricKind::number, false, optional_value<&R::validation_loss>},
    {"validation_residual_sq", "validation mean of ‖r‖²", MetricKind::number, false, optional_value<&R::validation_residual_sq>},
    {"validation_accuracy", "validation accuracy", MetricKind::accuracy, false, optional_value<&R::validation_accuracy>},
    {"validation_r2", "validation R²", MetricKind::r2, false, optional_value<&R::validation_r2>},
    {"grad_norm", "norm of the gradient", MetricKind::number, false, value<&R::grad_norm>},
    {"null_steps", "steps with gradient 0 and ‖r‖ > 0", MetricKind::number, kDuring, value<&R::null_steps>},
    {"v_redraws", "draws of v made again", MetricKind::number, kDuring, optional_value<&R::v_redraws>},
    {"seconds", "seconds", MetricKind::time, false, value<&R::seconds>},
    {"images_per_second", "images per second", MetricKind::time, false, value<&R::images_per_second>},
    {"train_accuracy_full", "training accuracy", MetricKind::accuracy, false, optional_value<&R::train_accuracy_full>},
    {"train_r2_full", "training R²", MetricKind::r2, false, optional_value<&R::train_r2_full>},
    {"diagnosis_residual_norm", "‖r‖, root mean square", MetricKind::number, false, diagnosed<&D::residual_norm>},
    {"diagnosis_residual_sq_q10", "‖r‖², lowest tenth up to", MetricKind::number, false, diagnosed<&D::residual_sq_q10>},
    {"diagnosis_residual_sq_q50", "‖r‖², median", MetricKind::number, false, diagnosed<&D::residual_sq_q50>},
    {"diagnosis_residual_sq_q90", "‖r‖², nine tenths up to", MetricKind::number, false, diagnosed<&D::residual_sq_q90>},
    {"diagnosis_residual_sq_max", "‖r‖², largest", MetricKind::number, false, diagnosed<&D::residual_sq_max>},
    {"diagnosis_mse_gradient", "norm of MSE’s gradient", MetricKind::number, false, diagnosed<&D::mse_gradient>},
    {"diagnosis_qmse_gradient", "norm of QMSE’s expected gradient", MetricKind::number, false, diagnosed<&D::qmse_gradient>},
    {"diagnosis_cosine", "cosine of MSE’s and QMSE’s gradients", MetricKind::number, false, diagnosed<&D::cosine>},
    {"diagnosis_noise_to_drift", "QMSE’s noise over its expected gradient", MetricKind::number, false, diagnosed<&D::noise_to_drift>},
    {"diagnosis_negative_share", "share of a < 0", MetricKind::number, false, diagnosed<&D::negative_share>},
    {"diagnosis_sharpness", "sharpness", MetricKind::number, false, diagnosed<&D::sharpness>},
    {"diagnosis_dead_units", "dead units", MetricKind::number, false, diagnosed<&D::dead_units>},
    {"diagnosis_seconds", "seconds of diagnosis", MetricKind::time, false, diagnosed<&D::seconds>},
    {"weights_sha256", "SHA-256 of the weights", MetricKind::number, false, value<&R::weights_sha256>},
};
// clang-format on

}  // namespace

std::span<const Metric> metrics() { return kMetrics; }

const Metric* find_metric(std::string_view key) {
  for (const Metric& metric : kMetrics) {
    if (metric.key == key) return &metric;
  }
  return nullptr;
}

bool higher_is_better(const Metric& metric) {
  return metric.kind == MetricKind::accuracy || metric.kind == MetricKind::r2;
}

Json to_json(const EpochRecord& record) {
  Json json;
  for (const Metric& metric : kMetrics) {
    if (Json value = metric.value(record); !value.is_null()) json[std::string(metric.key)] = std::move(value);
  }
  return json;
}

Json without_times(Json line) {
  for (const Metric& metric : kMetrics) {
    if (metric.kind == MetricKind::time) line.erase(std::string(metric.key));
  }
  return line;
}

double number_of(const Json& line, std::string_view key) {
  const auto value = line.find(std::string(key));
  return value != line.end() && value->is_number() ? value->get<double>()
                                                   : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace qmse
