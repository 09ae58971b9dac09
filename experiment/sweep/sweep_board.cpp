#include "experiment/sweep/sweep_board.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "experiment/run/config.h"
#include "experiment/run/run_record.h"

namespace qmse {

SweepBoard::SweepBoard(const SweepFolder& folder, const Shard& shard)
    : folder_(folder), shares_(shard.count) {
  if (spec().halving) brackets_.emplace(spec());
  const auto count = static_cast<std::size_t>(shard.count);
  std::vector<std::size_t> others;
  members_.resize(spec().members.size());
  rung_values_.resize(members_.size());
  for (std::size_t i = 0; i < members_.size(); ++i) {
    members_[i].own = i % count == static_cast<std::size_t>(shard.index);
    (members_[i].own ? order_ : others).push_back(i);
    find(i);
  }
  order_.insert(order_.end(), others.rbegin(), others.rend());
  judge();
}

void SweepBoard::find(std::size_t i) {
  Member& member = members_[i];
  const TrainConfig config = spec().config(member_of(i));
  member.epochs = config.epochs;
  member.expected = static_cast<double>(config.epochs);
  member.kind =
      Json{config.dataset, config.train_limit, config.model, config.batch_size, config.evaluate_train}.dump();
  const MemberStatus now = folder_.status(member_of(i));
  member.stage = stage_of(now);
  if (const auto failure = folder_.failure(member_of(i)); failure && now != MemberStatus::finished) {
    member.old_attempt = failure->attempt;
    if (failure->final) settle_failed(member, failure->error, true);
  }
  if (member.stage == Stage::waiting) member.epochs_done = epochs_so_far(i);
  if (brackets_) keep_values(i);
}

double SweepBoard::epochs_so_far(std::size_t i) const {
  try {
    const std::optional<RunRecord> run = folder_.record(member_of(i));
    return run ? static_cast<double>(run->epochs.size()) : 0;
  } catch (const Error&) {  // its run will say what is wrong
    return 0;
  }
}

// A failure may be tried again.
SweepBoard::Stage SweepBoard::stage_of(MemberStatus status) {
  switch (status) {
    case MemberStatus::finished:
      return Stage::finished;
    case MemberStatus::running:
      return Stage::elsewhere;
    case MemberStatus::eliminated:
      return Stage::eliminated;
    case MemberStatus::pending:
    case MemberStatus::failed:
      break;
  }
  return Stage::waiting;
}

bool SweepBoard::is_done(const Member& member) {
  return member.stage == Stage::finished || member.stage == Stage::failed ||
         member.stage == Stage::eliminated;
}

bool SweepBoard::is_to_do(const Member& member) {
  return member.stage == Stage::waiting || member.stage == Stage::held;
}

void SweepBoard::settle_failed(Member& member, const std::string& error, bool diverged) {
  member.stage = Stage::failed;
  member.error = error;
  member.diverged = diverged;
}

std::int64_t SweepBoard::count(Stage stage) const {
  return std::count_if(members_.begin(), members_.end(),
                       [stage](const Member& member) { return member.stage == stage; });
}

std::optional<std::size_t> SweepBoard::take() {
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

void SweepBoard::look_at_rest() {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (!is_done(members_[i])) look_at(i);
  }
}

void SweepBoard::look_at(std::size_t i) {
  see_stage(i);
  if (!brackets_) return;
  keep_values(i);
  judge();
}

void SweepBoard::see_stage(std::size_t i) {
  Member& member = members_[i];
  const MemberStatus now = folder_.status(member_of(i));
  member.stage = stage_of(now);
  if (now != MemberStatus::failed) return;
  const std::optional<MemberFailure> failure = folder_.failure(member_of(i));
  if (failure && (failure->final || failure->attempt != member.old_attempt))
    settle_failed(member, failure->error, failure->final);
}

void SweepBoard::keep_values(std::size_t i) {
  try {
    rung_values_[i] = folder_.rung_values(member_of(i), rung_values_[i]);
  } catch (const Error&) {  // its run will say what is wrong
  }
}

// Who goes on by halving, and how far, by what all have shown.
void SweepBoard::judge() {
  if (!brackets_) return;
  const HalvingState state = brackets_->judge(rung_values_);
  for (std::size_t i = 0; i < members_.size(); ++i) {
    Member& member = members_[i];
    const HalvingPlace& place = state.members[i];
    member.epochs = place.epochs;
    member.expected = place.expected;
    if (!is_to_do(member)) continue;
    member.stage = place.waits ? Stage::held : Stage::waiting;
    if (!place.eliminated) continue;
    const std::string why = elimination_text(*spec().halving, state, i);
    const bool recorded = folder_.eliminate(member_of(i), why);
    member.stage = recorded ? Stage::eliminated : Stage::elsewhere;
    if (recorded) eliminated_.emplace_back(i, why);
  }
}

bool SweepBoard::trained_epoch(std::size_t i, std::int64_t epoch, double seconds) {
  Member& member = members_[i];
  Measured& measured = measured_[member.kind];
  measured.seconds += seconds;
  measured.epochs += 1;
  member.epochs_done = static_cast<double>(epoch);
  return epoch >= member.epochs;
}

void SweepBoard::put_back(std::size_t i, Stage stage) {
  members_[i].stage = stage;
  if (brackets_) keep_values(i);
  judge();
}

void SweepBoard::finish(std::size_t i) { put_back(i, Stage::finished); }

void SweepBoard::fail(std::size_t i, const std::string& error, bool diverged) {
  settle_failed(members_[i], error, diverged);
  put_back(i, Stage::failed);
}

SweepProgress SweepBoard::progress(std::int64_t jobs) const {
  SweepProgress now;
  now.members = static_cast<std::int64_t>(members_.size());
  now.finished = count(Stage::finished);
  now.failed = count(Stage::failed);
  now.eliminated = count(Stage::eliminated);
  now.elsewhere = count(Stage::elsewhere);
  now.running = count(Stage::here);
  const bool share_left = std::any_of(members_.begin(), members_.end(), [](const Member& member) {
    return member.own && (is_to_do(member) || member.stage == Stage::here);
  });
  double left = 0;
  for (const Member& member : members_) {
    const bool here = member.stage == Stage::here;
    if (here) now.epochs_done += member.epochs_done;
    // The others' members are others' work, until the own are done; then some of them are.
    const double ours = here || (is_to_do(member) && member.own) ? 1.0
                        : is_to_do(member) && !share_left        ? 1.0 / shares_
                                                                 : 0.0;
    left += ours * std::max(member.expected - member.epochs_done, 0.0) * seconds_an_epoch(member.kind);
  }
  if (!measured_.empty()) now.seconds_left = left / static_cast<double>(jobs);
  return now;
}

// Of this kind, or of all where there was none yet.
double SweepBoard::seconds_an_epoch(const std::string& kind) const {
  if (const auto known = measured_.find(kind); known != measured_.end())
    return known->second.seconds / known->second.epochs;
  Measured all;
  for (const auto& [other, measured] : measured_) {
    all.seconds += measured.seconds;
    all.epochs += measured.epochs;
  }
  return all.epochs > 0 ? all.seconds / all.epochs : 0;
}

SweepOutcome SweepBoard::outcome() const {
  SweepOutcome outcome;
  outcome.members = static_cast<std::int64_t>(members_.size());
  outcome.finished = count(Stage::finished);
  outcome.eliminated = count(Stage::eliminated);
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].stage == Stage::failed)
      outcome.failed.push_back({member_of(i).name, members_[i].error, members_[i].diverged});
  }
  outcome.stopped = outcome.finished + outcome.eliminated + static_cast<std::int64_t>(outcome.failed.size()) <
                    outcome.members;
  return outcome;
}

}  // namespace qmse
