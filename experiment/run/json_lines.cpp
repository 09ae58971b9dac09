#include "experiment/run/json_lines.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/input_file.h"
#include "base/system_calls.h"
#include "base/text_file.h"

namespace qmse {
namespace {

// A link is not followed: what it points to lies elsewhere.
int open_log(const std::filesystem::path& path) {
  const int file = uninterrupted([&] {
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  });
  if (file < 0) fail_to_write(path, errno);
  return file;
}

bool has_other_names(int file) {
  struct stat opened {};
  return ::fstat(file, &opened) == 0 && S_ISREG(opened.st_mode) && opened.st_nlink > 1;
}

// Replaces a file by a copy of its first bytes.
void replace_by_first(const std::filesystem::path& path, std::uint64_t bytes) {
  constexpr std::uint64_t kPiece = std::uint64_t{1} << 18;
  const InputFile file(path);
  AtomicFile shorter(path);
  std::string piece;
  for (std::uint64_t done = 0; done < bytes; done += piece.size()) {
    piece.resize(std::min(kPiece, bytes - done));
    file.read(done, piece.data(), piece.size());
    shorter.write(piece.data(), piece.size());
  }
  shorter.commit();
}

}  // namespace

JsonLines::JsonLines(std::filesystem::path path) : path_(std::move(path)), descriptor_(open_log(path_)) {
  if (!has_other_names(descriptor_)) return;
  // Appending would change what other names, in a copy made of hard links, say, stand for.
  ::close(std::exchange(descriptor_, -1));
  replace_by_first(path_, InputFile(path_).size());
  descriptor_ = open_log(path_);
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

void JsonLines::append(const Json& object) {
  if (descriptor_ < 0) return;
  const std::string line = object.dump() + "\n";
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t written =
        uninterrupted([&] { return ::write(descriptor_, line.data() + done, line.size() - done); });
    if (written < 0) fail_to_write(path_, errno);
    done += static_cast<std::size_t>(written);
  }
}

void JsonLines::sync() {
  if (descriptor_ >= 0 && uninterrupted([&] { return ::fsync(descriptor_); }) != 0)
    fail_to_write(path_, errno);
}

std::int64_t JsonLines::cut_back(const std::filesystem::path& path, const std::string& key,
                                 std::int64_t last) {
  if (!std::filesystem::exists(path)) return 0;
  std::int64_t lines = 0, before = 0;
  const std::uint64_t keep = read_lines(path, [&](std::int64_t number, std::string_view text) {
    const std::string where = in_quotes(path) + ": line " + std::to_string(number);
    const std::string advice =
        "; remove what is damaged from that line on, or start afresh in another folder";
    Json line;
    try {
      line = parse_json(text, where);
    } catch (const DataError& error) {
      throw DataError(error.what() + advice);
    }
    if (!line.is_object() || !line.contains(key) || !line[key].is_number_integer())
      throw DataError(where + " is not a JSON object with a whole number '" + key + "'" + advice);
    const auto value = line[key].get<std::int64_t>();
    if (value <= before) {
      throw DataError(where + " has '" + key + "' " + std::to_string(value) + " after " +
                      std::to_string(before) + advice);
    }
    if (value > last) return false;
    before = value;
    ++lines;
    return true;
  });
  if (InputFile(path).size() != keep) replace_by_first(path, keep);
  return lines;
}

}  // namespace qmse
