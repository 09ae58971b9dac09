// A log with one JSON object a line, appended to as a run goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/json.h"

namespace qmse {

class JsonLines {
 public:
  JsonLines() = default;  // writes nothing
  // Opens for appending; creates the file. A file that has other names too (hard links) is replaced by a copy
  // first. IoError where the system refuses, and for a symbolic link.
  explicit JsonLines(std::filesystem::path path);
  ~JsonLines();
  JsonLines(JsonLines&& other) noexcept;
  JsonLines& operator=(JsonLines&& other) noexcept;

  // Appends one line. Numbers that are not finite become null.
  void append(const Json& object);
  // Returns when all lines are on the disk.
  void sync();

  // Cuts the file at `path` back to its first lines whose number `key` is at most `last`, and drops a line
  // that a kill left incomplete; a missing file counts as empty. Returns how many lines are left. DataError
  // for lines that are not objects with that number, from 1 up and growing.
  static std::int64_t cut_back(const std::filesystem::path& path, const std::string& key, std::int64_t last);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace qmse
