// The program `qmse`: arguments, printing and exit codes. All else is in the libraries.
#include <fcntl.h>

#include <cstdio>
#include <iostream>
#include <new>
#include <string>

#include "apps/commands.h"
#include "apps/options.h"
#include "experiment/config_fields.h"
#include "kernels/core/build_config.h"
#include "kernels/core/error.h"

namespace qmse::app {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;

// What is missing on a disk that is full, or a reader that is gone, is no success.
int check_output(int code) {
  // A display flushes line by line, so an earlier failure may have left nothing to flush.
  if (!std::cout.flush() || std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
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
// and write notices into it. Output to a closed stream fails, as it should: /dev/null is opened for reading.
void occupy_standard_descriptors() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) < 0) ::open("/dev/null", O_RDONLY);
  }
}

// Errors are one line, whatever names and messages they are made of.
int fail(int code, std::string message) {
  for (char& c : message) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  std::cout.flush();
  std::cerr << "qmse: " << message << std::endl;
  return code;
}

int run(int argc, char** argv) {
  CLI::App program(
      "Trains small networks with squared-error losses and the QMSE loss, exactly and repeatably.", "qmse");
  program.set_version_flag("--version", std::string("qmse ") + QMSE_VERSION);
  program.get_formatter()->column_width(46);
  program.allow_extras();
  program.footer(
      "Start with\n"
      "  qmse train --dataset fashion-mnist --out runs/first\n"
      "  qmse evaluate --weights runs/first/model.safetensors --dataset fashion-mnist\n"
      "and see qmse train --help.");
  const std::vector<Command> commands = {add_train(program),    add_sweep(program),  add_reproduce(program),
                                         add_evaluate(program), add_trace(program),  add_data(program),
                                         add_plot(program),     add_report(program), add_diff(program),
                                         add_info(program)};
  for (const Command& command : commands) command.parser->allow_extras();

  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    return check_output(program.exit(help_or_version));
  } catch (const CLI::ParseError& error) {
    throw ConfigError(error.what());
  }
  std::vector<std::string> names;
  std::string listed;
  for (const Command& command : commands) {
    names.push_back(command.parser->get_name());
    listed += (listed.empty() ? "" : &command == &commands.back() ? " or " : ", ") + names.back();
  }
  for (const Command& command : commands) {
    if (!command.parser->parsed()) continue;
    check_command_line(*command.parser);
    return check_output(command.action());
  }
  const std::vector<std::string> words = program.remaining();
  if (words.empty()) throw ConfigError("which command? " + listed + "; see qmse --help");
  const std::string near = nearest(words.front(), names);
  throw ConfigError("unknown command '" + words.front() + "'" +
                    (near.empty() ? "" : " (did you mean '" + near + "'?)") + ": use " + listed +
                    "; see qmse --help");
}

}  // namespace
}  // namespace qmse::app

int main(int argc, char** argv) {
  using namespace qmse::app;
  try {
    occupy_standard_descriptors();
    check_processor();
    return run(argc, argv);
  } catch (const qmse::ConfigError& error) {
    return fail(kUsage, error.what());
  } catch (const std::bad_alloc&) {
    return fail(kFailure, "out of memory");
  } catch (const std::exception& error) {
    return fail(kFailure, error.what());
  }
}
