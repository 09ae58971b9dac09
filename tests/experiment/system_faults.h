// Faults of the system calls that change files: this test program's own write(), fsync(), ... stand in front
// of the C library's.
#pragma once

#include <cstdint>

namespace qmse::test {

enum class Fault {
  none,
  kill,         // SIGKILL in place of the call
  full_disk,    // this call and all that follow fail with ENOSPC
  interrupted,  // every call fails with EINTR first
  no_locks      // flock() fails with ENOSYS
};

// From now on: the fault strikes at the `at`-th call (from 0) that changes a file. Calls on standard streams
// do not count.
void arm(Fault fault, std::int64_t at = 0);
// How many calls there were since arm().
std::int64_t calls_since_arming();

// A fault while this object lives.
class ScopedFault {
 public:
  explicit ScopedFault(Fault fault, std::int64_t at = 0) { arm(fault, at); }
  ~ScopedFault() { arm(Fault::none); }
  ScopedFault(const ScopedFault&) = delete;
  ScopedFault& operator=(const ScopedFault&) = delete;
};

}  // namespace qmse::test
