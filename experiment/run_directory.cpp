#include "experiment/run_directory.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <system_error>
#include <thread>

#include "engine/atomic_file.h"
#include "engine/in_quotes.h"
#include "engine/text_file.h"
#include "kernels/core/error.h"

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

}  // namespace

RunDirectory::RunDirectory(std::filesystem::path path) : path_(std::move(path)) {
  const std::filesystem::path lock_file = path_ / ".lock";
  while (true) {
    std::error_code error;
    made_ = std::filesystem::create_directories(path_, error);
    if (error) throw IoError(in_quotes(path_) + ": cannot make the run directory: " + error.message());
    try {
      lock_ = take_lock(lock_file);
    } catch (const IoError&) {
      // Its last holder has just taken an empty folder away: make it again.
      if (std::filesystem::exists(path_, error)) throw;
      continue;
    }
    break;
  }
  if (!lock_.held()) {
    throw RunDirectoryInUse(in_quotes(path_) + ": another qmse" + FileLock::holder(lock_file) +
                            " is working in this run directory");
  }
}

RunDirectory::~RunDirectory() {
  if (made_ && !holds_a_run()) {
    std::error_code ignored;
    std::filesystem::remove(path_ / ".lock", ignored);
    std::filesystem::remove(path_, ignored);  // only where it is empty
  }
}

std::filesystem::path RunDirectory::snapshot_file(std::int64_t epoch) const {
  const std::filesystem::path folder = path_ / "snapshots";
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  if (error) throw IoError(in_quotes(folder) + ": cannot make the folder: " + error.message());
  std::array<char, 48> name;
  std::snprintf(name.data(), name.size(), "epoch-%04lld.safetensors", static_cast<long long>(epoch));
  return folder / name.data();
}

bool RunDirectory::holds_a_run() const {
  for (const auto& file : {config_file(), metrics_file(), checkpoint_file(), model_file()}) {
    std::error_code ignored;
    if (std::filesystem::exists(file, ignored)) return true;
  }
  return false;
}

TrainConfig RunDirectory::recorded_config() const {
  if (!std::filesystem::exists(config_file())) {
    throw DataError(in_quotes(path_) + ": holds files of a run but no config.json; take another folder");
  }
  TrainConfig config;
  try {
    apply_layer(config, read_config_file(config_file()));
  } catch (const ConfigError& error) {  // not what the user typed: the file is at fault
    throw DataError(error.what());
  }
  return config;
}

void RunDirectory::write_config(const TrainConfig& config) const {
  write_file_atomically(config_file(), json_text(to_json(config)));
}

void RunDirectory::record_environment(ConfigJson environment, std::int64_t step) const {
  if (step > 0 && std::filesystem::exists(environment_file())) {
    ConfigJson first = parse_json(read_text_file(environment_file()), in_quotes(environment_file()));
    if (!first.is_object()) throw DataError(in_quotes(environment_file()) + ": not a JSON object");
    environment["resumed_at_step"] = step;
    first["resumed"].push_back(std::move(environment));
    environment = std::move(first);
  }
  write_file_atomically(environment_file(), json_text(environment));
}

}  // namespace qmse
