#include "experiment/run/metric_text.h"

#include <cmath>

#include "tests/support/catch.h"

using namespace qmse;

TEST_CASE("metrics: people see accuracies in per cent and all else as files have it") {
  for (const Metric& metric : metrics()) {
    CAPTURE(std::string(metric.key));
    const bool accuracy = metric.key.find("accuracy") != std::string_view::npos;
    CHECK(is_accuracy(metric.key) == accuracy);
    CHECK(unit_of(metric.key).factor == (accuracy ? 100 : 1));
    CHECK(figure_text(metric.key, 0.98126) == (accuracy ? "98.13" : "0.9813"));
    CHECK(figure_text(metric.key, NAN) == "–");
    CHECK(figure_in_words(metric.key, 0.98126) == (accuracy ? "98.13 %" : "0.9813"));
    CHECK(figure_in_words(metric.key, NAN) == "–");
    CHECK(measure_name(metric.key) == metric.label);
    CHECK(measure_heading(metric.key) == std::string(metric.label) + (accuracy ? ", %" : ""));
    CHECK(measure_axis(metric.key) == (accuracy ? "accuracy (%)" : std::string(metric.label)));
  }
  CHECK(accuracy_text(0.5) == "50.00 %");
  CHECK(difference_text(unit_of(MetricKind::accuracy), -0.015) == "−1.50");
  CHECK(difference_text(unit_of(MetricKind::number), 0.015) == "+0.0150");
  // A key of another version.
  CHECK(measure_heading("of_the_future") == "of the future");
  CHECK(figure_text("of_the_future", 0.5) == "0.5");
}
