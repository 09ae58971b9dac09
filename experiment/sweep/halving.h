// Successive halving: after some epochs the worse settings of a sweep go no further. (K. Jamieson, A. Talwalkar,
// "Non-stochastic Best Arm Identification and Hyperparameter Optimization", 2016.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace qmse {

struct SweepSpec;

// The rule, a sweep's "halving": {"after": [2, 6], "factor": 3, "metric": "validation_accuracy"}.
struct Halving {
  std::vector<std::int64_t> after;  // epochs after which settings are compared, ascending
  std::int64_t factor = 3;          // of n settings the n / factor best go on, rounded up
  std::string metric;  // what they are compared by, a figure of training or validation in metrics.jsonl; not
                       // given: validation accuracy, of tables validation R²

  bool operator==(const Halving&) const = default;
};

// ConfigError, beginning with `label`, for anything that is none.
Halving parse_halving(const Json& json, const std::string& label);
Json to_json(const Halving& halving);

// Fills in the metric and checks the rule against the members. ConfigError, beginning with `label`: a member
// without validation images, or that is no longer than the last comparison; a metric that its data have not.
void complete(Halving& halving, const SweepSpec& spec, const std::string& label);

// The metric of a member after each epoch of Halving::after that it has reached; NaN where it is not finite,
// and from where on the member has diverged.
using RungValues = std::vector<double>;

// One comparison that is done: after so many epochs, of the settings that had come so far.
struct HalvingRung {
  struct Setting {
    std::vector<std::size_t> members;  // places in the spec; they differ in their seeds alone
    double value = 0;                  // mean over those with a finite one; NaN where none has
    bool whole = true;                 // all have
    bool goes_on = false;
  };
  std::int64_t after = 0;
  std::vector<Setting> settings;  // best first
};

// Where that leaves a member.
struct HalvingPlace {
  std::int64_t epochs = 0;  // so far it may train now
  bool waits = false;       // it has done that, and others of the comparison have not
  bool eliminated = false;
  double expected = 0;       // epochs that it comes to: on average, over the comparisons that are not done
  std::size_t rung = 0;      // eliminated: which of HalvingState::rungs ...
  std::size_t position = 0;  // ... and its setting there
};

struct HalvingState {
  std::vector<HalvingRung> rungs;
  std::vector<HalvingPlace> members;  // in the spec's order
};

// Who competes. Settings do that differ only in what `qmse table` tunes (optimizer, schedule, batch size), so
// that losses, models and data sets keep their best each; members that differ in their seeds alone are one
// setting.
class HalvingBrackets {
 public:
  // The spec is complete, and has a rule.
  explicit HalvingBrackets(const SweepSpec& spec);

  // Depends on the values alone, however they were come by and in whichever order. A setting all of whose
  // members have finite values comes before one of which some diverged, then the better mean, and of equals
  // the one whose first member's name is first. One without any finite value does not go on. A comparison is
  // done when all members of its settings have their values; a setting without a competitor is not compared.
  HalvingState judge(const std::vector<RungValues>& values) const;

 private:
  using Setting = std::vector<std::size_t>;

  Halving rule_;
  std::vector<std::vector<Setting>> brackets_;
  std::vector<std::int64_t> epochs_;  // of each member
};

// "place 5 of 9 by validation accuracy, 71.00 %, after epoch 2; 3 go on": why a member was eliminated.
std::string elimination_text(const Halving& rule, const HalvingState& state, std::size_t member);

// What results.json says: the rule, and "rungs" with each comparison that is done.
Json halving_record(const SweepSpec& spec, const HalvingState& state);

}  // namespace qmse
