#include "experiment/run/process_environment.h"

#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "base/words.h"

namespace qmse {
namespace {

std::string& kept_command_line() {
  static std::string text;
  return text;
}

// In single quotes where a shell would not take it as it stands.
std::string as_typed(const std::string& word) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=.,:/@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

void set_command_line(const std::vector<std::string>& words) {
  kept_command_line() = join(words, " ", as_typed);
}

const std::string& command_line() { return kept_command_line(); }

Environment process_environment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

std::optional<int> whole_number(std::string_view text) {
  const auto number = number_from<int>(text);
  return number && *number >= 0 ? number : std::nullopt;
}

std::optional<int> environment_number(const Environment& environment, const char* name,
                                      const std::string& remedy) {
  const std::optional<std::string> text = environment(name);
  if (!text || text->empty()) return std::nullopt;
  const std::optional<int> value = whole_number(*text);
  if (!value) {
    throw ConfigError(std::string("environment variable ") + name + " must be a whole number, not " +
                      in_quotes(*text) + "; " + remedy);
  }
  return value;
}

std::optional<int> local_rank(const Environment& environment) {
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID", "LOCAL_RANK"}) {
    if (const std::optional<int> rank =
            environment_number(environment, name, "--device cuda:N says by hand which GPU to take"))
      return rank;
  }
  return std::nullopt;
}

}  // namespace qmse
