#include "experiment/sweep/sweep_folder.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <system_error>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/stopped.h"
#include "base/text_file.h"
#include "experiment/run/checkpoint.h"
#include "experiment/run/epoch_record.h"
#include "experiment/run/json_lines.h"
#include "experiment/run/plain_text.h"
#include "experiment/run/process_environment.h"
#include "experiment/run/run_directory.h"
#include "experiment/run/run_record.h"
#include "experiment/sweep/sweep_content.h"

namespace qmse {
namespace {

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw IoError(in_quotes(folder) + ": cannot make the folder: " + error.message() +
                  "; check the path and its permissions, or choose another --out");
  }
}

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// "node7:1234", and "2026-11-24T17:30:00.123Z".
std::string this_process() { return host_name() + ":" + std::to_string(::getpid()); }

std::string now() { return utc_text(std::chrono::system_clock::now()); }

// The folder's own record, or nothing where it has none.
std::optional<SweepSpec> recorded_spec(const std::filesystem::path& file) {
  if (!is_there(file)) return std::nullopt;
  try {
    return parse_sweep(read_text_file(file), in_quotes(file));
  } catch (const ConfigError& error) {  // not what the user typed: the file is at fault
    throw DataError(std::string(error.what()) +
                    "; this is the sweep's own record: copy the sweep's file there, or choose another --out");
  }
}

// Folders that hold something else are not filled with a sweep's files.
void refuse_foreign(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error) {
    throw IoError(in_quotes(folder) + ": cannot list it: " + error.message() +
                  "; check its permissions, or choose another --out");
  }
  for (const auto& entry : entries) {
    // What a process leaves that was killed before it could write sweep.json.
    if (entry.path().filename() == ".lock" || entry.path().filename() == "sweep.json.tmp") continue;
    throw ConfigError(in_quotes(folder) + " holds " + in_quotes(entry.path().filename()) +
                      " and no sweep; choose another --out");
  }
}

}  // namespace

bool has_finished(const std::filesystem::path& run_directory, std::int64_t epochs) {
  try {
    if (read_outcome(run_directory).end != RunEnd::finished) return false;
    const std::filesystem::path file = run_directory / "config.json";
    return read_json(file).value("epochs", std::int64_t{0}) >= epochs;
  } catch (const std::exception&) {  // its run will say what is wrong
    return false;
  }
}

bool is_eliminated(const std::filesystem::path& run_directory) {
  try {
    return read_outcome(run_directory).end == RunEnd::eliminated;
  } catch (const std::exception&) {  // its run will say what is wrong
    return false;
  }
}

std::string_view name(MemberStatus status) {
  switch (status) {
    case MemberStatus::pending:
      return "pending";
    case MemberStatus::running:
      return "running";
    case MemberStatus::failed:
      return "failed";
    case MemberStatus::finished:
      return "finished";
    case MemberStatus::eliminated:
      return "eliminated";
  }
  return "";
}

SweepFolder::SweepFolder(std::filesystem::path path, SweepSpec spec, Waiting waiting)
    : path_(std::move(path)), spec_(std::move(spec)), waiting_(std::move(waiting)) {
  if (RunDirectory::holds_a_run(path_))  // whose lock is held as long as the run goes on
    throw ConfigError(in_quotes(path_) + " holds a run: choose another --out for the sweep");
  make_folder(path_);
  const FileLock held = lock();
  const std::filesystem::path file = path_ / "sweep.json";
  const std::optional<SweepSpec> recorded = recorded_spec(file);
  if (recorded) {
    std::string differs = difference(spec_, *recorded);
    if (differs.empty()) {
      differs = content_difference(spec_, *recorded,
                                   [&](const SweepMember& member) { return environment_of(member); });
    }
    if (!differs.empty()) {
      throw ConfigError(in_quotes(path_) + " holds another sweep: " + differs +
                        "; choose another --out, or give the options and settings it was made with");
    }
  } else {
    refuse_foreign(path_);
  }
  const auto size = [](const SweepSpec& each) { return std::pair(each.members.size(), each.repeats.size()); };
  if (!recorded || size(*recorded) < size(spec_) || makes_longer(spec_, *recorded))
    write_file_atomically(file, json_text(to_json(spec_)));
  make_folder(path_ / "members");
  make_folder(path_ / "failures");
}

FileLock SweepFolder::lock() const {
  FileLock taken = FileLock::wait(path_ / ".lock", waiting_);
  if (!taken.held()) throw Stopped("stopped while waiting for the lock " + in_quotes(path_ / ".lock"));
  return taken;
}

bool SweepFolder::has_more() const {
  const std::optional<SweepSpec> recorded = recorded_spec(path_ / "sweep.json");
  return recorded && recorded->members.size() > spec_.members.size();
}

MemberStatus SweepFolder::status(const SweepMember& member) const { return status(member, spec_); }

MemberStatus SweepFolder::status(const SweepMember& member, const SweepSpec& spec) const {
  if (has_finished(directory(member), spec.epochs(member))) return MemberStatus::finished;
  if (FileLock::is_held(directory(member) / ".lock")) return MemberStatus::running;
  if (is_eliminated(directory(member))) return MemberStatus::eliminated;
  if (is_there(path_ / "failures" / (member.name + ".json"))) return MemberStatus::failed;
  return MemberStatus::pending;
}

std::optional<MemberFailure> SweepFolder::failure(const SweepMember& member) const {
  const std::filesystem::path file = path_ / "failures" / (member.name + ".json");
  if (!is_there(file)) return std::nullopt;
  std::string text;
  Json json;
  try {
    text = read_text_file(file);
    json = parse_json(text, in_quotes(file));
  } catch (const IoError&) {  // gone since
    return std::nullopt;
  } catch (const DataError&) {
    return MemberFailure{in_quotes(file) + " is damaged", false, text};
  }
  const auto is = [&](const char* key, Json::value_t type) {
    return json.is_object() && json.contains(key) && json[key].type() == type;
  };
  using enum Json::value_t;
  if (!is("error", string) || !is("final", boolean) || !is("attempt", string))
    return MemberFailure{in_quotes(file) + " is damaged; without it the member is tried again", false, text};
  return MemberFailure{json["error"].get<std::string>(), json["final"].get<bool>(),
                       json["attempt"].get<std::string>()};
}

std::optional<RunRecord> SweepFolder::record(const SweepMember& member) const {
  if (!is_there(directory(member) / "metrics.jsonl")) return std::nullopt;
  return read_run(directory(member));
}

RungValues SweepFolder::rung_values(const SweepMember& member, RungValues known) const {
  const Halving& rule = *spec_.halving;
  if (known.size() == rule.after.size()) return known;
  const std::filesystem::path run_directory = directory(member);
  const bool finished = has_finished(run_directory, spec_.epochs(member));
  const std::optional<MemberFailure> why = finished ? std::nullopt : failure(member);
  const bool diverged = why && why->final;
  std::optional<RunRecord> run = record(member);
  if (!run) run.emplace();
  std::vector<Json>& epochs = run->epochs;
  if (diverged && run->outcome.end == RunEnd::diverged) {
    epochs.resize(std::min(epochs.size(), static_cast<std::size_t>(run->outcome.epoch - 1)));
  } else if (!finished && epochs.size() >= static_cast<std::size_t>(rule.after[known.size()]) &&
             run->outcome.end != RunEnd::eliminated) {
    // A line may be of an epoch that is done once more after a kill, and finds then that it has diverged.
    const std::filesystem::path file = run_directory / "checkpoint.safetensors";
    const std::int64_t done = is_there(file) ? read_position(SafetensorsFile(file)).epoch : 0;
    epochs.resize(std::min(epochs.size(), static_cast<std::size_t>(done)));
  }
  while (known.size() < rule.after.size()) {
    const auto after = static_cast<std::size_t>(rule.after[known.size()]);
    if (epochs.size() >= after) {
      known.push_back(number_of(epochs[after - 1], rule.metric));
    } else if (finished && !epochs.empty()) {  // early
      known.push_back(number_of(epochs.back(), rule.metric));
    } else if (diverged) {
      known.push_back(std::numeric_limits<double>::quiet_NaN());
    } else {
      break;
    }
  }
  return known;
}

bool SweepFolder::eliminate(const SweepMember& member, const std::string& why) const {
  const FileLock taken = FileLock::try_take(directory(member) / ".lock");
  if (!taken.held()) return false;
  RunOutcome outcome = read_outcome(directory(member));
  outcome.end = RunEnd::eliminated;
  outcome.reason = why;
  write_outcome(directory(member), outcome);
  return true;
}

Json SweepFolder::environment_of(const SweepMember& member) const {
  try {
    const std::optional<RunRecord> run = record(member);
    return run ? run->environment : Json();
  } catch (const Error&) {  // its run will say what is wrong
    return {};
  }
}

void SweepFolder::record_failure(const SweepMember& member, const std::string& error, bool final) const {
  const MemberFailure failure{error, final, now() + " " + this_process()};
  const Json json = {{"member", member.name},
                     {"error", failure.error},
                     {"final", failure.final},
                     {"attempt", failure.attempt}};
  write_file_atomically(path_ / "failures" / (member.name + ".json"), json_text(json));
}

void SweepFolder::forget_failure(const SweepMember& member) const {
  std::error_code error;
  const std::filesystem::path file = path_ / "failures" / (member.name + ".json");
  std::filesystem::remove(file, error);
  if (error) {
    throw IoError(in_quotes(file) + ": cannot remove it, though the member has finished: " + error.message() +
                  "; check the folder's permissions");
  }
}

void SweepFolder::record_process(Json process) const {
  process["process"] = this_process();
  process["started"] = now();
  JsonLines(path_ / "processes.jsonl").append(process);
}

Json summary(const std::vector<Json>& epochs) {
  if (epochs.empty()) return nullptr;
  Json best;
  for (const Json& line : epochs) {
    for (const char* key :
         {"train_accuracy", "train_accuracy_full", "test_accuracy", "train_r2", "train_r2_full", "test_r2"}) {
      if (!line.contains(key) || !line[key].is_number()) continue;
      if (best.contains(key) && best[key]["value"] >= line[key]) continue;
      best[key] = {{"value", line[key]}, {"epoch", line["epoch"]}};
    }
  }
  return {{"last", without_times(epochs.back())}, {"best", best}};
}

Json SweepFolder::result(const SweepMember& member) {
  if (const auto known = finished_.find(member.name); known != finished_.end()) return known->second;
  const MemberStatus now = status(member, listed_);
  Json json = {{"name", member.name},
               {"directory", "members/" + member.name},
               {"settings", member.settings},
               {"status", name(now)}};
  std::vector<Json> lines;
  RunOutcome ended;
  try {
    if (now == MemberStatus::failed) {
      if (const std::optional<MemberFailure> why = failure(member)) json["error"] = why->error;
    }
    if (std::optional<RunRecord> run = record(member)) {
      lines = std::move(run->epochs);
      if (now == MemberStatus::failed || now == MemberStatus::eliminated) ended = run->outcome;
    }
  } catch (const Error& error) {  // a run that begins just now, or a damaged file: its own run will say so
    json["unreadable"] = error.what();
  }
  if (ended.end == RunEnd::diverged) {
    json["diverged"] = {{"epoch", ended.epoch}, {"step", ended.step}, {"layer", ended.layer}};
  }
  if (ended.end == RunEnd::eliminated) json["why"] = ended.reason;
  json["epochs"] = lines.size();
  if (const Json figures = summary(lines); figures.is_object()) json.update(figures);
  if (now == MemberStatus::finished) finished_[member.name] = json;
  return json;
}

Json SweepFolder::halving_of_members() {
  for (std::size_t i = 0; i < listed_.members.size(); ++i) {
    try {
      rung_values_[i] = rung_values(listed_.members[i], std::move(rung_values_[i]));
    } catch (const Error&) {  // its run will say what is wrong
      rung_values_[i].clear();
    }
  }
  return halving_record(listed_, brackets_->judge(rung_values_));
}

void SweepFolder::write_results() {
  const FileLock held = lock();
  const std::filesystem::path file = path_ / "sweep.json";
  if (std::string text = read_text_file(file); text != listed_text_) {
    listed_ = parse_sweep(text, in_quotes(file));
    listed_text_ = std::move(text);
    finished_.clear();  // they may be longer now
    brackets_.reset();
    if (listed_.halving) brackets_.emplace(listed_);
    rung_values_.assign(listed_.members.size(), {});
  }
  std::map<std::string, std::int64_t> count = {
      {"finished", 0}, {"failed", 0}, {"running", 0}, {"pending", 0}, {"eliminated", 0}};
  Json members = Json::array();
  for (const SweepMember& member : listed_.members) {
    members.push_back(result(member));
    ++count[members.back()["status"].get<std::string>()];
  }
  Json json = {{"format", kSweepFormat}};
  for (const MemberStatus status :
       {MemberStatus::finished, MemberStatus::failed, MemberStatus::running, MemberStatus::pending}) {
    const std::string key(name(status));
    json[key] = count[key];
  }
  if (brackets_) {
    json["eliminated"] = count["eliminated"];
    json["halving"] = halving_of_members();
  }
  json["members"] = std::move(members);
  for (const SweepRepeat& repeat : listed_.repeats) {
    json["same_runs"].push_back({{"name", repeat.member.name},
                                 {"settings", repeat.member.settings},
                                 {"same_run_as", repeat.same_as}});
  }
  write_file_atomically(path_ / "results.json", json_text(json));
}

}  // namespace qmse
