// What every file of the project needs of the operating system: calls that signals do not interrupt, and
// errors that say what to do.
#pragma once

#include <cerrno>
#include <filesystem>
#include <string>

namespace qmse {

// Repeats a system call that a signal interrupted. Returns what the call does, with errno.
template <class Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// Throws IoError: "cannot <action> '<path>': No space left on device; free some space or ...". `error` is an
// errno of writing to `path` or of something in its folder.
[[noreturn]] void fail_to_write(const std::filesystem::path& path, int error,
                                const std::string& action = "write");

// Whether flock() failed because the file system has no locks.
bool means_no_locks(int error);

}  // namespace qmse
