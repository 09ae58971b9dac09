// Runs the built program as a person does, and looks at what comes back.
#pragma once

#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/temp_directory.h"

namespace qmse::test {

using Words = std::vector<std::string>;

enum class Output { pipe, terminal, full_disk, closed };

// A started program whose standard output can be read while it runs; standard error goes to a file.
class Process {
 public:
  // `columns`: how wide a terminal is. `before`: words in front of the program, such as a launcher.
  Process(const Words& arguments, const std::filesystem::path& error_file, Output kind = Output::pipe,
          unsigned short columns = 120, const Words& before = {}) {
    int ends[2] = {-1, -1};  // to read from, to write to
    bool opened = false;
    winsize size = {};
    size.ws_col = columns;
    switch (kind) {
      case Output::pipe:
        opened = ::pipe2(ends, O_CLOEXEC) == 0;
        break;
      case Output::terminal:
        opened = ::openpty(&ends[0], &ends[1], nullptr, nullptr, &size) == 0;
        break;
      case Output::full_disk:
        ends[0] = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ends[1] = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
        opened = ends[0] >= 0 && ends[1] >= 0;
        break;
      case Output::closed:
        ends[0] = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ends[1] = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        opened = ends[0] >= 0 && ends[1] >= 0;
    }
    if (!opened) throw std::runtime_error("no pipe, terminal or /dev/full");
    child_ = ::fork();
    if (child_ < 0) throw std::runtime_error("no process");
    if (child_ == 0) {
      std::vector<char*> words;
      Words copies = before;
      copies.push_back(QMSE_PROGRAM);
      copies.insert(copies.end(), arguments.begin(), arguments.end());
      for (std::string& word : copies) words.push_back(word.data());
      words.push_back(nullptr);
      const int errors = ::open(error_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(ends[1], STDOUT_FILENO);
      ::dup2(errors, STDERR_FILENO);
      if (kind == Output::closed) ::close(STDOUT_FILENO);
      ::execvp(words[0], words.data());
      ::_exit(126);
    }
    ::close(ends[1]);
    output_ = ends[0];
  }
  ~Process() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(output_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Reads on until the output contains `text`; false where it ends before.
  bool wait_for(const std::string& text) {
    while (out.find(text) == std::string::npos) {
      if (!read_some()) return false;
    }
    return true;
  }
  void signal(int number) { ::kill(child_, number); }
  // What the program writes from now on has no reader.
  void close_output() {
    ::close(output_);
    output_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }

  // Reads the rest. The exit code, or minus the signal that ended it.
  int finish() {
    while (read_some()) {
    }
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  std::string out;

 private:
  bool read_some() {
    char buffer[4096];
    ssize_t count = 0;
    do {
      count = ::read(output_, buffer, sizeof(buffer));
    } while (count < 0 && errno == EINTR);
    if (count > 0) out.append(buffer, static_cast<std::size_t>(count));
    return count > 0;
  }

  pid_t child_ = -1;
  int output_ = -1;
};

struct Result {
  int code = 0;
  std::string out, error;
};

inline Result run_program(const Words& arguments, Output kind = Output::pipe, unsigned short columns = 120,
                          const Words& before = {}) {
  const TempDirectory folder;
  Process process(arguments, folder / "stderr", kind, columns, before);
  Result result;
  result.code = process.finish();
  result.out = process.out;
  result.error = read_bytes(folder / "stderr");
  return result;
}

}  // namespace qmse::test
