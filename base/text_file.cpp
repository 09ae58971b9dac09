#include "base/text_file.h"

#include <algorithm>
#include <cstddef>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/input_file.h"

namespace qmse {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 18;  // bytes

// `offset`: of `text` in the file.
void refuse_zeros(const std::filesystem::path& path, std::string_view text, std::uint64_t offset) {
  const std::size_t zero = text.find('\0');
  if (zero == std::string_view::npos) return;
  throw DataError(in_quotes(path) + " is no text: it has a zero byte at byte " +
                  std::to_string(offset + zero) + "; it is damaged or of another kind");
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path, std::uint64_t most_bytes) {
  const InputFile file(path);
  if (file.size() > most_bytes) {
    throw DataError(in_quotes(path) + " is too large: " + std::to_string(file.size()) + " bytes where " +
                    std::to_string(most_bytes) + " are the most; it is damaged or of another kind");
  }
  std::string text(file.size(), '\0');
  file.read(0, text.data(), text.size());
  refuse_zeros(path, text, 0);
  return text;
}

std::uint64_t read_lines(const std::filesystem::path& path,
                         const std::function<bool(std::int64_t number, std::string_view text)>& line) {
  const InputFile file(path);
  std::string pending;      // what is read and not handed on
  std::uint64_t taken = 0;  // bytes before `pending`
  std::int64_t number = 1;
  while (taken + pending.size() < file.size()) {
    const std::uint64_t offset = taken + pending.size();
    const std::size_t old = pending.size();
    pending.resize(old + std::min<std::uint64_t>(kPiece, file.size() - offset));
    file.read(offset, pending.data() + old, pending.size() - old);
    const std::string_view text = pending;
    refuse_zeros(path, text.substr(old), offset);
    std::size_t begin = 0;
    for (std::size_t end; (end = text.find('\n', begin)) != std::string_view::npos; begin = end + 1) {
      if (!line(number++, text.substr(begin, end - begin))) return taken + begin;
    }
    taken += begin;
    pending.erase(0, begin);
    if (pending.size() > kMaxLineBytes) {
      throw DataError(in_quotes(path) + ": line " + std::to_string(number) + " has more than " +
                      std::to_string(kMaxLineBytes) + " bytes; it is damaged or of another kind");
    }
  }
  return taken;
}

}  // namespace qmse
