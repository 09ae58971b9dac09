// What surrounds this process: environment variables and what launchers of many processes say in them, the
// machine, the command line.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qmse {

// The value of an environment variable; nothing where it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

// This process's environment; nothing else of experiment/ reads it.
Environment process_environment();

// The number, 0 or more, that a variable says; nothing where it is not set or empty. ConfigError, with the
// remedy, for another value.
std::optional<int> environment_number(const Environment& environment, const char* name,
                                      const std::string& remedy);

// This process's number among those on its machine, as MPI launchers, Slurm and torchrun give it; nothing
// where none does.
std::optional<int> local_rank(const Environment& environment);

// The name of this machine; "unknown" where it has none.
std::string host_name();

// How this program was called, as a shell would take it, for the records of runs: the program says it once,
// before it begins; empty where none has.
void set_command_line(const std::vector<std::string>& words);
const std::string& command_line();

// 0 or more in decimal digits; nothing for anything else.
std::optional<int> whole_number(std::string_view text);

}  // namespace qmse
