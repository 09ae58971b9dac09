#include "experiment/run/run_record.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/text_file.h"
#include "experiment/run/best_epoch.h"

namespace qmse {
namespace {

constexpr const char* kAdvice = "; put back a copy, or leave the run out";

Json parsed(std::string_view text, const std::string& where) {
  try {
    return parse_json(text, where);
  } catch (const DataError& error) {
    throw DataError(std::string(error.what()) + kAdvice);
  }
}

Json read_object(const std::filesystem::path& path) {
  Json json = parsed(read_text_file(path), in_quotes(path));
  if (!json.is_object()) throw DataError(in_quotes(path) + ": not a JSON object" + kAdvice);
  return json;
}

std::vector<Json> read_epochs(const std::filesystem::path& path) {
  std::vector<Json> epochs;
  read_lines(path, [&](std::int64_t number, std::string_view text) {
    const std::string where = in_quotes(path) + ": line " + std::to_string(number);
    epochs.push_back(parsed(text, where));
    const Json& line = epochs.back();
    if (!line.is_object() || !line.contains("epoch") || !line["epoch"].is_number_integer())
      throw DataError(where + " is not a JSON object with a whole number 'epoch'" + kAdvice);
    return true;
  });
  return epochs;
}

// environment.json's entry "data", without what only says where and whether it is official.
Json identity(const Json& data) {
  if (!data.is_object()) return kNotRecorded;
  if (const auto hash = data.find("sha256"); hash != data.end() && hash->is_string()) return *hash;
  Json known = Json::object();
  for (const char* key : {"name", "images", "classes"}) {
    if (data.contains(key)) known[key] = data[key];
  }
  return known;
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
  run.environment = std::filesystem::exists(environment) ? read_object(environment) : Json::object();
  const auto epochs = run.config.find("epochs");
  if (epochs == run.config.end() || !epochs->is_number_integer() || epochs->get<std::int64_t>() < 1) {
    throw DataError(in_quotes(directory / "config.json") + ": 'epochs' is no whole number from 1 up" +
                    kAdvice);
  }
  run.outcome = read_outcome(directory);
  const auto done = static_cast<std::int64_t>(run.epochs.size());
  const auto patience = run.config.find("stop_early");
  const bool early = patience != run.config.end() && patience->is_number_integer() &&
                     best_epoch(run.epochs).ends(done, patience->get<std::int64_t>());
  run.finished = run.outcome.end == RunEnd::finished && (done >= epochs->get<std::int64_t>() || early);
  return run;
}

void take_steps(RunRecord& run) {
  const std::filesystem::path file = run.directory / "steps.jsonl";
  if (!std::filesystem::exists(file))
    throw DataError(in_quotes(run.directory) + ": has logged no steps: train with --log-steps N");
  run.epochs = read_epochs(file);
}

Json trained_on(const Json& environment) {
  Json all = Json::array({identity(environment.value("data", Json()))});
  const Json resumed = environment.value("resumed", Json());
  for (const Json& later : resumed.is_array() ? resumed : Json::array()) {
    const Json data = later.is_object() ? later.value("data", Json()) : Json();
    if (data.is_object() && std::find(all.begin(), all.end(), identity(data)) == all.end())
      all.push_back(identity(data));
  }
  return all.size() == 1 ? all[0] : all;
}

std::string started_from(const Json& environment) {
  const Json start = environment.value("init_from", Json());
  if (!start.is_object() || !start.contains("sha256") || !start["sha256"].is_string()) return "";
  return start["sha256"].get<std::string>();
}

RunsFound find_runs(const std::filesystem::path& folder) {
  RunsFound found;
  std::vector<std::filesystem::path> directories, left = {folder};
  while (!left.empty()) {
    const std::filesystem::path each = std::move(left.back());
    left.pop_back();
    if (is_run(each)) directories.push_back(each);
    std::error_code error, ignored;
    std::filesystem::directory_iterator entry(each, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      if (entry->is_directory(ignored) && !entry->is_symlink(ignored)) left.push_back(entry->path());
    }
    if (!error) continue;
    const std::string reason = in_quotes(each) + ": cannot look for runs in it: " + error.message();
    if (each == folder) throw IoError(reason);
    if (error != std::errc::no_such_file_or_directory) found.unreadable.push_back({each, reason});
  }
  std::sort(directories.begin(), directories.end());
  for (const std::filesystem::path& directory : directories) {
    try {
      found.runs.push_back(read_run(directory));
    } catch (const Error& error) {
      if (is_run(directory)) found.unreadable.push_back({directory, error.what()});
    }
  }
  return found;
}

}  // namespace qmse
