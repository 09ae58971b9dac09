// What is known of the files of an official data set, to tell them from anything else.
#pragma once

#include <cstdint>
#include <span>

namespace qmse {

// One official file, uncompressed.
struct KnownFile {
  const char* name;
  const char* sha256;
  std::uint64_t bytes;
};

// A text file that lists the classes (class_list.h).
struct KnownNames {
  const char* name;
  const char* sha256;  // of its classes, a line feed after each
};

// Files that are not the official ones and are about all the same.
struct KnownCopy {
  const char* sha256 = nullptr;  // of all files together (content.h)
  const char* what = "";         // how they differ, for people
};

struct KnownSet {
  std::span<const KnownFile> files = {};  // none: nothing is known, the files are one's own
  std::span<const KnownNames> class_names = {};
  KnownCopy copy = {};
};

}  // namespace qmse
