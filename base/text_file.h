// Text files, which are bounded: what a person or a run wrote has a size that fits into memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace qmse {

inline constexpr std::uint64_t kMaxTextBytes = std::uint64_t{64} << 20;  // bytes of a file read whole
inline constexpr std::uint64_t kMaxLineBytes = std::uint64_t{1} << 20;   // bytes of a line of a log

// The content of a file. IoError where it cannot be read or is no regular file, DataError where it is longer
// than `most_bytes` or holds a zero byte, which no text does.
std::string read_text_file(const std::filesystem::path& path, std::uint64_t most_bytes = kMaxTextBytes);

// Reads a log of any length, a piece at a time: calls line(number, text) for each line that has an end,
// numbers counting from 1, until it returns false. Returns the bytes of the lines for which it returned true,
// ends included. Errors as read_text_file(), DataError for a line longer than kMaxLineBytes.
std::uint64_t read_lines(const std::filesystem::path& path,
                         const std::function<bool(std::int64_t number, std::string_view text)>& line);

}  // namespace qmse
