#include "experiment/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "engine/atomic_file.h"
#include "engine/in_quotes.h"
#include "engine/input_file.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

// " (process 123)", as its holder wrote it, for the message to those who are refused.
std::string holder(int lock) {
  std::array<char, 32> text{};
  const ssize_t count = ::pread(lock, text.data(), text.size() - 1, 0);
  const std::string digits(text.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
  const std::size_t end = digits.find_first_not_of("0123456789");
  return digits.empty() || end == 0 ? "" : " (process " + digits.substr(0, end) + ")";
}

}  // namespace

RunDirectory::RunDirectory(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code error;
  made_ = std::filesystem::create_directories(path_, error);
  if (error) throw IoError(in_quotes(path_) + ": cannot make the run directory: " + error.message());

  const std::filesystem::path lock_file = path_ / ".lock";
  lock_ = ::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) throw IoError(in_quotes(lock_file) + ": cannot open the lock: " + std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    const std::string who = holder(lock_);
    ::close(lock_);
    if (reason == EWOULDBLOCK) {
      throw IoError(in_quotes(path_) + ": another qmse" + who + " is working in this run directory");
    }
    throw IoError(in_quotes(lock_file) + ": cannot lock it: " + std::strerror(reason));
  }
  const std::string process = std::to_string(::getpid()) + "\n";
  // Only a help for readers of the message above: a full disk shows where it matters.
  if (::ftruncate(lock_, 0) == 0) [[maybe_unused]]
    const ssize_t ignored = ::pwrite(lock_, process.data(), process.size(), 0);
}

RunDirectory::~RunDirectory() {
  if (made_ && !holds_a_run()) {
    std::error_code ignored;
    std::filesystem::remove(path_ / ".lock", ignored);
    std::filesystem::remove(path_, ignored);  // only where it is empty
  }
  ::close(lock_);
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
  write_file_atomically(config_file(), to_json(config).dump(2) + "\n");
}

void RunDirectory::record_environment(ConfigJson environment, std::int64_t step) const {
  if (step > 0 && std::filesystem::exists(environment_file())) {
    const InputFile file(environment_file());
    std::string text(file.size(), '\0');
    file.read(0, text.data(), text.size());
    ConfigJson first = ConfigJson::parse(text, nullptr, false);
    if (!first.is_object()) throw DataError(in_quotes(environment_file()) + ": not a JSON object");
    environment["resumed_at_step"] = step;
    first["resumed"].push_back(std::move(environment));
    environment = std::move(first);
  }
  write_file_atomically(environment_file(), environment.dump(2) + "\n");
}

}  // namespace qmse
