// Whether a sweep is the one in a folder, as far as images and first weights go: what they are counts, and
// not where they lie.
#pragma once

#include <functional>
#include <string>

#include "experiment/sweep/sweep_spec.h"

namespace qmse {

// environment.json of a member's run; null where it has not begun, or cannot be read.
using EnvironmentOf = std::function<Json(const SweepMember&)>;

// Why the images or first weights of `spec` are not those of `recorded`, for a message; empty where they are.
// Where a member has begun, what its run has recorded is compared with what lies there now; where none has
// and the path is another one, what lies at both. What cannot be read now, under the same path, is left to
// the runs.
std::string content_difference(const SweepSpec& spec, const SweepSpec& recorded,
                               const EnvironmentOf& environment_of);

}  // namespace qmse
