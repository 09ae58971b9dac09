// Which share of a sweep's members a process takes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "experiment/run/process_environment.h"

namespace qmse {

// Share `index` of `count`, 0 <= index < count.
struct Shard {
  int index = 0;
  int count = 1;
  std::string source;  // who said so: "--shard", "OMPI_COMM_WORLD_RANK", ...; empty: nobody
};

// "2/8" is the third of eight. ConfigError for anything that is no share.
Shard parse_shard(std::string_view text);

// The share that an MPI launcher (OMPI_COMM_WORLD_RANK and _SIZE, PMI_RANK and _SIZE) or Slurm's srun
// (SLURM_PROCID, SLURM_NTASKS) gave this process, times that of a Slurm array (SLURM_ARRAY_TASK_ID, _COUNT,
// _MIN, _STEP), of which each task may have several ranks. Nothing where there is neither. ConfigError for
// values that are no numbers.
std::optional<Shard> shard_of(const Environment& environment);

// shard_of() this process's environment.
std::optional<Shard> shard_from_environment();

}  // namespace qmse
