#include "experiment/paper/temporary_folder.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse {

TemporaryFolder::TemporaryFolder(const std::string& purpose) {
  std::error_code error;
  std::string pattern =
      (std::filesystem::temp_directory_path(error) / ("qmse-" + purpose + "-XXXXXX")).string();
  if (error || ::mkdtemp(pattern.data()) == nullptr) {
    throw IoError(in_quotes(pattern) + ": cannot make a temporary folder: " +
                  (error ? error.message() : std::strerror(errno)) + "; TMPDIR names where");
  }
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace qmse
