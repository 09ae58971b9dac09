// Files that are either written completely or not at all: every file the project replaces goes through here.
//
// The bytes go to `<path>.tmp` in the same folder, are synced to the disk and renamed over `path`, then the
// folder is synced. A crash at any moment leaves the former file (or none); a temporary that a kill left
// behind is taken over by the next write to the same path, so none pile up; a link of that name is removed,
// not followed. Writers of the same path take turns (flock on the temporary); on a file system without locks
// each has a temporary of its own.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace qmse {

class AtomicFile {
 public:
  // Creates the temporary. The folder must exist; `path` may be new, a regular file or a link to one (the
  // file the link points to is replaced). IoError for anything else and wherever the system refuses.
  explicit AtomicFile(const std::filesystem::path& path);
  // Removes the temporary unless commit() has succeeded.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Appends. IoError, for example on a full disk; the object is then good for nothing but its destruction.
  void write(const void* data, std::size_t bytes);

  // Makes the file appear under its name, durably. Called once, last.
  void commit();

 private:
  int open_in_folder(int flags) const;
  void open_temporary();
  void discard() noexcept;
  void close_descriptors() noexcept;

  std::filesystem::path path_;
  std::filesystem::path temporary_name_;  // in the folder of path_
  int folder_ = -1;                       // descriptors
  int file_ = -1;
};

// Replaces `path` by exactly these bytes; see AtomicFile.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

}  // namespace qmse
