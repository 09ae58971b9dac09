#include "optim/schedule.h"

#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/parse_choice.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

namespace qmse {
namespace {

using test::mentions;

// Equal up to a few roundings of the f64 formula; every expected value below is worked out by hand.
bool near(double actual, double expected) {
  return std::abs(actual - expected) <= 4e-16 * std::abs(expected);
}

template <class Action>
std::string config_error(Action action) {
  return test::message_of<ConfigError>(action);
}

TEST_CASE("schedule: constant") {
  for (const std::int64_t step : {0L, 1L, 999'999'999'999L}) CHECK(learning_rate({}, 0.1, step, 10) == 0.1);
  CHECK(learning_rate({}, 0.0, 3, 10) == 0.0);
}

TEST_CASE("schedule: warm-up grows evenly to the rate of the schedule, and leaves what follows alone") {
  ScheduleConfig config;
  config.warmup = 4;
  for (const std::int64_t step : {0, 1, 2, 3})
    CHECK(learning_rate(config, 0.8, step, 10) == 0.2 * static_cast<double>(step + 1));
  CHECK(learning_rate(config, 0.8, 4, 10) == 0.8);
  config.kind = ScheduleKind::step;
  config.step_size = 2;
  config.gamma = 0.5;
  CHECK(learning_rate(config, 0.8, 2, 10) == 0.5 * 0.75 * 0.8);
  CHECK(learning_rate(config, 0.8, 5, 10) == 0.25 * 0.8);
  config.warmup = -1;
  CHECK(mentions(config_error([&] { learning_rate(config, 0.8, 2, 10); }),
                 "warmup is -1; it must be at least 0"));
}

TEST_CASE("schedule: step divides at multiples of step_size") {
  ScheduleConfig config;
  config.kind = ScheduleKind::step;
  config.step_size = 3;
  config.gamma = 0.5;
  CHECK(learning_rate(config, 0.8, 0, 100) == 0.8);
  CHECK(learning_rate(config, 0.8, 2, 100) == 0.8);
  CHECK(learning_rate(config, 0.8, 3, 100) == 0.4);
  CHECK(learning_rate(config, 0.8, 5, 100) == 0.4);
  CHECK(learning_rate(config, 0.8, 6, 100) == 0.2);
  CHECK(learning_rate(config, 0.8, 9, 1) == 0.1);  // the total number of steps plays no part
  config.gamma = 0.1;
  CHECK(near(learning_rate(config, 2.0, 6, 100), 0.02));
  config.gamma = 1.0;
  CHECK(learning_rate(config, 0.3, 1'000'000, 100) == 0.3);
}

TEST_CASE("schedule: cosine falls from the base rate to the final fraction and stays there") {
  ScheduleConfig config;
  config.kind = ScheduleKind::cosine;
  config.final_fraction = 0.1;
  CHECK(learning_rate(config, 2.0, 0, 12) == 2.0);
  // cos(π/3) = ½, cos(π/2) = 0, cos(2π/3) = −½: waves ¾, ½, ¼, so 0.1 + 0.9·wave = 0.775, 0.55, 0.325.
  CHECK(near(learning_rate(config, 2.0, 4, 12), 1.55));
  CHECK(near(learning_rate(config, 2.0, 6, 12), 1.1));
  CHECK(near(learning_rate(config, 2.0, 8, 12), 0.65));
  CHECK(near(learning_rate(config, 2.0, 12, 12), 0.2));
  CHECK(near(learning_rate(config, 2.0, 13, 12), 0.2));
  CHECK(near(learning_rate(config, 2.0, std::numeric_limits<std::int64_t>::max(), 12), 0.2));
  config.final_fraction = 0.0;
  CHECK(learning_rate(config, 2.0, 12, 12) == 0.0);
  config.final_fraction = 1.0;
  CHECK(learning_rate(config, 2.0, 5, 12) == 2.0);
}

TEST_CASE("schedule: Robbins-Monro decays as a power") {
  ScheduleConfig config;
  config.kind = ScheduleKind::robbins_monro;
  config.tau = 100;
  config.power = 1;
  CHECK(learning_rate(config, 0.6, 0, 10) == 0.6);
  CHECK(near(learning_rate(config, 0.6, 100, 10), 0.3));
  CHECK(near(learning_rate(config, 0.6, 200, 10), 0.2));
  CHECK(near(learning_rate(config, 0.6, 50, 10), 0.4));
  config.power = 0.5;
  CHECK(near(learning_rate(config, 0.6, 300, 10), 0.3));  // √4
  CHECK(near(learning_rate(config, 0.6, 800, 10), 0.2));  // √9
}

TEST_CASE("schedule: names") {
  for (const char* text : {"constant", "step", "cosine", "robbins_monro"}) {
    CHECK(name(parse_choice<ScheduleKind>(text, "schedule")) == text);
  }
  CHECK(config_error([] { parse_choice<ScheduleKind>("cosin", "schedule"); }) ==
        "unknown schedule 'cosin'; known: constant, step, cosine, robbins_monro");
  CHECK(mentions(config_error([] { parse_choice<ScheduleKind>("", "schedule"); }), "unknown schedule ''"));
}

TEST_CASE("schedule: every field out of range is a one-line ConfigError that names it") {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto rejects = [](ScheduleConfig config, const std::string& field) {
    return mentions(config_error([&] { validate(config); }), field) &&
           mentions(config_error([&] { learning_rate(config, 0.1, 0, 10); }), field);
  };
  ScheduleConfig step;
  step.kind = ScheduleKind::step;
  for (const std::int64_t bad : {0, -1}) {
    step.step_size = bad;
    CHECK(rejects(step, "step_size"));
  }
  step.step_size = 1;
  for (const double bad : {0.0, -0.1, 1.0001, kNan, kInfinity}) {
    CAPTURE(bad);
    step.gamma = bad;
    CHECK(rejects(step, "gamma"));
  }
  ScheduleConfig cosine;
  cosine.kind = ScheduleKind::cosine;
  for (const double bad : {-0.01, 1.01, kNan, kInfinity}) {
    CAPTURE(bad);
    cosine.final_fraction = bad;
    CHECK(rejects(cosine, "final_fraction"));
  }
  for (const double bad : {0.0, -1.0, kNan, kInfinity}) {
    CAPTURE(bad);
    ScheduleConfig decay;
    decay.kind = ScheduleKind::robbins_monro;
    decay.tau = bad;
    CHECK(rejects(decay, "tau"));
    decay.tau = 1;
    decay.power = bad;
    CHECK(rejects(decay, "power"));
  }
  for (const double bad : {-0.1, kNan, kInfinity}) {
    CAPTURE(bad);
    CHECK(mentions(config_error([&] { learning_rate({}, bad, 0, 10); }), "learning rate"));
  }
  CHECK(mentions(config_error([] { learning_rate({}, 0.1, -1, 10); }), "step is -1"));
  ScheduleConfig without_total;
  without_total.kind = ScheduleKind::cosine;
  CHECK(mentions(config_error([&] { learning_rate(without_total, 0.1, 0, 0); }), "total number of steps"));
}

TEST_CASE("schedule: fields of other kinds are not looked at") {
  ScheduleConfig config;
  config.gamma = -1;
  config.tau = 0;
  CHECK_NOTHROW(validate(config));
}

}  // namespace
}  // namespace qmse
