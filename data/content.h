// Whether the files of a data set are the official ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/known_content.h"

namespace qmse {

// One file, uncompressed.
struct FileContent {
  std::string name;         // escaped (name_text.h)
  std::uint64_t bytes = 0;  // that were read
  bool whole = true;        // false: it is longer
  std::string sha256;       // empty where it is longer
  std::string difference;   // "" where nothing differs from the official file
};

enum class ContentKind {
  official,
  differs,  // from the official data set
  own,      // nothing to compare with
};

struct ContentReport {
  ContentKind kind = ContentKind::own;
  std::string sha256;   // of the lines that `sha256sum FILES` prints for `files`; empty where one has none
  std::string summary;  // "official", "differs in train.bin": one line
  std::vector<FileContent> files;
  std::vector<FileContent> class_names;  // files that name the classes; no part of `sha256`
};

// Reads the files of data set `name` in `directory`: the official ones by name, of "folder" all images. A
// file may be compressed (.gz): what counts is its content. Errors as the readers' for files that are missing
// or damaged. SHA-256 says whether a file is official. A compressed file is read no further than behind the
// number of bytes of the official file or, where that is more, of its own header; one that is longer has no
// SHA-256. Asks `stop` between pieces: Stopped.
ContentReport examine_content(std::string_view name, const std::filesystem::path& directory,
                              const std::function<bool()>& stop = {});

// The same by what is known of a set.
ContentReport examine_content(const KnownSet& set, const std::filesystem::path& directory,
                              const std::function<bool()>& stop = {});

// The same for files of which nothing is known, in this order: paths below `directory`, as they are.
ContentReport examine_files(const std::filesystem::path& directory, const std::vector<std::string>& files,
                            const std::function<bool()>& stop = {});

}  // namespace qmse
