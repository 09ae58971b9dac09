// What a sweep consists of: its members, each the settings of one training run.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiment/run/config.h"
#include "experiment/sweep/halving.h"

namespace qmse {

struct SweepMember {
  std::string name;  // unique, and the name of its run directory
  Json settings;     // what it has of its own, on top of the base
};

// A combination of settings whose run another member makes: they differ in nothing that this run uses.
struct SweepRepeat {
  SweepMember member;
  std::string same_as;  // that member's name
};

struct SweepSpec {
  Json base = Json::object();        // settings of all members
  std::vector<SweepMember> members;  // no two of them are the same run
  std::vector<SweepRepeat> repeats;  // are not trained again
  std::optional<Halving> halving;

  // Base and own settings: what the member's run is given, but for `out`, `resume` and the machine.
  Json settings(const SweepMember& member) const;
  TrainConfig config(const SweepMember& member) const;  // those, over the defaults
  std::int64_t epochs(const SweepMember& member) const;
};

// {"base": {settings}, "grid": {"loss": ["mse", "qmse"], "seed": [1, 2]}, "sample": {"lr": {"log_uniform":
// [0.001, 1]}, "count": 20, "seed": 1}, "members": [{settings}, ...]}: every combination of the grid's values
// (the last key changes fastest), each with every one of `count` random choices of the sampled settings
// ("uniform", "log_uniform": to four digits), then the members named one by one, which may have a "name". All
// are optional, and so are the sample's seed, 1, and "halving" (halving.h). Throws ConfigError, beginning with `source` (a file
// name): unknown keys (with the nearest known one), wrong types and ranges, keys given twice, settings that
// do not go together, names that cannot be used, no member at all.
SweepSpec parse_sweep(std::string_view text, const std::string& source);

// Checks a spec as parse_sweep() does, makes its paths absolute, gives names to members that have none and
// finds those that are the same run as an earlier one.
void complete(SweepSpec& spec, const std::string& source);

// {"format": 2, "base": {...}, "members": [{"name": ..., ...}, ...]}, repeats last, and "halving" where there
// is one: parse_sweep() reads it back. A file without "format" is of format 1, which is the same but for that;
// one of a later format is a ConfigError.
inline constexpr int kSweepFormat = 2;
Json to_json(const SweepSpec& spec);

// Why `spec` does not continue `recorded`, for a message; empty where it does: the base is the same, and so
// are the members, but that one of the two may have more, and that `spec`, where it has all of them, may
// have more epochs. With halving both have the same members: who goes on depends on all. The paths "data" and "init_from" are not looked at (sweep_content.h).
std::string difference(const SweepSpec& spec, const SweepSpec& recorded);
// Whether it does so with more epochs for a member.
bool makes_longer(const SweepSpec& spec, const SweepSpec& recorded);

}  // namespace qmse
