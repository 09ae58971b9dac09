#include "experiment/shard.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>

#include "engine/in_quotes.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

std::optional<int> whole_number(std::string_view text) {
  int number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || rest != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

std::optional<int> number(const Environment& environment, const char* name,
                          const std::string& remedy = "--shard i/n says by hand which share to take") {
  const std::optional<std::string> text = environment(name);
  if (!text || text->empty()) return std::nullopt;
  const std::optional<int> value = whole_number(*text);
  if (!value) {
    throw ConfigError(std::string("environment variable ") + name + " must be a whole number, not " +
                      in_quotes(*text) + "; " + remedy);
  }
  return value;
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

std::optional<int> local_rank(const Environment& environment) {
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID", "LOCAL_RANK"}) {
    if (const std::optional<int> rank =
            number(environment, name, "--device cuda:N says by hand which GPU to take"))
      return rank;
  }
  return std::nullopt;
}

Environment process_environment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

std::optional<Shard> shard_from_environment() { return shard_of(process_environment()); }

}  // namespace qmse
