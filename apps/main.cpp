// The program `qmse`: arguments, printing and exit codes. All else is in the libraries.
#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <new>
#include <string>

#include "apps/commands.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "experiment/run/process_environment.h"

namespace qmse::app {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;

// What is missing on a disk that is full, or a reader that is gone, is no success.
int check_output(int code) {
  // A display flushes line by line, so an earlier failure may have left nothing to flush.
  const bool failed = !std::cout.flush() || std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
  if (failed && code == 0)  // a command that failed, or was stopped, says so already
    throw IoError("cannot write to standard output");
  return code;
}

// The instructions this program was compiled to (-march=x86-64-v3), or an error in place of a crash.
void check_processor() {
#if defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) {
    throw Error("this processor lacks AVX2, FMA or BMI2, which this build of qmse needs");
  }
#endif
}

// A program that was started with a standard stream closed would open its next file in that stream's place
// and write notices into it. Output to a closed stream fails, as it should: what takes its place is opened
// for reading, and is there in every container.
void occupy_standard_descriptors() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) < 0) ::open("/", O_RDONLY | O_DIRECTORY);
  }
}

// A write beyond the limit of file sizes (ulimit -f) is to fail with an error, not to end the process.
void ignore_file_size_signal() { ::signal(SIGXFSZ, SIG_IGN); }

// Errors are one line, whatever names and messages they are made of.
int fail(int code, std::string message) {
  for (char& c : message) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  std::cout.flush();
  std::cerr << "qmse: " << message << std::endl;
  return code;
}

Command program() {
  return {
      .name = "qmse",
      .summary = "Trains small networks with squared-error losses and the QMSE loss, exactly and repeatably.",
      .footer =
          "Start with\n"
          "  qmse train --dataset fashion-mnist --out runs/first\n"
          "  qmse evaluate --weights runs/first\n"
          "Every command has its options in qmse help COMMAND; qmse version says which this is.\n"
          "qmse help --man is the manual (... | man -l -), qmse help --completion what bash completes: "
          "source "
          "<(qmse help --completion)",
      .commands = {train_command(), sweep_command(), reproduce_command(), landscape_command(),
                   evaluate_command(), predict_command(), inspect_command(), trace_command(), data_command(),
                   export_command(), list_command(), watch_command(), table_command(), plot_command(),
                   report_command(), diff_command(), info_command()}};
}

}  // namespace
}  // namespace qmse::app

int main(int argc, char** argv) {
  using namespace qmse::app;
  try {
    occupy_standard_descriptors();
    ignore_file_size_signal();
    check_processor();
    qmse::set_command_line({argv, argv + argc});
    return check_output(run_command(program(), {argv + std::min(argc, 1), argv + argc}));
  } catch (const qmse::ConfigError& error) {
    return fail(kUsage, error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(kFailure, qmse::in_quotes(error.path1()) + ": " + error.code().message());
  } catch (const std::bad_alloc&) {
    return fail(kFailure, "out of memory");
  } catch (const std::exception& error) {
    return fail(kFailure, error.what());
  }
}
