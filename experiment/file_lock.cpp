#include "experiment/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/in_quotes.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

int lock(int descriptor, int operation) {
  int result = 0;
  do {
    result = ::flock(descriptor, operation);
  } while (result != 0 && errno == EINTR);
  return result;
}

// Whether the open file is still the one of that name: its last holder may have removed it meanwhile.
bool still_named(int descriptor, const std::filesystem::path& path) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileLock FileLock::wait(const std::filesystem::path& path) { return take(path, LOCK_EX); }

FileLock FileLock::try_take(const std::filesystem::path& path) { return take(path, LOCK_EX | LOCK_NB); }

FileLock FileLock::take(const std::filesystem::path& path, int operation) {
  while (true) {
    FileLock taken;
    taken.descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (taken.descriptor_ < 0)
      throw IoError(in_quotes(path) + ": cannot open the lock: " + std::strerror(errno));
    if (lock(taken.descriptor_, operation) != 0) {
      if (errno == EWOULDBLOCK) return {};
      throw IoError(in_quotes(path) + ": cannot lock it: " + std::strerror(errno));
    }
    if (!still_named(taken.descriptor_, path)) continue;
    const std::string process = std::to_string(::getpid()) + "\n";
    // Only a help for readers of holder(): a full disk shows where it matters.
    if (::ftruncate(taken.descriptor_, 0) == 0) [[maybe_unused]]
      const ssize_t ignored = ::pwrite(taken.descriptor_, process.data(), process.size(), 0);
    return taken;
  }
}

bool FileLock::is_held(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  // Shared, for a moment: two who ask do not see each other.
  const bool taken = lock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(file);
  return taken;
}

std::string FileLock::holder(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  std::array<char, 32> text{};
  const ssize_t count = ::pread(file, text.data(), text.size() - 1, 0);
  ::close(file);
  const std::string digits(text.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
  const std::size_t end = digits.find_first_not_of("0123456789");
  return digits.empty() || end == 0 ? "" : " (process " + digits.substr(0, end) + ")";
}

}  // namespace qmse
