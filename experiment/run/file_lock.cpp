#include "experiment/run/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/in_quotes.h"
#include "base/system_calls.h"

namespace qmse {
namespace {

// A link is not followed: what it points to lies elsewhere. O_NONBLOCK: opening a pipe must not wait.
constexpr int kFlags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

int open_file(const std::filesystem::path& path, int flags) {
  return uninterrupted([&] { return ::open(path.c_str(), flags | kFlags, 0666); });
}

int lock(int descriptor, int operation) {
  return uninterrupted([&] { return ::flock(descriptor, operation | LOCK_NB); });
}

}  // namespace

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileLock FileLock::wait(const std::filesystem::path& path, const Waiting& waiting) {
  constexpr auto kPause = std::chrono::milliseconds(10);
  constexpr int kMoment = 50;  // pauses
  for (int pauses = 0;; ++pauses) {
    if (FileLock taken = try_take(path); taken.held()) return taken;
    if (waiting.stop && waiting.stop()) return {};
    if (pauses == kMoment && waiting.notice)
      waiting.notice("waiting for the lock " + in_quotes(path) + ", which another qmse" + holder(path) +
                     " holds");
    std::this_thread::sleep_for(kPause);
  }
}

FileLock FileLock::try_take(const std::filesystem::path& path) {
  while (true) {
    FileLock taken;
    taken.path_ = path;
    taken.descriptor_ = open_file(path, O_RDWR | O_CREAT);
    if (taken.descriptor_ < 0) fail_to_write(path, errno, "open the lock");
    if (lock(taken.descriptor_, LOCK_EX) != 0) {
      if (errno == EWOULDBLOCK) return {};
      if (!means_no_locks(errno)) fail_to_write(path, errno, "lock");
      throw NoLocks("cannot lock " + in_quotes(path) + ": " + std::strerror(errno) +
                    "; its file system has no file locks: choose a folder on another disk");
    }
    // Its last holder may have removed it meanwhile.
    if (!taken.still_named()) continue;
    struct stat opened {};
    if (::fstat(taken.descriptor_, &opened) == 0 && opened.st_nlink > 1) {
      // It has another name elsewhere, whose content must stay.
      if (::unlink(path.c_str()) != 0) fail_to_write(path, errno, "remove the linked lock");
      continue;
    }
    const std::string process = std::to_string(::getpid()) + "\n";
    // Only a help for readers of holder(): a full disk shows where it matters.
    if (uninterrupted([&] { return ::ftruncate(taken.descriptor_, 0); }) == 0) [[maybe_unused]]
      const ssize_t ignored =
          uninterrupted([&] { return ::pwrite(taken.descriptor_, process.data(), process.size(), 0); });
    return taken;
  }
}

bool FileLock::still_named() const {
  struct stat opened {};
  struct stat named {};
  return descriptor_ >= 0 && ::fstat(descriptor_, &opened) == 0 && ::lstat(path_.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

bool FileLock::is_held(const std::filesystem::path& path) {
  const int file = open_file(path, O_RDONLY);
  if (file < 0) return false;
  // Shared, for a moment: two who ask do not see each other.
  const bool taken = lock(file, LOCK_SH) != 0 && errno == EWOULDBLOCK;
  ::close(file);
  return taken;
}

std::string FileLock::holder(const std::filesystem::path& path) {
  const int file = open_file(path, O_RDONLY);
  if (file < 0) return "";
  std::array<char, 32> text{};
  const ssize_t count = uninterrupted([&] { return ::pread(file, text.data(), text.size() - 1, 0); });
  ::close(file);
  const std::string digits(text.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
  const std::size_t end = digits.find_first_not_of("0123456789");
  return digits.empty() || end == 0 ? "" : " (process " + digits.substr(0, end) + ")";
}

}  // namespace qmse
