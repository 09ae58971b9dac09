#include "experiment/sweep/sweep.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/name_text.h"
#include "base/stopped.h"
#include "experiment/run/image_cache.h"
#include "experiment/run/plain_text.h"
#include "experiment/run/training_run.h"
#include "experiment/sweep/halving.h"
#include "experiment/sweep/sweep_machine.h"

namespace qmse {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr auto kLookAgain = std::chrono::milliseconds(300);  // at members that other processes work on

TrainConfig config_of(const Json& settings) {
  TrainConfig config;
  apply_layer(config, settings);
  return config;
}

class Sweep {
 public:
  Sweep(const SweepRequest& request, const SweepEvents& events)
      : events_(events),
        folder_(request.out, request.spec, {[this](const std::string& text) { notice(text); }, events.stop}),
        shard_(request.shard),
        machine_(folder_.spec(), request.jobs),
        fail_fast_(request.fail_fast),
        keep_checkpoints_(request.keep_checkpoints) {
    // A GPU that is not there is one error, not one a member.
    if (machine_.cuda) own_contexts_.get(config_of(spec().base));
    if (spec().halving) brackets_.emplace(spec());
    find_members();
    say_how();
  }

  SweepOutcome run() {
    tell_eliminated();
    write_results();
    {
      std::vector<std::jthread> workers;
      const auto on_its_own = [this] {
        ContextCache contexts;
        work(contexts);
      };
      for (std::int64_t i = 1; i < machine_.jobs; ++i) workers.emplace_back(on_its_own);
      work(own_contexts_);
    }
    if (error_) std::rethrow_exception(error_);
    for (std::size_t i = 0; i < members_.size(); ++i) {  // the others' last ones
      if (!is_done(members_[i])) look_at(i);
    }
    tell_eliminated();
    say_held();
    SweepOutcome outcome = outcome_so_far();
    try {
      if (!keep_checkpoints_) drop_checkpoints();
      folder_.write_results();
    } catch (const Error& error) {
      outcome.results_error = error.what();
    }
    return outcome;
  }

 private:
  // held: as far as halving lets it go before the members it is compared with have come there too.
  enum class Stage { waiting, here, elsewhere, held, finished, failed, eliminated };

  struct Member {
    Stage stage = Stage::waiting;
    bool own = false;         // of this process's share
    std::string old_attempt;  // of a failure that a later process may try again
    std::string error;
    bool diverged = false;  // that is why it failed
    double epochs_done = 0;
    std::int64_t epochs = 1;  // that it may train now
    double expected = 1;      // that it comes to in the end
    double seconds = 0;       // that it took here
    bool silent = false;      // it goes on here, and begins with what was said before
    std::string kind;         // members of one kind take as long an epoch
  };
  static bool is_done(const Member& member) {
    return member.stage == Stage::finished || member.stage == Stage::failed ||
           member.stage == Stage::eliminated;
  }

  const SweepSpec& spec() const { return folder_.spec(); }
  const SweepMember& member_of(std::size_t i) const { return spec().members[i]; }

  // Everything the files tell, and the order in which this process goes through the members: its own share
  // from the front, then those of the others from the back, where they will arrive last.
  void find_members() {
    const auto count = static_cast<std::size_t>(shard_.count);
    std::vector<std::size_t> others;
    members_.resize(spec().members.size());
    rung_values_.resize(members_.size());
    for (std::size_t i = 0; i < members_.size(); ++i) {
      Member& member = members_[i];
      const TrainConfig config = config_of(spec().settings(member_of(i)));
      member.epochs = config.epochs;
      member.expected = static_cast<double>(config.epochs);
      member.kind =
          Json{config.dataset, config.train_limit, config.model, config.batch_size, config.evaluate_train}
              .dump();
      member.own = i % count == static_cast<std::size_t>(shard_.index);
      (member.own ? order_ : others).push_back(i);
      const MemberStatus now = folder_.status(member_of(i));
      if (now == MemberStatus::finished) member.stage = Stage::finished;
      if (now == MemberStatus::running) member.stage = Stage::elsewhere;
      if (now == MemberStatus::eliminated) member.stage = Stage::eliminated;
      if (const auto failure = folder_.failure(member_of(i)); failure && now != MemberStatus::finished) {
        member.old_attempt = failure->attempt;
        if (failure->final) settle_failed(member, failure->error, true);
      }
      if (member.stage == Stage::waiting) member.epochs_done = epochs_so_far(i);
      if (brackets_) keep_values(i);
    }
    order_.insert(order_.end(), others.rbegin(), others.rend());
    judge();
  }

  double epochs_so_far(std::size_t i) const {
    try {
      const std::optional<RunRecord> run = folder_.record(member_of(i));
      return run ? static_cast<double>(run->epochs.size()) : 0;
    } catch (const Error&) {  // its run will say what is wrong
      return 0;
    }
  }

  void say_how() {
    const std::string machine =
        machine_.cuda ? std::string("on the GPU") : counted(machine_.threads, "CPU thread");
    std::int64_t finished = 0;
    for (const Member& member : members_) finished += member.stage == Stage::finished ? 1 : 0;
    notice(counted(members_.size(), "member") + " in " + in_quotes(folder_.path()) +
           (finished > 0 ? ", " + std::to_string(finished) + " of them finished" : "") + "; " +
           std::to_string(machine_.jobs) + " at a time, " + machine);
    if (!shard_.source.empty()) {
      notice("share " + std::to_string(shard_.index) + " of " + std::to_string(shard_.count) + ", by " +
             shard_.source + "; then what is left of the others'");
    }
    if (const auto& rule = spec().halving) {
      std::string epochs;
      for (const std::int64_t after : rule->after)
        epochs += (epochs.empty() ? "" : ", ") + std::to_string(after);
      notice("halving after epoch " + epochs + ": of the settings one in " + std::to_string(rule->factor) +
             " goes on, by " + rule->metric + "; results.json says which");
    }
    if (const std::size_t repeats = spec().repeats.size(); repeats > 0) {
      const SweepRepeat& first = spec().repeats.front();
      notice(std::to_string(repeats) + " more " + (repeats == 1 ? "is" : "are") +
             " the same run as one of these, and not trained again: " + first.member.name + " is " +
             first.same_as + (repeats == 1 ? "" : ", ...; results.json lists them"));
    }
    Json record = {{"jobs", machine_.jobs}, {"device", machine_.cuda ? "cuda" : "cpu"}};
    if (!machine_.cuda) record["threads"] = machine_.threads;
    record["share"] = {{"index", shard_.index}, {"count", shard_.count}, {"source", shard_.source}};
    folder_.record_process(std::move(record));
  }

  bool stop_requested() const { return failed_fast_ || (events_.stop && events_.stop()); }

  // Of every member that goes no further, whichever process ended it.
  void drop_checkpoints() const {
    for (std::size_t i = 0; i < members_.size(); ++i) {
      if (members_[i].stage != Stage::finished && members_[i].stage != Stage::eliminated) continue;
      const std::filesystem::path file = folder_.directory(member_of(i)) / "checkpoint.safetensors";
      std::error_code error;
      std::filesystem::remove(file, error);
      if (error) throw IoError(in_quotes(file) + ": cannot remove it: " + error.message());
    }
  }

  // The callers hold no lock.
  void notice(const std::string& text) {
    const std::lock_guard guard(events_mutex_);
    if (events_.notice) events_.notice(text);
  }

  // At most once a second: short members must not wait for the disk.
  void write_results() {
    try {
      const std::lock_guard guard(results_mutex_);
      if (seconds_since(results_written_) < 1) return;
      folder_.write_results();
      results_written_ = Clock::now();
    } catch (const Error& error) {  // a full disk, say: the members' own files hold what it would say
      notice(std::string("results.json is not up to date: ") + error.what());
    }
  }

  // One of the threads that train.
  void work(ContextCache& contexts) {
    try {
      while (!stop_requested() && work_once(contexts)) {
      }
    } catch (...) {  // not a member's failure, which train() keeps to itself
      const std::lock_guard guard(mutex_);
      error_ = std::current_exception();
    }
  }

  // False where there is nothing left to do.
  bool work_once(ContextCache& contexts) {
    std::unique_lock guard(mutex_);
    if (error_) return false;
    const std::optional<std::size_t> next = take();
    if (!eliminated_.empty()) {
      guard.unlock();
      tell_eliminated();
      guard.lock();
    }
    if (next) {
      guard.unlock();
      train(*next, contexts);
      changed_.notify_all();
      return true;
    }
    if (any(Stage::waiting)) return true;  // another member's end has freed it
    if (!any(Stage::elsewhere) && !(any(Stage::held) && any(Stage::here))) return false;
    if (any(Stage::elsewhere)) say_waiting(guard);
    changed_.wait_for(guard, kLookAgain);
    return true;
  }

  // The next member for this process, marked as such. With the mutex held.
  std::optional<std::size_t> take() {
    for (const bool again : {false, true}) {
      for (const std::size_t i : order_) {
        Member& member = members_[i];
        if (member.stage != (again ? Stage::elsewhere : Stage::waiting)) continue;
        look_at(i);
        if (member.stage != Stage::waiting) continue;
        member.stage = Stage::here;
        return i;
      }
    }
    return std::nullopt;
  }

  // What other processes have done with a member since. With the mutex held, where there are other threads.
  void look_at(std::size_t i) {
    see_stage(i);
    if (!brackets_) return;
    keep_values(i);
    judge();
  }

  void see_stage(std::size_t i) {
    Member& member = members_[i];
    switch (folder_.status(member_of(i))) {
      case MemberStatus::finished:
        member.stage = Stage::finished;
        return;
      case MemberStatus::running:
        member.stage = Stage::elsewhere;
        return;
      case MemberStatus::eliminated:
        member.stage = Stage::eliminated;
        return;
      case MemberStatus::pending:
        member.stage = Stage::waiting;
        return;
      case MemberStatus::failed:
        break;
    }
    member.stage = Stage::waiting;
    const std::optional<MemberFailure> failure = folder_.failure(member_of(i));
    if (failure && (failure->final || failure->attempt != member.old_attempt))
      settle_failed(member, failure->error, failure->final);
  }

  void keep_values(std::size_t i) {
    try {
      rung_values_[i] = folder_.rung_values(member_of(i), rung_values_[i]);
    } catch (const Error&) {  // its run will say what is wrong
    }
  }

  // Who goes on by halving, and how far, by what all have shown. With the mutex held.
  void judge() {
    if (!brackets_) return;
    const HalvingState state = brackets_->judge(rung_values_);
    for (std::size_t i = 0; i < members_.size(); ++i) {
      Member& member = members_[i];
      const HalvingPlace& place = state.members[i];
      member.epochs = place.epochs;
      member.expected = place.expected;
      if (member.stage != Stage::waiting && member.stage != Stage::held) continue;
      member.stage = place.waits ? Stage::held : Stage::waiting;
      if (!place.eliminated) continue;
      const std::string why = elimination_text(*spec().halving, state, i);
      const bool recorded = folder_.eliminate(member_of(i), why);
      member.stage = recorded ? Stage::eliminated : Stage::elsewhere;
      if (recorded) eliminated_.emplace_back(i, why);
    }
  }

  // What judge() has to report. With no lock held.
  void tell_eliminated() {
    std::vector<std::pair<std::size_t, std::string>> all;
    SweepProgress now;
    {
      const std::lock_guard guard(mutex_);
      all.swap(eliminated_);
      now = progress();
    }
    for (const auto& [i, why] : all) {
      MemberReport report{.name = member_of(i).name, .number = static_cast<std::int64_t>(i) + 1};
      report.status = MemberStatus::eliminated;
      report.why = why;
      report.seconds = members_[i].seconds;
      add_last_epoch(report, i);
      const std::lock_guard guard(events_mutex_);
      if (events_.member) events_.member(report, now);
    }
  }

  void add_last_epoch(MemberReport& report, std::size_t i) {
    try {
      const std::optional<RunRecord> record = folder_.record(member_of(i));
      if (record && !record->epochs.empty()) report.last = record->epochs.back();
    } catch (const Error& error) {
      notice(report.name + ": " + error.what());
    }
  }

  // Those whose comparison a failed member keeps from being done.
  void say_held() {
    const auto held = std::count_if(members_.begin(), members_.end(),
                                    [](const Member& member) { return member.stage == Stage::held; });
    if (held == 0 || stop_requested()) return;
    notice(counted(held, "member") + (held == 1 ? " waits" : " wait") +
           " to be compared with one that failed: mend that, and the same command goes on");
  }

  static void settle_failed(Member& member, const std::string& error, bool diverged) {
    member.stage = Stage::failed;
    member.error = error;
    member.diverged = diverged;
  }

  bool any(Stage stage) const {
    return std::any_of(members_.begin(), members_.end(),
                       [stage](const Member& member) { return member.stage == stage; });
  }

  void say_waiting(std::unique_lock<std::mutex>& guard) {
    if (said_waiting_ || running() > 0) return;
    said_waiting_ = true;
    const std::int64_t count = progress().elsewhere;
    guard.unlock();
    notice("waiting for " + counted(count, "member") +
           " that other processes are working on, to take over what they leave unfinished");
    guard.lock();
  }

  std::int64_t running() const {
    return std::count_if(members_.begin(), members_.end(),
                         [](const Member& member) { return member.stage == Stage::here; });
  }

  // Threads of one more member: fewer members than jobs share all of them. Results do not depend on it.
  std::int64_t threads_for_one() {
    const std::lock_guard guard(mutex_);
    const auto busy = std::count_if(members_.begin(), members_.end(), [](const Member& member) {
      return member.stage == Stage::here || member.stage == Stage::waiting;
    });
    return std::max<std::int64_t>(1, machine_.threads / std::clamp<std::int64_t>(busy, 1, machine_.jobs));
  }

  void train(std::size_t i, ContextCache& contexts) {
    const bool failed = train_in(i, contexts);
    contexts.run_ended(failed);
    // A GPU that no longer works for this process is one error too: the members that are left are a later
    // process's.
    if (machine_.cuda && failed) check_device(contexts);
  }

  void check_device(ContextCache& contexts) {
    try {
      contexts.get(config_of(spec().base));
    } catch (const Error& error) {
      throw CudaError(
          std::string("after a member's failure the GPU does not work for this process any more (") +
          error.what() + "): start the sweep again, which goes on with what is left");
    }
  }

  // Whether it failed, other than by its numbers.
  bool train_in(std::size_t i, ContextCache& contexts) {
    const SweepMember& member = member_of(i);
    const Clock::time_point start = Clock::now();
    MemberReport report{.name = member.name, .number = static_cast<std::int64_t>(i) + 1};
    std::optional<TrainingRun> run;  // its lock is held until a failure is recorded
    try {
      members_[i].silent = members_[i].seconds > 0;
      run.emplace(given(i), events_of(i), &images_, &contexts);
      members_[i].silent = false;
      write_results();
      if (run->run() == TrainingOutcome::stopped) {
        if (folder_.failure(member)) folder_.forget_failure(member);
        members_[i].seconds += seconds_since(start);
        run.reset();  // judge() takes its lock where it goes no further
        put_back(i, Stage::waiting);
        tell_eliminated();
        write_results();
        return false;
      }
      if (folder_.failure(member)) folder_.forget_failure(member);
    } catch (const Stopped&) {  // before it began
      put_back(i, Stage::waiting);
      return false;
    } catch (const RunDirectoryInUse&) {
      put_back(i, Stage::elsewhere);
      return false;
    } catch (const NumericError& error) {  // the same bits would come to the same end
      report.error = error.what();
      report.diverged = true;
    } catch (const std::bad_alloc&) {
      report.error = "out of memory";
    } catch (const std::exception& error) {
      report.error = error.what();
    }
    try {
      if (!report.error.empty()) folder_.record_failure(member, report.error, report.diverged);
    } catch (const Error& error) {
      notice(member.name + ": " + error.what());
    }
    add_last_epoch(report, i);
    run.reset();
    report.status = report.error.empty() ? MemberStatus::finished : MemberStatus::failed;
    report.seconds = members_[i].seconds + seconds_since(start);
    settle(i, report);
    tell_eliminated();
    write_results();
    return !report.error.empty() && !report.diverged;
  }

  Json given(std::size_t i) {
    const std::filesystem::path directory = folder_.directory(member_of(i));
    Json settings = spec().settings(member_of(i));
    settings = without_unused(settings, config_of(settings));
    settings["out"] = escape_name(directory.native());
    settings["resume_or_start"] = true;
    if (!machine_.cuda) settings["threads"] = threads_for_one();
    return settings;
  }

  void put_back(std::size_t i, Stage stage) {
    const std::lock_guard guard(mutex_);
    members_[i].stage = stage;
    if (brackets_) keep_values(i);
    judge();
  }

  void settle(std::size_t i, const MemberReport& report) {
    SweepProgress now;
    {
      const std::lock_guard guard(mutex_);
      Member& member = members_[i];
      member.stage = Stage::finished;
      if (!report.error.empty()) settle_failed(member, report.error, report.diverged);
      if (fail_fast_ && !report.error.empty() && !report.diverged) failed_fast_ = true;
      if (brackets_) keep_values(i);
      judge();
      now = progress();
    }
    const std::lock_guard guard(events_mutex_);
    if (events_.member) events_.member(report, now);
  }

  TrainingEvents events_of(std::size_t i) {
    TrainingEvents events;
    events.notice = [this, i](const std::string& text) {
      if (members_[i].silent) return;
      const std::lock_guard guard(events_mutex_);  // what is the same for all members is said once
      if (events_.notice && said_.insert(text).second) events_.notice(text);
    };
    if (events_.progress)
      events.progress = [this, i](const TrainingProgress& at) {
        keep_progress(i, static_cast<double>(at.epoch - 1) +
                             static_cast<double>(at.step) / static_cast<double>(at.steps));
      };
    const auto far_enough = std::make_shared<bool>(false);  // for now: halving compares it first
    events.epoch = [this, i, far_enough](const EpochRecord& record, std::int64_t) {
      const std::lock_guard guard(mutex_);
      *far_enough = record.epoch >= members_[i].epochs;
      Measured& measured = measured_[members_[i].kind];
      measured.seconds += record.seconds;
      measured.epochs += 1;
      members_[i].epochs_done = static_cast<double>(record.epoch);
    };
    events.stop_loading = [this] { return stop_requested(); };
    events.stop = [this, far_enough] { return *far_enough || stop_requested(); };
    return events;
  }

  void keep_progress(std::size_t i, double epochs_done) {
    SweepProgress now;
    {
      const std::lock_guard guard(mutex_);
      members_[i].epochs_done = epochs_done;
      if (!events_.progress || seconds_since(shown_) < 0.1) return;
      shown_ = Clock::now();
      now = progress();
    }
    const std::lock_guard guard(events_mutex_);
    events_.progress(now);
  }

  static bool is_to_do(const Member& member) {
    return member.stage == Stage::waiting || member.stage == Stage::held;
  }

  // With the mutex held.
  SweepProgress progress() const {
    SweepProgress now;
    now.members = static_cast<std::int64_t>(members_.size());
    const bool share_left = std::any_of(members_.begin(), members_.end(), [](const Member& member) {
      return member.own && (is_to_do(member) || member.stage == Stage::here);
    });
    double left = 0;
    for (const Member& member : members_) {
      now.finished += member.stage == Stage::finished ? 1 : 0;
      now.failed += member.stage == Stage::failed ? 1 : 0;
      now.eliminated += member.stage == Stage::eliminated ? 1 : 0;
      now.elsewhere += member.stage == Stage::elsewhere ? 1 : 0;
      const bool here = member.stage == Stage::here;
      if (here) {
        ++now.running;
        now.epochs_done += member.epochs_done;
      }
      // The others' members are others' work, until the own are done; then some of them are.
      const double ours = here || (is_to_do(member) && member.own) ? 1.0
                          : is_to_do(member) && !share_left        ? 1.0 / shard_.count
                                                                   : 0.0;
      left += ours * std::max(member.expected - member.epochs_done, 0.0) * seconds_an_epoch(member.kind);
    }
    if (!measured_.empty()) now.seconds_left = left / static_cast<double>(machine_.jobs);
    return now;
  }

  // Of this kind, or of all where there was none yet.
  double seconds_an_epoch(const std::string& kind) const {
    if (const auto known = measured_.find(kind); known != measured_.end())
      return known->second.seconds / known->second.epochs;
    Measured all;
    for (const auto& [other, measured] : measured_) {
      all.seconds += measured.seconds;
      all.epochs += measured.epochs;
    }
    return all.epochs > 0 ? all.seconds / all.epochs : 0;
  }

  SweepOutcome outcome_so_far() const {
    SweepOutcome outcome;
    outcome.members = static_cast<std::int64_t>(members_.size());
    for (std::size_t i = 0; i < members_.size(); ++i) {
      if (members_[i].stage == Stage::finished) ++outcome.finished;
      if (members_[i].stage == Stage::eliminated) ++outcome.eliminated;
      if (members_[i].stage == Stage::failed)
        outcome.failed.push_back({member_of(i).name, members_[i].error, members_[i].diverged});
    }
    outcome.stopped =
        outcome.finished + outcome.eliminated + static_cast<std::int64_t>(outcome.failed.size()) <
        outcome.members;
    return outcome;
  }

  struct Measured {
    double seconds = 0, epochs = 0;
  };

  const SweepEvents& events_;
  std::mutex events_mutex_, results_mutex_;
  SweepFolder folder_;  // calls notice()
  Shard shard_;
  SweepMachine machine_;
  bool fail_fast_, keep_checkpoints_;
  std::atomic<bool> failed_fast_ = false;
  ImageCache images_;
  ContextCache own_contexts_;  // of the thread that has made this

  std::mutex mutex_;  // of the members and what is measured; never held while an event is called
  std::condition_variable changed_;
  std::vector<Member> members_;
  std::vector<std::size_t> order_;
  std::optional<HalvingBrackets> brackets_;  // where the sweep has a rule
  std::vector<RungValues> rung_values_;
  std::vector<std::pair<std::size_t, std::string>> eliminated_;  // that are not reported yet, and why
  std::map<std::string, Measured> measured_;
  Clock::time_point shown_;
  bool said_waiting_ = false;

  std::exception_ptr error_;

  Clock::time_point results_written_;
  std::set<std::string> said_;
};

}  // namespace

SweepOutcome run_sweep(const SweepRequest& request, const SweepEvents& events) {
  std::optional<Sweep> sweep;
  try {
    sweep.emplace(request, events);
  } catch (const Stopped&) {  // before it began
    SweepOutcome outcome;
    outcome.members = static_cast<std::int64_t>(request.spec.members.size());
    outcome.stopped = true;
    return outcome;
  }
  return sweep->run();
}

}  // namespace qmse
