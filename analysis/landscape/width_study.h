// The width experiment: where gradient descent ends, by width. What it runs (width.cpp) and what is said of
// it (width_findings.cpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analysis/landscape/experiment.h"
#include "analysis/landscape/problem.h"

namespace qmse {

enum class WidthStart { random, trap };
constexpr std::array<Choice<WidthStart>, 2> choices(WidthStart) {
  return {{{WidthStart::random, "random"}, {WidthStart::trap, "trap"}}};
}
enum class WidthInit { he, uniform };
constexpr std::array<Choice<WidthInit>, 2> choices(WidthInit) {
  return {{{WidthInit::he, "he"}, {WidthInit::uniform, "uniform"}}};
}
enum class WidthSchedule { decay, constant, thesis };
constexpr std::array<Choice<WidthSchedule>, 3> choices(WidthSchedule) {
  return {{{WidthSchedule::decay, "decay"},
           {WidthSchedule::constant, "constant"},
           {WidthSchedule::thesis, "thesis"}}};
}

class WidthStudy final : public LandscapeStudy {
 public:
  WidthStudy(const Json& settings, const std::string& data);
  std::vector<Json> members() const override;
  MemberResult run(const Json& member) const override;
  std::vector<MemberResult> run_on_gpu(CudaContext& gpu, std::span<const Json> members,
                                       const std::function<bool()>& go_on) const override;
  Findings conclude(const std::vector<Json>& records) const override;
  const Samples* samples() const override { return &problem_.samples; }
  std::span<const double> slope_factors() const override { return factors_; }
  Json data() const override { return problem_.description; }

 private:
  // The end points of one width.
  struct Group {
    std::int64_t depth = 0, width = 0;
    std::vector<double> losses = {}, clarke = {}, gradient = {};
    std::int64_t diverged = 0, bad = 0, with_kinks = 0, stationary = 0;
    double mean = NAN, deviation = NAN;
    std::optional<Interval> deviation_interval = {};
    Interval bad_interval{0, 1};

    double share_bad() const { return static_cast<double>(bad) / static_cast<double>(losses.size()); }
  };

  bool has_trap() const;
  Mlp network(std::int64_t depth, std::int64_t width, bool with_noise) const;
  std::vector<double> initial_weights(const MlpShape& shape, std::int64_t depth, std::uint64_t seed) const;
  // Where a member's descent begins.
  std::vector<double> start(const Json& member) const;
  // Its step lengths, where the schedule fixes them beforehand.
  std::vector<double> step_lengths(std::int64_t depth) const;
  static MemberResult examined(Mlp& network, const std::vector<double>& w, std::int64_t steps, bool finite);
  std::vector<Group> groups(const std::vector<Json>& records) const;
  // Parameters of the hidden layers' inputs against samples: d0 d1 of Soudry and Carmon, for depth > 1 the
  // last two widths.
  double capacity(const Group& group) const {
    const std::int64_t before = group.depth == 1 ? problem_.samples.inputs : group.width;
    return static_cast<double>(before * group.width) / static_cast<double>(problem_.samples.count);
  }
  void add_verdicts(const std::vector<Group>& groups, const Json* trap, Findings& findings) const;
  void add_figures(const std::vector<Group>& groups, Findings& findings) const;
  void add_thesis(const std::vector<Group>& groups, Findings& findings) const;

  Json settings_;
  Problem problem_;
  std::vector<std::int64_t> widths_, depths_;
  HiddenActivation activation_;
  MlpLoss loss_;
  WidthSchedule schedule_;
  double noise_, constant_loss_ = 0;
  std::vector<double> factors_;
};

}  // namespace qmse
