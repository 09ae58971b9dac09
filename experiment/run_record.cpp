#include "experiment/run_record.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <system_error>

#include "engine/in_quotes.h"
#include "engine/text_file.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

ConfigJson read_object(const std::filesystem::path& path) {
  ConfigJson json = parse_json(read_text_file(path), in_quotes(path));
  if (!json.is_object()) throw DataError(in_quotes(path) + ": not a JSON object");
  return json;
}

std::vector<ConfigJson> read_epochs(const std::filesystem::path& path) {
  std::vector<ConfigJson> epochs;
  read_lines(path, [&](std::int64_t number, std::string_view text) {
    const std::string where = in_quotes(path) + ": line " + std::to_string(number);
    epochs.push_back(parse_json(text, where));
    const ConfigJson& line = epochs.back();
    if (!line.is_object() || !line.contains("epoch") || !line["epoch"].is_number_integer())
      throw DataError(where + " is not a JSON object with a whole number 'epoch'");
    return true;
  });
  return epochs;
}

bool is_run(const std::filesystem::path& folder) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(folder / "config.json", ignored) &&
         std::filesystem::is_regular_file(folder / "metrics.jsonl", ignored);
}

}  // namespace

RunRecord read_run(const std::filesystem::path& directory) {
  RunRecord run;
  run.directory = directory;
  run.config = read_object(directory / "config.json");
  run.epochs = read_epochs(directory / "metrics.jsonl");
  const std::filesystem::path environment = directory / "environment.json";
  run.environment = std::filesystem::exists(environment) ? read_object(environment) : ConfigJson::object();
  const auto epochs = run.config.find("epochs");
  if (epochs == run.config.end() || !epochs->is_number_integer() || epochs->get<std::int64_t>() < 1) {
    throw DataError(in_quotes(directory / "config.json") + ": 'epochs' is no whole number from 1 up");
  }
  run.outcome = read_outcome(directory);
  run.finished = run.outcome.end == RunEnd::finished &&
                 static_cast<std::int64_t>(run.epochs.size()) >= epochs->get<std::int64_t>();
  return run;
}

std::vector<std::filesystem::path> find_run_directories(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  try {
    if (is_run(folder)) found.push_back(folder);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      if (entry.is_directory() && !entry.is_symlink() && is_run(entry.path())) found.push_back(entry.path());
    }
  } catch (const std::filesystem::filesystem_error& error) {
    throw IoError(in_quotes(folder) + ": cannot look for runs in it: " + error.code().message());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<RunRecord> find_runs(const std::filesystem::path& folder) {
  std::vector<RunRecord> runs;
  for (const std::filesystem::path& directory : find_run_directories(folder))
    runs.push_back(read_run(directory));
  return runs;
}

}  // namespace qmse
