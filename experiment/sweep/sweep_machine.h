// What a sweep trains on, and how many members at a time.
#pragma once

#include <cstdint>

#include "experiment/sweep/sweep_spec.h"

namespace qmse {

struct SweepMachine {
  // By the device and threads of the spec's base. `jobs` 0: as many as there are CPU threads, or 4 on a GPU;
  // never more than members. ConfigError where there is no such device.
  SweepMachine(const SweepSpec& spec, std::int64_t jobs);

  bool cuda = false;
  std::int64_t threads = 1;  // of all members together
  std::int64_t jobs = 1;
};

}  // namespace qmse
