#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/system_calls.h"

namespace qmse {
namespace {

// Where locks are missing, a name that no other process takes.
std::string name_of_this_write() {
  static std::atomic<int> count = 0;
  return "." + std::to_string(::getpid()) + "-" + std::to_string(++count) + ".tmp";
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path) {
  std::error_code ignored;
  if (std::filesystem::is_symlink(path_, ignored)) {
    const std::filesystem::path target = std::filesystem::weakly_canonical(path_, ignored);
    if (!ignored) path_ = target;
  }
  const std::filesystem::file_status status = std::filesystem::status(path_, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw IoError("cannot write " + in_quotes(path_) + ": it is " +
                  (std::filesystem::is_directory(status) ? "a directory" : "not a regular file") +
                  "; name a file");
  }
  if (!path_.has_filename())
    throw IoError("cannot write " + in_quotes(path_) + ": the path has no file name");
  temporary_name_ = path_.filename();
  temporary_name_ += ".tmp";
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  folder_ = uninterrupted([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (folder_ < 0) fail_to_write(path_, errno);
  try {
    open_temporary();
  } catch (...) {
    discard();
    throw;
  }
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (file_ >= 0) ::unlinkat(folder_, temporary_name_.c_str(), 0);
  close_descriptors();
}

int AtomicFile::open_in_folder(int flags) const {
  constexpr int kAlways = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  return uninterrupted([&] { return ::openat(folder_, temporary_name_.c_str(), kAlways | flags, 0666); });
}

void AtomicFile::open_temporary() {
  while (true) {
    file_ = open_in_folder(0);
    if (file_ < 0 && errno == ELOOP) {  // somebody's link: what it points to is not ours
      if (::unlinkat(folder_, temporary_name_.c_str(), 0) != 0) fail_to_write(path_, errno);
      continue;
    }
    if (file_ < 0) fail_to_write(path_, errno);
    if (uninterrupted([&] { return ::flock(file_, LOCK_EX); }) != 0) {
      if (!means_no_locks(errno)) fail_to_write(path_, errno);
      ::unlinkat(folder_, temporary_name_.c_str(), 0);
      ::close(file_);
      temporary_name_ = path_.filename();
      temporary_name_ += name_of_this_write();
      file_ = open_in_folder(O_EXCL);
      if (file_ < 0) fail_to_write(path_, errno);
      return;
    }
    // While this writer waited for the lock, the one before may have renamed
    // or removed the file it had opened.
    struct stat opened {};
    struct stat named {};
    if (::fstat(file_, &opened) != 0) fail_to_write(path_, errno);
    const bool present = ::fstatat(folder_, temporary_name_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0;
    if (present && opened.st_dev == named.st_dev && opened.st_ino == named.st_ino) {
      if (S_ISREG(opened.st_mode) && opened.st_nlink == 1) break;
      // It has another name elsewhere, whose content must stay.
      if (::unlinkat(folder_, temporary_name_.c_str(), 0) != 0) fail_to_write(path_, errno);
    }
    ::close(file_);
    file_ = -1;
  }
  if (uninterrupted([&] { return ::ftruncate(file_, 0); }) != 0) fail_to_write(path_, errno);
}

void AtomicFile::close_descriptors() noexcept {
  if (file_ >= 0) ::close(file_);
  if (folder_ >= 0) ::close(folder_);
  file_ = folder_ = -1;
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const auto* next = static_cast<const unsigned char*>(data);
  while (bytes > 0) {
    const ssize_t written = uninterrupted([&] { return ::write(file_, next, bytes); });
    if (written < 0) fail_to_write(path_, errno);
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (uninterrupted([&] { return ::fsync(file_); }) != 0) fail_to_write(path_, errno);
  if (::renameat(folder_, temporary_name_.c_str(), folder_, path_.filename().c_str()) != 0)
    fail_to_write(path_, errno);
  ::close(file_);
  file_ = -1;
  // Some file systems have no sync for folders and answer EINVAL; the rename is then as durable as it gets.
  const bool synced = uninterrupted([&] { return ::fsync(folder_); }) == 0 || errno == EINVAL;
  const int error = errno;
  close_descriptors();
  if (!synced) fail_to_write(path_, error);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

}  // namespace qmse
