#include "tests/experiment/system_faults.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

namespace qmse::test {
namespace {

std::atomic<Fault> armed = Fault::none;
std::atomic<std::int64_t> strikes_at = 0, calls = 0;

// Whether this call fails instead, with errno.
bool fails() {
  const std::int64_t call = calls++;
  thread_local bool interrupted = false;
  switch (armed.load()) {
    case Fault::kill:
      if (call == strikes_at) ::kill(::getpid(), SIGKILL);
      return false;
    case Fault::full_disk:
      errno = ENOSPC;
      return call >= strikes_at;
    case Fault::interrupted:
      interrupted = !interrupted;
      errno = EINTR;
      return interrupted;
    case Fault::none:
    case Fault::no_locks:
      return false;
  }
  return false;
}

}  // namespace

void arm(Fault fault, std::int64_t at) {
  armed = fault;
  strikes_at = at;
  calls = 0;
}

std::int64_t calls_since_arming() { return calls; }

}  // namespace qmse::test

using qmse::test::armed;
using qmse::test::fails;
using qmse::test::Fault;

extern "C" {

ssize_t write(int file, const void* data, size_t bytes) {
  if (file > 2 && fails()) return -1;
  return ::syscall(SYS_write, file, data, bytes);
}

int fsync(int file) { return fails() ? -1 : static_cast<int>(::syscall(SYS_fsync, file)); }

int ftruncate(int file, off_t bytes) noexcept {
  return fails() ? -1 : static_cast<int>(::syscall(SYS_ftruncate, file, bytes));
}

// What this does not start again it must not interrupt: rename and unlink have no EINTR.
int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  if (armed != Fault::interrupted && fails()) return -1;
  return static_cast<int>(::syscall(SYS_renameat, from_folder, from, to_folder, to));
}

int flock(int file, int operation) noexcept {
  if (armed == Fault::no_locks) {
    errno = ENOSYS;
    return -1;
  }
  if (armed == Fault::interrupted && fails()) return -1;
  return static_cast<int>(::syscall(SYS_flock, file, operation));
}

}  // extern "C"
