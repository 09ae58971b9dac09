#include "base/text_file.h"

#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

namespace qmse {
namespace {

using test::message_of;
using test::missing;
using test::TempDirectory;
using test::write_bytes;

std::vector<std::string> lines_of(const std::filesystem::path& path, std::uint64_t& taken,
                                  std::size_t most = ~std::size_t{0}) {
  std::vector<std::string> lines;
  taken = read_lines(path, [&](std::int64_t number, std::string_view text) {
    if (lines.size() == most) return false;
    lines.emplace_back(text);
    CHECK(number == static_cast<std::int64_t>(lines.size()));
    return true;
  });
  return lines;
}

TEST_CASE("text file: whole, up to its limit") {
  const TempDirectory folder;
  write_bytes(folder / "a", "four");
  CHECK(read_text_file(folder / "a") == "four");
  CHECK(read_text_file(folder / "a", 4) == "four");
  CHECK(missing(message_of<DataError>([&] { read_text_file(folder / "a", 3); }), {"/a'", "4 bytes", "3"}) ==
        "");
}

TEST_CASE("text file: a huge sparse file, zero bytes, a pipe and a folder are refused at once") {
  const TempDirectory folder;
  write_bytes(folder / "huge", "{");
  std::filesystem::resize_file(folder / "huge", std::uint64_t{6} << 30);
  CHECK(missing(message_of<DataError>([&] { read_text_file(folder / "huge"); }), {"/huge'", "6442450944"}) ==
        "");
  std::uint64_t taken = 0;
  CHECK(missing(message_of<DataError>([&] { lines_of(folder / "huge", taken); }), {"/huge'", "zero byte"}) ==
        "");
  write_bytes(folder / "zero", std::string("{}\0", 3));
  CHECK(missing(message_of<DataError>([&] { read_text_file(folder / "zero"); }),
                {"/zero'", "zero byte at byte 2"}) == "");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(missing(message_of<IoError>([&] { read_text_file(folder / "pipe"); }), {"/pipe'"}) == "");
  CHECK(missing(message_of<IoError>([&] { lines_of(folder / "pipe", taken); }), {"/pipe'"}) == "");
  CHECK_THROWS_AS(read_text_file(folder.path()), IoError);
}

TEST_CASE("text file: lines of a log longer than a piece, the unfinished last one left out") {
  const TempDirectory folder;
  std::string text;
  std::vector<std::string> expected;
  for (int i = 0; i < 3000; ++i) {
    expected.push_back(std::string(static_cast<std::size_t>(i * 7 % 900), static_cast<char>('a' + i % 26)));
    text += expected.back() + "\n";
  }
  for (const char* rest : {"", "unfinished"}) {
    write_bytes(folder / "log", text + rest);
    std::uint64_t taken = 0;
    CHECK(lines_of(folder / "log", taken) == expected);
    CHECK(taken == text.size());
  }
  std::uint64_t taken = 0;
  CHECK(lines_of(folder / "log", taken, 2).size() == 2);
  CHECK(taken == expected[0].size() + expected[1].size() + 2);
  write_bytes(folder / "log", "");
  CHECK(lines_of(folder / "log", taken).empty());
  CHECK(taken == 0);
}

TEST_CASE("text file: a line without end is refused before it fills the memory") {
  const TempDirectory folder;
  write_bytes(folder / "log", "first\n" + std::string(kMaxLineBytes + (1 << 20), 'x'));
  std::uint64_t taken = 0;
  CHECK(missing(message_of<DataError>([&] { lines_of(folder / "log", taken); }), {"/log'", "line 2"}) == "");
}

}  // namespace
}  // namespace qmse
