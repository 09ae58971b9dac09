#include "analysis/landscape/experiment.h"

#include <stdexcept>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/words.h"

namespace qmse {

std::vector<MemberResult> LandscapeStudy::run_on_gpu(CudaContext&, std::span<const Json>,
                                                     const std::function<bool()>&) const {
  throw std::logic_error("this experiment has no way to run on a GPU");
}

std::string_view name(Finding finding) {
  switch (finding) {
    case Finding::exact:
      return "exact";
    case Finding::holds:
      return "holds";
    case Finding::does_not_hold:
      return "does not hold";
    case Finding::depends:
      return "depends";
    case Finding::not_shown:
      return "not shown";
    case Finding::not_run:
      return "not run";
  }
  return "not run";
}

Json describe_network(const MlpShape& shape, const MlpObjective& objective) {
  return {{"widths", shape.widths},
          {"activation", std::string(name(shape.activation))},
          {"leak", shape.leak},
          {"biases", shape.biases},
          {"loss", std::string(name(objective.loss))},
          {"weight_decay", objective.weight_decay},
          {"slope_factors", std::string(name(objective.slope_factors.empty() ? YesNo::no : YesNo::yes))}};
}

DescribedNetwork parse_network(const Json& described, const std::string& source) {
  try {
    return {.shape = {.widths = described.at("widths").get<std::vector<std::int64_t>>(),
                      .activation = chosen<HiddenActivation>(described, "activation"),
                      .leak = number(described, "leak"),
                      .biases = described.at("biases").get<bool>()},
            .objective = {.loss = chosen<MlpLoss>(described, "loss"),
                          .weight_decay = number(described, "weight_decay"),
                          .slope_factors = {}},
            .slope_factors = yes(described, "slope_factors")};
  } catch (const Json::exception& error) {
    throw DataError(source + ": is no network: " + error.what());
  } catch (const ConfigError& error) {
    throw DataError(source + ": is no network: " + error.what());
  }
}

const std::vector<LandscapeExperiment>& landscape_experiments() {
  static const std::vector<LandscapeExperiment> all = {
      symmetries_experiment(), linear_experiment(),  width_experiment(),     efficiency_experiment(),
      critical_experiment(),   saddle_experiment(),  escape_experiment(),    sgd_floor_experiment(),
      schedule_experiment(),   trap_experiment(),    stability_experiment(), spectrum_experiment(),
      plane_experiment(),      connect_experiment(), edge_experiment()};
  return all;
}

const LandscapeExperiment& landscape_experiment(const std::string& name) {
  const std::vector<LandscapeExperiment>& all = landscape_experiments();
  if (const LandscapeExperiment* found = find_named(all, name)) return *found;
  throw ConfigError("there is no landscape experiment " + in_quotes(name) + ": there is " +
                    join(names_of(all), ", "));
}

}  // namespace qmse
