// A regular file opened for reading at arbitrary offsets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace qmse {

class InputFile {
 public:
  // Opens `path`. IoError when it is missing, unreadable, a directory or anything but a regular file.
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }  // bytes, when it was opened

  // Reads `bytes` bytes that start at byte `offset`. IoError when the system refuses or the file ends before.
  void read(std::uint64_t offset, void* destination, std::size_t bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace qmse
