#include "base/system_calls.h"

#include <system_error>

#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse {

void fail_to_write(const std::filesystem::path& path, int error, const std::string& action) {
  std::string advice = "check the path and the disk";
  if (error == ENOENT) advice = "create its folder first";
  if (error == ENOTDIR) advice = "a part of the path is a file: choose another";
  if (error == EACCES || error == EPERM) advice = "check the permissions of the folder";
  if (error == EROFS) advice = "choose a folder that can be written to";
  if (error == ENOSPC || error == EDQUOT) advice = "free some space or choose another disk";
  if (error == EFBIG) advice = "raise the limit of file sizes (ulimit -f) or choose another disk";
  if (error == ELOOP) advice = "it is a symbolic link, which is not followed here: remove it";
  if (error == EMFILE || error == ENFILE) advice = "raise the number of open files (ulimit -n)";
  if (means_no_locks(error)) advice = "its file system has no file locks: choose a folder on another disk";
  throw IoError("cannot " + action + " " + in_quotes(path) + ": " + std::system_category().message(error) +
                "; " + advice);
}

bool means_no_locks(int error) { return error == ENOSYS || error == ENOLCK || error == EOPNOTSUPP; }

}  // namespace qmse
