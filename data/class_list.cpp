#include "data/class_list.h"

#include <sstream>

#include "engine/in_quotes.h"
#include "engine/input_file.h"
#include "kernels/core/error.h"

namespace qmse {

std::vector<std::string> read_class_list(const std::filesystem::path& path) {
  constexpr std::uint64_t kMostBytes = 1 << 16;
  const InputFile file(path);
  if (file.size() > kMostBytes) throw DataError(in_quotes(path) + ": too large for a list of class names");
  std::string text(file.size(), '\0');
  file.read(0, text.data(), text.size());
  std::vector<std::string> classes;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) classes.push_back(line);
  }
  return classes;
}

}  // namespace qmse
