// An exclusive lock on a file (flock), which the system frees when its holder ends, however it ends.
#pragma once

#include <filesystem>
#include <string>

namespace qmse {

class FileLock {
 public:
  FileLock() = default;  // holds nothing
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;

  // Waits for the lock of the file at `path`, which is made where it does not exist. IoError where the
  // system refuses.
  static FileLock wait(const std::filesystem::path& path);
  // The same, but holds nothing where another holder has it.
  static FileLock try_take(const std::filesystem::path& path);

  bool held() const { return descriptor_ >= 0; }

  // Whether somebody holds the lock of this file now; false where there is no such file.
  static bool is_held(const std::filesystem::path& path);
  // " (process 123)", as the holder wrote it, for messages; "" where it is not known.
  static std::string holder(const std::filesystem::path& path);

 private:
  static FileLock take(const std::filesystem::path& path, int operation);

  int descriptor_ = -1;
};

}  // namespace qmse
