// A folder of its own for files that are needed for a moment.
#pragma once

#include <filesystem>
#include <string>

namespace qmse {

// Made in the system's folder for temporary files (TMPDIR), gone with the
// object. IoError where it cannot be made.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& purpose);  // a part of its name
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace qmse
