// Text files that list classes, one a line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace qmse {

// The lines of `path` that are not empty, without their ends ("\n" or "\r\n"), escaped (name_text.h).
// IoError, and DataError for a file of more than 64 KiB or with a zero byte.
std::vector<std::string> read_class_list(const std::filesystem::path& path);

}  // namespace qmse
