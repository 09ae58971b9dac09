// Runs a piece of a program on the stand-in in a process of its own, whose end is looked at too.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <string>

#include "tests/cuda_device/control.h"

namespace qmse::test {

struct Ending {
  int status = 0;    // of the process: 0, or cuda_device::kReported
  std::string text;  // what it wrote to standard error
  bool says(const std::string& words) const { return text.find(words) != std::string::npos; }
};

inline Ending in_child(const std::function<void()>& body, const cuda_device::Settings& settings = {}) {
  int ends[2];
  if (pipe(ends) != 0) return {-1, "no pipe"};
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    cuda_device::settings() = settings;
    try {
      body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "exception: %s\n", error.what());
    }
    const int status = cuda_device::finish();
    _exit(status);
  }
  close(ends[1]);
  Ending ending;
  char buffer[4096];
  for (ssize_t count = 0; (count = read(ends[0], buffer, sizeof buffer)) > 0;) {
    ending.text.append(buffer, static_cast<std::size_t>(count));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  ending.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return ending;
}

}  // namespace qmse::test
