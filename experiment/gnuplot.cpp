#include "experiment/gnuplot.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "engine/atomic_file.h"
#include "engine/in_quotes.h"
#include "engine/input_file.h"
#include "experiment/plain_text.h"
#include "experiment/temporary_folder.h"
#include "kernels/core/error.h"

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

std::string read_text(const std::filesystem::path& path) {
  const InputFile file(path);
  std::string text(file.size(), '\0');
  file.read(0, text.data(), text.size());
  return text;
}

// The line of gnuplot's messages that says what is wrong: '"figure.gp" line 7: undefined variable: x'.
std::string complaint(const std::filesystem::path& errors) {
  const std::string text = read_text(errors);
  std::size_t begin = text.find(" line ");
  begin = begin == std::string::npos ? text.find_first_not_of(" \n") : text.rfind('\n', begin) + 1;
  if (begin == std::string::npos) return "it says nothing";
  return in_quotes(std::string_view(text).substr(begin, text.find('\n', begin) - begin));
}

}  // namespace

std::string gnuplot_string(const std::string& text) {
  // gnuplot's own escape, a doubled quote, does not work at the beginning of a string or twice in a row.
  std::string quoted = "'";
  for (const char c : plain_text(text)) quoted += c == '\'' ? "'.\"'\".'" : std::string(1, c);
  return quoted + "'";
}

std::vector<std::string> run_gnuplot(const std::string& script, const std::vector<std::string>& files) {
  const TemporaryFolder folder("plot");
  const std::string script_file = folder / "figure.gp", error_file = folder / "errors";
  write_file_atomically(script_file, script);

  SpawnActions actions;
  ::posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(actions.get(), STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_addopen(actions.get(), STDERR_FILENO, error_file.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::posix_spawn_file_actions_addchdir_np(actions.get(), folder.path().c_str());
  std::string program = "gnuplot", defaults = "-d", name = "figure.gp";
  const std::array<char*, 4> words = {program.data(), defaults.data(), name.data(), nullptr};
  pid_t child = 0;
  const int refused =
      ::posix_spawnp(&child, program.c_str(), actions.get(), nullptr, words.data(), ::environ);
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
                complaint(error_file));
  }
  std::vector<std::string> contents;
  for (const std::string& file : files) {
    std::error_code error;
    if (std::filesystem::file_size(folder / file, error) == 0 || error) {
      throw Error("gnuplot has not written its picture: " + complaint(error_file));
    }
    contents.push_back(read_text(folder / file));
  }
  return contents;
}

}  // namespace qmse
