// The folder of one training run: its lock and its files.
//
//   config.json              every setting with an effect, resolved
//   environment.json         what it ran on: revision, compiler, libraries, device, data; an entry for each
//                            resumption
//   metrics.jsonl            one object an epoch
//   steps.jsonl              one object every log_steps steps, where asked for
//   model.safetensors        the weights of the checkpoint with which the run finished, and its step
//   best.safetensors         the weights of the epoch with the best validation accuracy, where asked for
//   checkpoint.safetensors   where training stands; replaced as it goes on
//   snapshots/epoch-0003.safetensors    weights after an epoch, where asked for
//   outcome.json             how the run ended; see run_outcome.h
//   .lock                    held (flock) while a process works here; the system frees it when it ends
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "experiment/run/config.h"
#include "experiment/run/file_lock.h"
#include "experiment/run/run_outcome.h"

namespace qmse {

class RunDirectoryInUse : public IoError {
 public:
  using IoError::IoError;
};

class RunDirectory {
 public:
  // Makes the folder where it does not exist, and takes its lock. ConfigError where it is a sweep's folder,
  // IoError where the system refuses or one of the run's files is a symbolic link (a run writes to files of
  // its own alone), RunDirectoryInUse where another holds the lock. A file system without locks is taken as
  // it is: see locked().
  explicit RunDirectory(std::filesystem::path path);
  // Takes the folder away again where it was made for a run that then did not begin.
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  // Whether a run has begun in this folder.
  static bool holds_a_run(const std::filesystem::path& path);
  bool holds_a_run() const { return holds_a_run(path_); }

  // False where the file system has no locks, so that nothing keeps another process out.
  bool locked() const { return lock_.held(); }
  // To be called before anything is written: IoError where the folder was removed, renamed or replaced, so
  // that another process may be working at its path.
  void check_still_ours() const;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config_file() const { return path_ / "config.json"; }
  std::filesystem::path environment_file() const { return path_ / "environment.json"; }
  std::filesystem::path metrics_file() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path steps_file() const { return path_ / "steps.jsonl"; }
  std::filesystem::path model_file() const { return path_ / "model.safetensors"; }
  std::filesystem::path best_file() const { return path_ / "best.safetensors"; }
  std::filesystem::path checkpoint_file() const { return path_ / "checkpoint.safetensors"; }
  std::filesystem::path snapshot_file(std::int64_t epoch) const;  // makes the folder snapshots/

  // The settings of that run. Throws DataError or IoError where config.json is missing or damaged.
  TrainConfig recorded_config() const;

  // These three check_still_ours().
  void write_config(const TrainConfig& config) const;
  void record_outcome(const RunOutcome& outcome) const;
  // Replaces environment.json by `environment`, or, where a run goes on at `step` >
  // 0, adds it to the list "resumed".
  void record_environment(Json environment, std::int64_t step) const;
  // environment.json; an empty object where there is none. DataError where it is damaged.
  Json recorded_environment() const;

 private:
  std::filesystem::path path_;
  bool made_ = false;
  FileLock lock_;
};

}  // namespace qmse
