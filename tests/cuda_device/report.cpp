// Reports, places of calls, and the list of what is alive.
#include <dlfcn.h>
#include <execinfo.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>
#include <utility>

#include "tests/cuda_device/stand_in.h"

namespace qmse::cuda_device {
namespace {

struct State {
  std::recursive_mutex mutex;
  std::vector<std::string> reports;
  std::array<std::int64_t, kFaults> calls{};
  std::uint64_t random = 0;
  struct Object {
    const char* kind;
    Place place;
  };
  std::map<const void*, Object> objects;
  std::map<std::string, std::int64_t> made;  // of each kind, so far
};
State& state() {
  static State* const only = new State;  // outlives every destructor of the program
  return *only;
}

// The lines "file:line" of addr2line for these addresses of the program, or nothing.
std::string run_addr2line(const std::vector<std::uintptr_t>& addresses) {
  std::ostringstream command;
  command << "addr2line -C -f -s -i -a -e /proc/" << getpid() << "/exe" << std::hex;
  std::string text = command.str();
  // Whole paths: the folder tells the program's own code from the rest.
  text.replace(text.find(" -s"), 3, "");
  std::ostringstream list;
  list << std::hex;
  for (const std::uintptr_t address : addresses) list << " 0x" << address;
  text += list.str() + " 2>/dev/null";
  std::string output;
  if (std::FILE* pipe = popen(text.c_str(), "r")) {
    char line[4096];
    while (std::fgets(line, sizeof line, pipe) != nullptr) output += line;
    pclose(pipe);
  }
  return output;
}

// A line of the program's own code, or, where that has no line numbers, its function.
bool of_the_program(const std::string& file, const std::string& function) {
  if (file.compare(0, 2, "??") == 0) {
    return function.compare(0, 6, "qmse::") == 0 && function.compare(0, 19, "qmse::cuda_device::") != 0 &&
           function.compare(0, 12, "qmse::simt::") != 0;
  }
  const std::string root = QMSE_SOURCE_DIR "/";
  if (file.compare(0, root.size(), root) != 0) return false;
  const std::string path = file.substr(root.size());
  if (path.compare(0, 11, "tests/simt/") == 0) return false;
  if (path.compare(0, 18, "tests/cuda_device/") == 0) return path.find("_test.cpp") != std::string::npos;
  return true;
}

}  // namespace

std::unique_lock<std::recursive_mutex> locked() {
  static const int at_the_end = std::atexit([] {
    const int status = finish();
    if (status == 0) return;
    std::fflush(nullptr);
    _exit(status);
  });
  static_cast<void>(at_the_end);
  static const bool handler = (install_signal_handler(), true);
  static_cast<void>(handler);
  return std::unique_lock(state().mutex);
}

Place here() {
  Place place;
  place.count = backtrace(place.frames.data(), static_cast<int>(place.frames.size()));
  return place;
}

std::string text(const Place& place) {
  std::vector<std::uintptr_t> addresses;
  for (int i = 0; i < place.count; ++i) {
    Dl_info info{};
    Dl_info own{};
    void* const frame = place.frames[static_cast<std::size_t>(i)];
    if (dladdr(frame, &info) == 0 || dladdr(reinterpret_cast<void*>(&run_everything), &own) == 0 ||
        info.dli_fbase != own.dli_fbase) {
      continue;
    }
    // The call is before the address it returns to.
    addresses.push_back(reinterpret_cast<std::uintptr_t>(frame) -
                        reinterpret_cast<std::uintptr_t>(info.dli_fbase) - 1);
  }
  std::istringstream lines(run_addr2line(addresses));
  std::string all;
  int shown = 0;
  std::string function, where;
  while (shown < 5 && std::getline(lines, function)) {
    if (function.compare(0, 2, "0x") == 0 && function.find(' ') == std::string::npos) continue;
    if (!std::getline(lines, where)) break;
    where = std::filesystem::path(where.substr(0, where.find(' '))).lexically_normal().string();
    if (!of_the_program(where, function)) continue;
    if (where.compare(0, 2, "??") == 0) {
      where = function.substr(0, function.find('('));
    } else {
      where = where.substr(sizeof(QMSE_SOURCE_DIR));
    }
    all += (shown == 0 ? "" : " < ") + where;
    ++shown;
  }
  return all.empty() ? "a place without debug information" : all;
}

void report(const std::string& what, const Place& place) {
  const auto lock = std::unique_lock(state().mutex);
  const std::string line = what + "; at " + text(place);
  state().reports.push_back(line);
  std::fprintf(stderr, "cuda stand-in: %s\n", line.c_str());
  std::fflush(stderr);
}

void note(const std::string& what, const Place& place) {
  std::fprintf(stderr, "cuda stand-in: (note) %s; at %s\n", what.c_str(), text(place).c_str());
}

std::vector<std::string> reports() {
  const auto lock = std::unique_lock(state().mutex);
  return state().reports;
}

std::uint64_t mix(std::uint64_t seed, std::uint64_t value) {  // splitmix64's output function
  std::uint64_t z = seed * 0x9E3779B97F4A7C15u + value + 0x632BE59BD9B4E019u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

std::uint64_t random_below(std::uint64_t bound) { return mix(settings().seed, ++state().random) % bound; }

bool fails(Fault fault) {
  const auto which = static_cast<std::size_t>(fault);
  return ++state().calls[which] == settings().faults[which];
}

std::int64_t calls(Fault fault) {
  const auto lock = locked();
  return state().calls[static_cast<std::size_t>(fault)];
}

void born(const void* object, const char* kind) {
  state().objects[object] = {kind, here()};
  ++state().made[kind];
}

std::int64_t made(const std::string& kind) {
  const auto lock = locked();
  return state().made[kind];
}

bool alive(const void* object, const char* kind) {
  const auto found = state().objects.find(object);
  return found != state().objects.end() && std::strcmp(found->second.kind, kind) == 0;
}

bool died(const void* object, const char* kind) {
  if (!alive(object, kind)) {
    report(std::string("a ") + kind + " is destroyed that is none, or is no longer");
    return false;
  }
  state().objects.erase(object);
  return true;
}

int finish() {
  const auto lock = std::unique_lock(state().mutex);
  report_pending_streams_at_exit();
  const auto left = std::exchange(state().objects, {});
  for (const auto& [object, made] : left) {
    report(std::string("a ") + made.kind + " is left at the end; it was made", made.place);
  }
  if (state().reports.empty()) return 0;
  std::fprintf(stderr, "cuda stand-in: %zu reports\n", state().reports.size());
  return kReported;
}

}  // namespace qmse::cuda_device
