#include "experiment/report/gnuplot.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/in_quotes.h"
#include "experiment/run/plain_text.h"

namespace qmse {
namespace {

class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;

  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// A file in memory alone: it takes no place in a folder, and is gone with the process, however that ends.
class MemoryFile {
 public:
  explicit MemoryFile(const char* name) : descriptor_(::memfd_create(name, MFD_CLOEXEC)) {
    if (descriptor_ < 0) fail();
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  int descriptor() const { return descriptor_; }

  void write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = ::write(descriptor_, text.data(), text.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail();
      text.remove_prefix(static_cast<std::size_t>(count));
    }
    ::lseek(descriptor_, 0, SEEK_SET);
  }

  std::string read() const {
    std::string text;
    std::array<char, 65536> part;
    while (true) {
      const ssize_t count = ::pread(descriptor_, part.data(), part.size(), static_cast<off_t>(text.size()));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail();
      if (count == 0) return text;
      text.append(part.data(), static_cast<std::size_t>(count));
    }
  }

 private:
  [[noreturn]] static void fail() {
    throw IoError(std::string("cannot keep a picture in memory: ") + std::strerror(errno));
  }

  int descriptor_;
};

// The line of gnuplot's messages that says what is wrong: '"/dev/stdin" line 7: undefined variable: x'.
std::string complaint(const MemoryFile& errors) {
  const std::string text = errors.read();
  std::size_t begin = text.find(" line ");
  begin = begin == std::string::npos ? text.find_first_not_of(" \n") : text.rfind('\n', begin) + 1;
  if (begin == std::string::npos) return "it says nothing";
  return in_quotes(std::string_view(text).substr(begin, text.find('\n', begin) - begin));
}

// The environment without the user's language: numbers have points and text is UTF-8, whatever gnuplot and
// the libraries below it make of a locale.
class PlainEnvironment {
 public:
  PlainEnvironment() {
    for (char** variable = ::environ; *variable != nullptr; ++variable) {
      const std::string_view text(*variable);
      if (!text.starts_with("LC_") && !text.starts_with("LANG")) variables_.push_back(*variable);
    }
    variables_.push_back(locale_.data());
    variables_.push_back(nullptr);
  }
  PlainEnvironment(const PlainEnvironment&) = delete;
  PlainEnvironment& operator=(const PlainEnvironment&) = delete;

  char* const* get() const { return variables_.data(); }

 private:
  std::string locale_ = "LC_ALL=C.UTF-8";
  std::vector<char*> variables_;
};

}  // namespace

std::string gnuplot_string(const std::string& text) {
  // gnuplot's own escape, a doubled quote, does not work at the beginning of a string or twice in a row.
  std::string quoted = "'";
  for (const char c : plain_text(text)) quoted += c == '\'' ? "'.\"'\".'" : std::string(1, c);
  return quoted + "'";
}

bool has_gnuplot() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (::access((std::filesystem::path(folder) / "gnuplot").c_str(), X_OK) == 0) return true;
  }
  return false;
}

std::string run_gnuplot(const std::string& script) {
  MemoryFile input("script"), output("picture"), errors("errors");
  input.write(script);
  SpawnActions actions;
  ::posix_spawn_file_actions_adddup2(actions.get(), input.descriptor(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(actions.get(), output.descriptor(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(actions.get(), errors.descriptor(), STDERR_FILENO);
  // By its name, the script is a file to gnuplot: it ends at the first mistake.
  std::string program = "gnuplot", defaults = "-d", name = "/dev/stdin";
  const std::array<char*, 4> words = {program.data(), defaults.data(), name.data(), nullptr};
  const PlainEnvironment environment;
  pid_t child = 0;
  const int refused =
      ::posix_spawnp(&child, program.c_str(), actions.get(), nullptr, words.data(), environment.get());
  if (refused == ENOENT) {
    throw Error("gnuplot, which draws the pictures, is not installed: install Debian's package gnuplot-nox");
  }
  if (refused != 0) throw Error(std::string("cannot start gnuplot: ") + std::strerror(refused));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw Error(std::string("cannot wait for gnuplot: ") + std::strerror(errno));
  }
  if (WIFSIGNALED(status)) throw Error("gnuplot was ended by signal " + std::to_string(WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0) {
    throw Error("gnuplot failed with exit code " + std::to_string(WEXITSTATUS(status)) + ": " +
                complaint(errors));
  }
  std::string picture = output.read();
  if (picture.empty()) throw Error("gnuplot has not written its picture: " + complaint(errors));
  return picture;
}

}  // namespace qmse
