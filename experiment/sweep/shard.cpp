#include "experiment/sweep/shard.h"

#include <algorithm>

#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse {
namespace {

std::optional<int> number(const Environment& environment, const char* name) {
  return environment_number(environment, name, "--shard i/n says by hand which share to take");
}

// A launcher that gives only one of the two numbers has started one process.
std::optional<Shard> rank_of(const Environment& environment) {
  constexpr const char* kLaunchers[][2] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                           {"PMI_RANK", "PMI_SIZE"},
                                           {"SLURM_PROCID", "SLURM_NTASKS"}};
  for (const auto& [rank_name, size_name] : kLaunchers) {
    const std::optional<int> rank = number(environment, rank_name), size = number(environment, size_name);
    if (!rank || !size) continue;
    if (*rank >= *size) {
      throw ConfigError(std::string(rank_name) + " is " + std::to_string(*rank) + ", but " + size_name +
                        " is " + std::to_string(*size) + "; --shard i/n says by hand which share to take");
    }
    return Shard{*rank, *size, rank_name};
  }
  return std::nullopt;
}

}  // namespace

Shard parse_shard(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    const std::optional<int> index = whole_number(text.substr(0, slash));
    const std::optional<int> count = whole_number(text.substr(slash + 1));
    if (index && count && *index < *count) return {*index, *count, "--shard"};
  }
  throw ConfigError("--shard must be i/n with i from 0 to n - 1, such as 0/3, 1/3 and 2/3, not " +
                    in_quotes(text));
}

std::optional<Shard> shard_of(const Environment& environment) {
  const std::optional<Shard> rank = rank_of(environment);
  const std::optional<int> task = number(environment, "SLURM_ARRAY_TASK_ID");
  const std::optional<int> tasks = number(environment, "SLURM_ARRAY_TASK_COUNT");
  if (!task || !tasks || *tasks < 1) return rank;
  const int first = number(environment, "SLURM_ARRAY_TASK_MIN").value_or(0);
  const int step = std::max(number(environment, "SLURM_ARRAY_TASK_STEP").value_or(1), 1);
  // A list such as --array=1,5,7 may give two tasks the same share: the members' locks keep them apart.
  const int place = std::max(*task - first, 0) / step % *tasks;
  const Shard inner = rank.value_or(Shard{0, 1, ""});
  return Shard{place * inner.count + inner.index, *tasks * inner.count,
               "SLURM_ARRAY_TASK_ID" + (inner.source.empty() ? "" : " and " + inner.source)};
}

std::optional<Shard> shard_from_environment() { return shard_of(process_environment()); }

}  // namespace qmse
