#include "experiment/run/run_outcome.h"

#include <array>
#include <optional>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/in_quotes.h"
#include "base/json.h"
#include "base/text_file.h"

namespace qmse {
namespace {

constexpr std::array kEnds = {RunEnd::none,     RunEnd::finished, RunEnd::stopped,
                              RunEnd::diverged, RunEnd::failed,   RunEnd::eliminated};

std::optional<RunEnd> parse_end(std::string_view text) {
  for (const RunEnd end : kEnds) {
    if (text == name(end)) return end;
  }
  return std::nullopt;
}

bool has_final_weights(const std::filesystem::path& run_directory) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(run_directory / "model.safetensors", error);
  return !error && bytes > 0;
}

RunOutcome parse_outcome(const Json& json) {
  const auto has = [&](const char* key, bool (Json::*is)() const noexcept) {
    return json.is_object() && json.contains(key) && (json[key].*is)();
  };
  const bool complete = has("end", &Json::is_string) && has("epoch", &Json::is_number_integer) &&
                        has("step", &Json::is_number_integer) && has("layer", &Json::is_string) &&
                        has("reason", &Json::is_string);
  const std::optional<RunEnd> end = complete ? parse_end(json["end"].get<std::string>()) : std::nullopt;
  if (!end) throw DataError("not complete");
  return {*end, json["epoch"].get<std::int64_t>(), json["step"].get<std::int64_t>(),
          json["layer"].get<std::string>(), json["reason"].get<std::string>()};
}

}  // namespace

std::string_view name(RunEnd end) {
  switch (end) {
    case RunEnd::none:
      return "running";
    case RunEnd::finished:
      return "finished";
    case RunEnd::stopped:
      return "stopped";
    case RunEnd::diverged:
      return "diverged";
    case RunEnd::failed:
      return "failed";
    case RunEnd::eliminated:
      return "eliminated";
  }
  return "";
}

RunOutcome read_outcome(const std::filesystem::path& run_directory) {
  const std::filesystem::path file = run_directory / "outcome.json";
  std::error_code ignored;
  RunOutcome outcome;
  if (std::filesystem::exists(file, ignored)) {
    try {
      outcome = parse_outcome(read_json(file));
    } catch (const DataError&) {
      throw DataError(
          in_quotes(file) +
          ": not the record of how a run ended; remove it, and qmse train --resume writes it anew");
    }
    if (outcome.end == RunEnd::finished && !has_final_weights(run_directory)) outcome.end = RunEnd::none;
  } else if (has_final_weights(run_directory)) {
    outcome.end = RunEnd::finished;
  }
  return outcome;
}

void write_outcome(const std::filesystem::path& run_directory, const RunOutcome& outcome) {
  write_file_atomically(run_directory / "outcome.json", json_text({{"end", name(outcome.end)},
                                                                   {"epoch", outcome.epoch},
                                                                   {"step", outcome.step},
                                                                   {"layer", outcome.layer},
                                                                   {"reason", outcome.reason}}));
}

Diverged::Diverged(const std::string& message, std::int64_t epoch, std::int64_t step, std::string layer)
    : NumericError(message), outcome_{RunEnd::diverged, epoch, step, std::move(layer), message} {}

}  // namespace qmse
