// An exclusive lock on a file (flock), which the system frees when its holder ends, however it ends.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/logger.h"

namespace qmse {

// The file system has no locks.
class NoLocks : public IoError {
 public:
  using IoError::IoError;
};

// What happens while a lock is waited for; each may be empty.
struct Waiting {
  Logger notice = {};               // who holds it, once, when the wait is longer than a moment
  std::function<bool()> stop = {};  // asked often: whether to give up
};

class FileLock {
 public:
  FileLock() = default;  // holds nothing
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;

  // Waits for the lock of the file at `path`, which is made where it does not exist; a link of that name is
  // an error. Holds nothing where waiting.stop gave up. NoLocks; IoError where the system refuses.
  static FileLock wait(const std::filesystem::path& path, const Waiting& waiting = {});
  // The same, but holds nothing where another holder has it.
  static FileLock try_take(const std::filesystem::path& path);

  bool held() const { return descriptor_ >= 0; }
  // Whether the file that is locked still has its name. Where not, another process may hold the lock of a
  // new file there.
  bool still_named() const;

  // Whether somebody holds the lock of this file now; false where there is no such file.
  static bool is_held(const std::filesystem::path& path);
  // " (process 123)", as the holder wrote it, for messages; "" where it is not known.
  static std::string holder(const std::filesystem::path& path);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace qmse
