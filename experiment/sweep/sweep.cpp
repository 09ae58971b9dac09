#include "experiment/sweep/sweep.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
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
#include "experiment/sweep/sweep_board.h"
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
    board_.emplace(folder_, shard_);
    here_.resize(spec().members.size());
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
    board_->look_at_rest();  // the others' last ones
    tell_eliminated();
    say_held();
    SweepOutcome outcome = board_->outcome();
    try {
      if (!keep_checkpoints_) drop_checkpoints();
      folder_.write_results();
    } catch (const Error& error) {
      outcome.results_error = error.what();
    }
    return outcome;
  }

 private:
  using Stage = SweepBoard::Stage;

  const SweepSpec& spec() const { return folder_.spec(); }
  const SweepMember& member_of(std::size_t i) const { return spec().members[i]; }

  void say_how() {
    const std::string machine =
        machine_.cuda ? std::string("on the GPU") : counted(machine_.threads, "CPU thread");
    const std::int64_t finished = board_->count(Stage::finished);
    notice(counted(spec().members.size(), "member") + " in " + in_quotes(folder_.path()) +
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
    for (std::size_t i = 0; i < spec().members.size(); ++i) {
      if (board_->stage(i) != Stage::finished && board_->stage(i) != Stage::eliminated) continue;
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
    const std::optional<std::size_t> next = board_->take();
    if (board_->has_eliminated()) {
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
    const auto any = [this](Stage stage) { return board_->any(stage); };
    if (any(Stage::waiting)) return true;  // another member's end has freed it
    if (!any(Stage::elsewhere) && !(any(Stage::held) && any(Stage::here))) return false;
    if (any(Stage::elsewhere)) say_waiting(guard);
    changed_.wait_for(guard, kLookAgain);
    return true;
  }

  // With no lock held.
  void tell_eliminated() {
    std::vector<std::pair<std::size_t, std::string>> all;
    SweepProgress now;
    {
      const std::lock_guard guard(mutex_);
      all = board_->take_eliminated();
      now = progress();
    }
    for (const auto& [i, why] : all) {
      MemberReport report{.name = member_of(i).name, .number = static_cast<std::int64_t>(i) + 1};
      report.status = MemberStatus::eliminated;
      report.why = why;
      report.seconds = here_[i].seconds;
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
    const std::int64_t held = board_->count(Stage::held);
    if (held == 0 || stop_requested()) return;
    notice(counted(held, "member") + (held == 1 ? " waits" : " wait") +
           " to be compared with one that failed: mend that, and the same command goes on");
  }

  void say_waiting(std::unique_lock<std::mutex>& guard) {
    if (said_waiting_ || board_->any(Stage::here)) return;
    said_waiting_ = true;
    const std::int64_t count = board_->count(Stage::elsewhere);
    guard.unlock();
    notice("waiting for " + counted(count, "member") +
           " that other processes are working on, to take over what they leave unfinished");
    guard.lock();
  }

  // Threads of one more member: fewer members than jobs share all of them. Results do not depend on it.
  std::int64_t threads_for_one() {
    const std::lock_guard guard(mutex_);
    const std::int64_t busy = board_->count(Stage::here) + board_->count(Stage::waiting);
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
      here_[i].silent = here_[i].seconds > 0;
      run.emplace(given(i), events_of(i), &images_, &contexts);
      here_[i].silent = false;
      write_results();
      if (run->run() == TrainingOutcome::stopped) {
        if (folder_.failure(member)) folder_.forget_failure(member);
        here_[i].seconds += seconds_since(start);
        run.reset();  // halving takes its lock where it goes no further
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
    report.seconds = here_[i].seconds + seconds_since(start);
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
    board_->put_back(i, stage);
  }

  void settle(std::size_t i, const MemberReport& report) {
    SweepProgress now;
    {
      const std::lock_guard guard(mutex_);
      if (report.error.empty()) {
        board_->finish(i);
      } else {
        if (fail_fast_ && !report.diverged) failed_fast_ = true;
        board_->fail(i, report.error, report.diverged);
      }
      now = progress();
    }
    const std::lock_guard guard(events_mutex_);
    if (events_.member) events_.member(report, now);
  }

  TrainingEvents events_of(std::size_t i) {
    TrainingEvents events;
    events.notice = [this, i](const std::string& text) {
      if (here_[i].silent) return;
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
      *far_enough = board_->trained_epoch(i, record.epoch, record.seconds);
    };
    events.stop_loading = [this] { return stop_requested(); };
    events.stop = [this, far_enough] { return *far_enough || stop_requested(); };
    return events;
  }

  void keep_progress(std::size_t i, double epochs_done) {
    SweepProgress now;
    {
      const std::lock_guard guard(mutex_);
      board_->progressed(i, epochs_done);
      if (!events_.progress || seconds_since(shown_) < 0.1) return;
      shown_ = Clock::now();
      now = progress();
    }
    const std::lock_guard guard(events_mutex_);
    events_.progress(now);
  }

  // With the mutex held.
  SweepProgress progress() const { return board_->progress(machine_.jobs); }

  // Of a member that trains here, written by its thread alone; others read it once the board has it back.
  struct Here {
    double seconds = 0;   // that it took here
    bool silent = false;  // it goes on here, and begins with what was said before
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

  std::mutex mutex_;  // of the board; never held while an event is called
  std::condition_variable changed_;
  std::optional<SweepBoard> board_;  // made when the GPU is known to be there
  std::vector<Here> here_;
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
