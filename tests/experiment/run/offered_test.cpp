// Everything that is offered is wired: each choice of each setting trains, otherwise than the others do,
// resumes and is traced under its name.
#include <map>

#include "engine/safetensors.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/evaluation.h"
#include "experiment/run/trace.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Settings with which this one has an effect on the first steps.
Json settings_for(const TinyData& data, const ConfigField& field, const std::filesystem::path& out) {
  const auto& condition = field.rule.only_with;
  const bool of_mlp = condition && condition->setting == "model" && condition->values.front() == "mlp";
  Json given = data.settings(out, of_mlp ? "mlp" : "cnn");
  given["epochs"] = 1;
  if (condition && !condition->except && condition->setting != "init_from")
    given[std::string(condition->setting)] = condition->values.front();
  return given;
}

// What a choice needs beside it to show within five steps.
void complete(Json& given, const TinyData& data, const std::string& field, std::string_view choice) {
  given[field] = choice;
  if (field == "model") given = data.settings(given["out"].get<std::string>(), std::string(choice));
  if (field == "schedule_unit") given["schedule"] = "step";
  if (given.value("schedule", "") == "step") given["schedule_step_size"] = 1;
  given["epochs"] = 1;
  given["lr"] = 1e-5;  // small enough for all of them
}

}  // namespace

TEST_CASE(
    "offered: every choice trains otherwise than the others, resumes, is evaluated and traced by its name") {
  const TinyData data;
  std::size_t choices = 0;
  for (const ConfigField& field : config_fields()) {
    const std::string name(field.name);
    // Data sets and their labels need files of their own (tests/program/data_test.cpp), tf32 a GPU.
    if (field.rule.choices.empty() || name == "dataset" || name == "labels" || name == "math" ||
        name == "kernels")
      continue;
    std::map<std::string, std::string> seen;  // weights after training, and the choice that gave them
    for (const NamedChoice& choice : field.rule.choices) {
      CAPTURE(name, choice.name);
      ++choices;
      const TempDirectory folder;
      Json given = settings_for(data, field, folder / "whole");
      complete(given, data, name, choice.name);
      CHECK(train(given) == TrainingOutcome::finished);
      const std::string weights = read_bytes(folder / "whole/model.safetensors");
      const std::string digest = json_lines(folder / "whole/metrics.jsonl").back()["weights_sha256"];
      const Json recorded = read_config_file(folder / "whole/config.json");
      CHECK(recorded[name] == choice.name);
      if (name != "on_nan") {  // which makes no difference while all goes well
        const auto [other, fresh] = seen.emplace(digest, choice.name);
        CAPTURE(other->second);
        CHECK(fresh);
      }

      given["out"] = (folder / "stopped").string();
      int asked = 0;
      CHECK(train(given, {.stop = [&] { return ++asked == 3; }}) == TrainingOutcome::stopped);
      given["resume"] = true;
      CHECK(train(given) == TrainingOutcome::finished);
      CHECK(read_bytes(folder / "stopped/model.safetensors") == weights);

      const EvaluationReport report =
          evaluate({.given = {{"device", "cpu"}}, .weights = folder / "whole", .split = Split::test});
      CHECK(report.loss == recorded["loss"]);
      if ((field.uses & kTrace) == 0) continue;
      for (const char* key : {"out", "resume", "epochs"}) given.erase(key);
      Json traced;
      for (const auto& [key, value] : given.items()) {
        if ((find_field(key)->uses & kTrace) != 0) traced[key] = value;
      }
      write_trace({.given = traced, .weights = {}, .dtype = DType::f64, .out = folder / "trace.safetensors"});
      CHECK(Json::parse(SafetensorsFile(folder / "trace.safetensors").metadata().at("qmse.config"))[name] ==
            choice.name);
    }
  }
  CHECK(choices >= 25);
}
