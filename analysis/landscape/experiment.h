// The frame of all landscape experiments. An experiment is one file: it says what is claimed and by whom,
// plans members that know nothing of each other (a network with a seed, a start of a search), and draws its
// conclusions from what they have recorded. Folders, resumption, threads, pages and verdicts' wording are the
// frame's (run.h).
//
// The life of an experiment: options -> settings (settings.h) -> make() reads the data and checks sizes ->
// members()
// -> run() of each, on any thread -> conclude() -> files.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analysis/landscape/settings.h"
#include "analysis/mlp/mlp.h"
#include "base/json.h"
#include "device/cuda_context.h"
#include "experiment/report/report.h"
#include "experiment/report/statistics.h"

namespace qmse {

// A point in parameter space that is kept, with the network it belongs to.
struct SavedPoint {
  std::string name;
  Json network;  // describe_network()
  std::vector<double> weights;
};
Json describe_network(const MlpShape& shape, const MlpObjective& objective);
// Back. DataError, beginning with `source`, where something is missing or wrong.
struct DescribedNetwork {
  MlpShape shape;
  MlpObjective objective;  // without slope factors
  bool slope_factors = false;
};
DescribedNetwork parse_network(const Json& described, const std::string& source);

struct MemberResult {
  Json record;  // numbers that are not finite become null
  std::vector<SavedPoint> points = {};
};

// What is said of a statement:
//   exact           an identity, checked to rounding
//   holds           as its criterion says
//   does not hold   the criterion fails, or a counterexample stands
//   depends         on something that the sentence names
//   not shown       the interval includes both
//   not run         there are no numbers
enum class Finding { exact, holds, does_not_hold, depends, not_shown, not_run };
std::string_view name(Finding finding);

struct Statistic {
  std::string name = {};
  double value = 0;
  std::optional<Interval> interval = {};  // 95 %
  std::int64_t n = 0;                     // members behind it
};

struct LandscapeVerdict {
  std::string claim;  // as the thesis or the paper has it
  Finding finding = Finding::not_run;
  std::string sentence = {};  // with the numbers
  Statistic statistic = Statistic();
  std::string criterion = {};
};

struct Findings {
  Json summary = Json::array();
  std::vector<LandscapeVerdict> verdicts = {};
  std::vector<std::string> notes = {};  // what a reader must know
  std::vector<ReportTable> tables = {};
  std::vector<Figure> figures = {};
};

// One experiment with its settings and its data. Its functions may be called from several threads at once.
class LandscapeStudy {
 public:
  virtual ~LandscapeStudy() = default;
  // Objects that name the members, all different.
  virtual std::vector<Json> members() const = 0;
  // The same bits whenever it is called with the same member.
  virtual MemberResult run(const Json& member) const = 0;
  // The same of all of them, at once on a GPU, with the same bits; `go_on` is asked now and then, and where it
  // says no the result is empty. Only of experiments with LandscapeExperiment::gpu.
  virtual std::vector<MemberResult> run_on_gpu(CudaContext& gpu, std::span<const Json> members,
                                               const std::function<bool()>& go_on) const;
  // `records` in the order of members(), all there.
  virtual Findings conclude(const std::vector<Json>& records) const = 0;
  // What saved points refer to; null where there are none. And what the data are, for records.
  virtual const Samples* samples() const { return nullptr; }
  // Of networks that have them: the first rows of this array, of as many as samples()->stride.
  virtual std::span<const double> slope_factors() const { return {}; }
  virtual Json data() const { return nullptr; }
};

struct LandscapeExperiment {
  std::string name;       // as on the command line
  std::string summary;    // one line of --help
  std::string statement;  // what is claimed, in a sentence or two
  std::string source;     // by whom
  std::vector<LandscapeOption> options;
  std::vector<LandscapePreset> presets = {};
  // `data`: where data sets are looked for, as --data of qmse train. ConfigError, DataError, IoError.
  std::unique_ptr<LandscapeStudy> (*make)(const Json& settings, const std::string& data) = nullptr;
  bool gpu = false;  // its members can be run on a GPU
};

// In the order in which `all` runs them.
const std::vector<LandscapeExperiment>& landscape_experiments();
// ConfigError, with the names there are.
const LandscapeExperiment& landscape_experiment(const std::string& name);

LandscapeExperiment symmetries_experiment();
LandscapeExperiment linear_experiment();
LandscapeExperiment width_experiment();
LandscapeExperiment efficiency_experiment();
LandscapeExperiment critical_experiment();
LandscapeExperiment saddle_experiment();
LandscapeExperiment escape_experiment();
LandscapeExperiment sgd_floor_experiment();
LandscapeExperiment schedule_experiment();
LandscapeExperiment trap_experiment();
LandscapeExperiment stability_experiment();
LandscapeExperiment spectrum_experiment();
LandscapeExperiment plane_experiment();
LandscapeExperiment connect_experiment();
LandscapeExperiment edge_experiment();

}  // namespace qmse
