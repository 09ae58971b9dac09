// What one process of a sweep knows of its members, its own and the others', and which it takes next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiment/sweep/halving.h"
#include "experiment/sweep/shard.h"
#include "experiment/sweep/sweep.h"
#include "experiment/sweep/sweep_folder.h"

namespace qmse {

// For one thread at a time. Members go by their places in the spec.
class SweepBoard {
 public:
  // held: as far as halving lets it go before the members it is compared with have come there too.
  enum class Stage { waiting, here, elsewhere, held, finished, failed, eliminated };

  // Takes everything that the files tell. The folder outlives it.
  SweepBoard(const SweepFolder& folder, const Shard& shard);

  Stage stage(std::size_t i) const { return members_[i].stage; }
  std::int64_t count(Stage stage) const;
  bool any(Stage stage) const { return count(stage) > 0; }

  // The next member for this process, which is `here` from now on: of its own share from the front, then of
  // the others' from the back, where they will arrive last.
  std::optional<std::size_t> take();
  // What other processes have done since with members that are not done.
  void look_at_rest();

  // What happens to a member that is here: so many epochs of it are done; it has trained one more, and
  // whether it is now as far as it may go; it has stopped before its end; it has come to it, or failed.
  void progressed(std::size_t i, double epochs_done) { members_[i].epochs_done = epochs_done; }
  bool trained_epoch(std::size_t i, std::int64_t epoch, double seconds);
  void put_back(std::size_t i, Stage stage);
  void finish(std::size_t i);
  void fail(std::size_t i, const std::string& error, bool diverged);

  // Members that halving has ended here and were not asked for yet, and why.
  bool has_eliminated() const { return !eliminated_.empty(); }
  std::vector<std::pair<std::size_t, std::string>> take_eliminated() {
    return std::exchange(eliminated_, {});
  }

  SweepProgress progress(std::int64_t jobs) const;
  SweepOutcome outcome() const;

 private:
  struct Member {
    Stage stage = Stage::waiting;
    bool own = false;         // of this process's share
    std::string old_attempt;  // of a failure that a later process may try again
    std::string error;
    bool diverged = false;  // that is why it failed
    double epochs_done = 0;
    std::int64_t epochs = 1;  // that it may train now
    double expected = 1;      // that it comes to in the end
    std::string kind;         // members of one kind take as long an epoch
  };
  static Stage stage_of(MemberStatus status);
  static bool is_done(const Member& member);
  static bool is_to_do(const Member& member);
  static void settle_failed(Member& member, const std::string& error, bool diverged);

  const SweepSpec& spec() const { return folder_.spec(); }
  const SweepMember& member_of(std::size_t i) const { return spec().members[i]; }
  void find(std::size_t i);
  double epochs_so_far(std::size_t i) const;
  void look_at(std::size_t i);
  void see_stage(std::size_t i);
  void keep_values(std::size_t i);
  void judge();
  double seconds_an_epoch(const std::string& kind) const;

  struct Measured {
    double seconds = 0, epochs = 0;
  };

  const SweepFolder& folder_;
  int shares_;  // of the sweep's processes
  std::vector<Member> members_;
  std::vector<std::size_t> order_;
  std::optional<HalvingBrackets> brackets_;  // where the sweep has a rule
  std::vector<RungValues> rung_values_;
  std::vector<std::pair<std::size_t, std::string>> eliminated_;
  std::map<std::string, Measured> measured_;
};

}  // namespace qmse
