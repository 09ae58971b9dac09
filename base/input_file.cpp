#include "base/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
  std::string advice = "check the disk";
  if (error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG)
    advice = "check the path";
  if (error == EACCES || error == EPERM) advice = "check the permissions of the file and its folders";
  throw IoError("cannot read " + in_quotes(path) + ": " + std::system_category().message(error) + "; " +
                advice);
}

}  // namespace

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  do {  // O_NONBLOCK: opening a pipe must not wait for its writer
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) fail(path_, errno);
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (known && S_ISREG(status.st_mode)) {
    size_ = static_cast<std::uint64_t>(status.st_size);
    return;
  }
  const int error = errno;
  ::close(descriptor_);
  if (!known) fail(path_, error);
  throw IoError("cannot read " + in_quotes(path_) + ": it is " +
                (S_ISDIR(status.st_mode) ? "a directory" : "not a regular file") + "; name a file");
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(std::uint64_t offset, void* destination, std::size_t bytes) const {
  auto* next = static_cast<unsigned char*>(destination);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, next, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path_, errno);
    if (got == 0) {
      throw IoError("cannot read " + in_quotes(path_) + ": it ends at byte " + std::to_string(offset) +
                    ", where more was expected; it may have been cut short while it was being read");
    }
    next += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
}

}  // namespace qmse
