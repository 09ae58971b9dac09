#include "experiment/json_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/atomic_file.h"
#include "engine/in_quotes.h"
#include "engine/input_file.h"
#include "engine/text_file.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* what) {
  throw IoError(in_quotes(path) + ": cannot " + what + ": " + std::strerror(errno));
}

// Cuts a file back to its first bytes.
void keep_first(const std::filesystem::path& path, std::uint64_t bytes) {
  constexpr std::uint64_t kPiece = std::uint64_t{1} << 18;
  const InputFile file(path);
  if (file.size() == bytes) return;
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

void JsonLines::append(const Json& object) {
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
  std::int64_t lines = 0;
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
    if (line[key].get<std::int64_t>() > last) return false;
    ++lines;
    return true;
  });
  keep_first(path, keep);
  return lines;
}

}  // namespace qmse
