#include "data/class_list.h"

#include <sstream>

#include "base/name_text.h"
#include "base/text_file.h"

namespace qmse {

std::vector<std::string> read_class_list(const std::filesystem::path& path) {
  constexpr std::uint64_t kMaxBytes = 1 << 16;
  std::vector<std::string> classes;
  std::istringstream lines(read_text_file(path, kMaxBytes));
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) classes.push_back(escape_name(line));
  }
  return classes;
}

}  // namespace qmse
