#include "experiment/json_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/atomic_file.h"
#include "engine/in_quotes.h"
#include "engine/input_file.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* what) {
  throw IoError(in_quotes(path) + ": cannot " + what + ": " + std::strerror(errno));
}

}  // namespace

JsonLines::JsonLines(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(path_, "open it for writing");
}

JsonLines::~JsonLines() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

JsonLines::JsonLines(JsonLines&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

JsonLines& JsonLines::operator=(JsonLines&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void JsonLines::append(const nlohmann::ordered_json& object) {
  if (descriptor_ < 0) return;
  const std::string line = object.dump() + "\n";
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t written = ::write(descriptor_, line.data() + done, line.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path_, "write to it");
    done += static_cast<std::size_t>(written);
  }
}

void JsonLines::sync() {
  if (descriptor_ >= 0 && ::fsync(descriptor_) != 0) fail(path_, "write it to the disk");
}

std::int64_t JsonLines::cut_back(const std::filesystem::path& path, const std::string& key,
                                 std::int64_t last) {
  if (!std::filesystem::exists(path)) return 0;
  std::string text;
  {
    const InputFile file(path);
    text.resize(file.size());
    file.read(0, text.data(), text.size());
  }
  std::int64_t lines = 0;
  std::size_t keep = 0;
  for (std::size_t end; (end = text.find('\n', keep)) != std::string::npos; keep = end + 1) {
    const auto line = nlohmann::json::parse(text.begin() + static_cast<std::ptrdiff_t>(keep),
                                            text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    if (!line.is_object() || !line.contains(key) || !line[key].is_number_integer()) {
      throw DataError(in_quotes(path) + ": line " + std::to_string(lines + 1) +
                      " is not a JSON object with a whole number '" + key +
                      "'; remove what is damaged from that line on, or start afresh in another folder");
    }
    if (line[key].get<std::int64_t>() > last) break;
    ++lines;
  }
  if (keep < text.size()) write_file_atomically(path, std::string_view(text).substr(0, keep));
  return lines;
}

}  // namespace qmse
