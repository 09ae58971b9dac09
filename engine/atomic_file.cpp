#include "engine/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "engine/in_quotes.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
  std::string advice = "check the path and the disk";
  if (error == ENOENT || error == ENOTDIR) advice = "create its folder first";
  if (error == EACCES || error == EPERM) advice = "check the permissions of the folder";
  if (error == EROFS) advice = "choose a folder that can be written to";
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) advice = "free some space or choose another disk";
  throw IoError("cannot write " + in_quotes(path) + ": " + std::system_category().message(error) + "; " +
                advice);
}

// Repeats a system call that a signal interrupted.
template <class Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
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
  if (folder_ < 0) fail(path_, errno);
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

void AtomicFile::open_temporary() {
  while (true) {
    file_ = uninterrupted([&] {
      return ::openat(folder_, temporary_name_.c_str(),
                      O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    });
    if (file_ < 0) fail(path_, errno);
    if (uninterrupted([&] { return ::flock(file_, LOCK_EX); }) != 0) fail(path_, errno);
    // While this writer waited for the lock, the one before may have renamed or removed the file it had
    // opened.
    struct stat opened {};
    struct stat named {};
    if (::fstat(file_, &opened) != 0) fail(path_, errno);
    const bool present = ::fstatat(folder_, temporary_name_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0;
    if (present && opened.st_dev == named.st_dev && opened.st_ino == named.st_ino) break;
    ::close(file_);
    file_ = -1;
  }
  if (::ftruncate(file_, 0) != 0) fail(path_, errno);
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
    if (written < 0) fail(path_, errno);
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (uninterrupted([&] { return ::fsync(file_); }) != 0) fail(path_, errno);
  if (::renameat(folder_, temporary_name_.c_str(), folder_, path_.filename().c_str()) != 0)
    fail(path_, errno);
  ::close(file_);
  file_ = -1;
  // Some file systems have no sync for folders and answer EINVAL; the rename is then as durable as it gets.
  const bool synced = uninterrupted([&] { return ::fsync(folder_); }) == 0 || errno == EINVAL;
  const int error = errno;
  close_descriptors();
  if (!synced) fail(path_, error);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

}  // namespace qmse
