// The folder of a sweep: which members there are and how far each is. Any number of processes may work in
// one, on one machine or on several that share the folder.
//
//   sweep.json          the members and their settings
//   results.json        how far each member is; nothing in it depends on how long anything took
//   processes.jsonl     a line for each process that worked here
//   members/<name>/     run directories, as `qmse train` makes them
//   failures/<name>.json    why a member failed
//   .lock               held (flock) for a moment where one of the first two files is written
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "experiment/run/config.h"
#include "experiment/run/file_lock.h"
#include "experiment/run/run_record.h"
#include "experiment/sweep/halving.h"
#include "experiment/sweep/sweep_spec.h"

namespace qmse {

enum class MemberStatus { pending, running, failed, finished, eliminated };
std::string_view name(MemberStatus status);  // "pending", ...

struct MemberFailure {
  std::string error;
  bool final = false;   // would only fail again: its loss is not finite
  std::string attempt;  // tells one from another: when, and by which process
};

// Whether the run in this directory has come to its end, and was to have so many epochs at least. (Made longer,
// it has not.)
bool has_finished(const std::filesystem::path& run_directory, std::int64_t epochs);
// Whether its sweep's halving has ended it.
bool is_eliminated(const std::filesystem::path& run_directory);

class SweepFolder {
 public:
  // Makes the folder, or checks that it holds this sweep; members that are new are added to it, epochs that
  // are more make them longer, and it may hold more than `spec`. Images and first weights may lie elsewhere than they did, but must be the same.
  // ConfigError where it holds another sweep, a run, or something else; IoError;
  // Stopped where `waiting`, for the folder's lock, is stopped.
  SweepFolder(std::filesystem::path path, SweepSpec spec, Waiting waiting = {});

  const std::filesystem::path& path() const { return path_; }
  const SweepSpec& spec() const { return spec_; }
  std::filesystem::path directory(const SweepMember& member) const { return path_ / "members" / member.name; }

  // Whether the folder has members that this spec lacks: another process has added them, or this one was
  // given fewer.
  bool has_more() const;

  // As the files say. `running`: some process has the run directory's lock.
  MemberStatus status(const SweepMember& member) const;
  // Why it failed last, where it did.
  std::optional<MemberFailure> failure(const SweepMember& member) const;

  // What the member's run has recorded; nothing where it has not begun. IoError, DataError.
  std::optional<RunRecord> record(const SweepMember& member) const;

  // What halving compares of the member, by its files; `known` are those that it has shown before. Safe while
  // it trains: an epoch counts when its checkpoint is there. IoError, DataError.
  RungValues rung_values(const SweepMember& member, RungValues known = {}) const;
  // Records that halving has ended the member. False where another process works on it. IoError.
  bool eliminate(const SweepMember& member, const std::string& why) const;

  void record_failure(const SweepMember& member, const std::string& error, bool final) const;
  void forget_failure(const SweepMember& member) const;
  void record_process(Json process) const;  // adds host, process id and time

  // Brings results.json up to date with the members' own files, whichever process wrote them, and with
  // members that another process has added. IoError, Stopped.
  void write_results();

 private:
  MemberStatus status(const SweepMember& member, const SweepSpec& spec) const;
  Json result(const SweepMember& member);                // of `listed_`
  Json halving_of_members();                             // of `listed_`
  Json environment_of(const SweepMember& member) const;  // as sweep_content.h asks

  FileLock lock() const;

  std::filesystem::path path_;
  SweepSpec spec_;
  Waiting waiting_;
  std::string listed_text_;                  // sweep.json, when `listed_` was read from it
  SweepSpec listed_;                         // what results.json lists
  std::map<std::string, Json> finished_;     // results of finished members of `listed_`
  std::optional<HalvingBrackets> brackets_;  // of `listed_`, where it has a rule
  std::vector<RungValues> rung_values_;
};

// The last line, and the best accuracies with their epochs; null where there are no epochs.
Json summary(const std::vector<Json>& epochs);

}  // namespace qmse
