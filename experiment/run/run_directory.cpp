#include "experiment/run/run_directory.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <system_error>
#include <thread>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/system_calls.h"
#include "base/text_file.h"

namespace qmse {
namespace {

// Who only asks whether a run is being worked on, a sweep, say, has its lock for an instant (is_held()).
FileLock take_lock(const std::filesystem::path& file) {
  constexpr int kAttempts = 20;
  FileLock lock = FileLock::try_take(file);
  for (int i = 1; i < kAttempts && !lock.held(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    lock = FileLock::try_take(file);
  }
  return lock;
}

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
}

void refuse_sweep(const std::filesystem::path& folder) {
  if (is_there(folder / "sweep.json"))
    throw ConfigError(in_quotes(folder) + " holds a sweep: choose another --out for the run");
}

void refuse_links(const std::filesystem::path& folder) {
  for (const char* name :
       {".lock", "config.json", "environment.json", "metrics.jsonl", "steps.jsonl", "model.safetensors",
        "best.safetensors", "checkpoint.safetensors", "snapshots", "outcome.json"}) {
    std::error_code ignored;
    if (std::filesystem::is_symlink(folder / name, ignored)) {
      throw IoError(in_quotes(folder / name) +
                    " is a symbolic link: a run writes to files in its own folder alone; put in its place "
                    "what it points to");
    }
  }
}

}  // namespace

RunDirectory::RunDirectory(std::filesystem::path path) : path_(std::move(path)) {
  const std::filesystem::path lock_file = path_ / ".lock";
  refuse_sweep(path_);  // whose lock is not a run's
  refuse_links(path_);
  bool locks = true;
  while (true) {
    std::error_code error;
    made_ = std::filesystem::create_directories(path_, error);
    if (error) fail_to_write(path_, error.value(), "make the run directory");
    try {
      lock_ = take_lock(lock_file);
    } catch (const NoLocks&) {
      locks = false;
    } catch (const IoError&) {
      // Its last holder has just taken an empty folder away: make it again.
      if (is_there(path_)) throw;
      continue;
    }
    break;
  }
  if (locks && !lock_.held()) {
    throw RunDirectoryInUse(in_quotes(path_) + ": another qmse" + FileLock::holder(lock_file) +
                            " is working in this run directory; wait for it, or choose another --out");
  }
  refuse_sweep(path_);  // one that has begun meanwhile
}

RunDirectory::~RunDirectory() {
  const bool ours = !locked() || lock_.still_named();
  if (made_ && ours && !holds_a_run()) {
    std::error_code ignored;
    std::filesystem::remove(path_ / "outcome.json", ignored);
    std::filesystem::remove(path_ / ".lock", ignored);
    std::filesystem::remove(path_, ignored);  // only where it is empty
  }
}

std::filesystem::path RunDirectory::snapshot_file(std::int64_t epoch) const {
  const std::filesystem::path folder = path_ / "snapshots";
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  if (error) fail_to_write(folder, error.value(), "make the folder");
  std::array<char, 48> name;
  std::snprintf(name.data(), name.size(), "epoch-%04lld.safetensors", static_cast<long long>(epoch));
  return folder / name.data();
}

bool RunDirectory::holds_a_run(const std::filesystem::path& path) {
  for (const char* name : {"config.json", "metrics.jsonl", "checkpoint.safetensors", "model.safetensors"}) {
    if (is_there(path / name)) return true;
  }
  return false;
}

void RunDirectory::check_still_ours() const {
  if (!locked() || lock_.still_named()) return;
  throw IoError(in_quotes(path_) +
                ": this run directory was removed, renamed or replaced while the run was going on; the run "
                "stops here, because another one may work there by now");
}

TrainConfig RunDirectory::recorded_config() const {
  if (!std::filesystem::exists(config_file())) {
    throw DataError(in_quotes(path_) +
                    ": holds files of a run but no config.json; put it back, or choose another --out");
  }
  TrainConfig config;
  try {
    apply_layer(config, read_config_file(config_file()));
  } catch (const ConfigError& error) {  // not what the user typed: the file is at fault
    throw DataError(error.what() + std::string("; put back a copy, or start the run again in another --out"));
  }
  return config;
}

void RunDirectory::write_config(const TrainConfig& config) const {
  check_still_ours();
  write_file_atomically(config_file(), json_text(to_json(config)));
}

void RunDirectory::record_outcome(const RunOutcome& outcome) const {
  check_still_ours();
  write_outcome(path_, outcome);
}

void RunDirectory::record_environment(Json environment, std::int64_t step) const {
  check_still_ours();
  if (step > 0 && is_there(environment_file())) {
    Json first = recorded_environment();
    environment["resumed_at_step"] = step;
    first["resumed"].push_back(std::move(environment));
    environment = std::move(first);
  }
  write_file_atomically(environment_file(), json_text(environment));
}

Json RunDirectory::recorded_environment() const {
  if (!is_there(environment_file())) return Json::object();
  Json json = read_json(environment_file());
  if (!json.is_object() || (json.contains("resumed") && !json["resumed"].is_array())) {
    throw DataError(in_quotes(environment_file()) +
                    ": not the record of a run's environment; remove it, and the run goes on without");
  }
  return json;
}

}  // namespace qmse
