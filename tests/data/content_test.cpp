#include "data/content.h"

#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "base/error.h"
#include "base/stopped.h"
#include "data/registry.h"
#include "data/sha256.h"
#include "tests/data/tiny_idx.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

namespace qmse {
namespace {

using test::missing;
using test::TempDirectory;
using test::write_bytes;

// One file of a header of 4 bytes and 25 records of 3, the last block of ten being short; records 7 and 21
// are not checked but for their first byte.
struct TinySet {
  TinySet() {
    for (int i = 0; i < 4 + 75; ++i) bytes += static_cast<char>(i * 37);
    for (int first = 0; first < 25; first += 10) {
      uLong crc = crc32(0, nullptr, 0);
      for (int i = first; i < std::min(first + 10, 25); ++i) {
        crc = crc32(crc, reinterpret_cast<const Bytef*>(bytes.data()) + 4 + 3 * i, i == 7 || i == 21 ? 1 : 3);
      }
      char digits[9];
      std::snprintf(digits, sizeof(digits), "%08lx", crc);
      checks += digits;
    }
    copy = bytes;
    copy[4 + 3 * 7 + 1] ^= 1;
    copy[4 + 3 * 21 + 2] ^= 1;
    uLong left_out = crc32(0, nullptr, 0);
    for (const int i : {7, 21})
      left_out = crc32(left_out, reinterpret_cast<const Bytef*>(copy.data()) + 4 + 3 * i + 1, 2);
    char digits[9];
    std::snprintf(digits, sizeof(digits), "%08lx", left_out);
    copy_check = digits;
    official_sha = sha256(bytes);
    copy_sha = sha256(copy);
  }

  ContentReport examine(const std::string& content, bool with_unchecked = true) const {
    const TempDirectory folder;
    write_bytes(folder / "batch", content);
    const std::uint16_t unchecked[] = {7, 21};
    KnownFile file{"batch",          official_sha.c_str(), 79, 4, 3, 10, checks.c_str(), unchecked,
                   copy_sha.c_str(), copy_check.c_str()};
    if (!with_unchecked) file.unchecked = {};
    const KnownFile files[] = {file};
    return examine_content(KnownSet{"tiny", files, "blurred images"}, folder.path());
  }

  std::string bytes, copy, checks, copy_check, official_sha, copy_sha;
};

TEST_CASE("content: SHA-256 has the published values") {
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// `sha256sum` of 0 to 129 times 'q', one after the other, digests joined: every length of the padding.
TEST_CASE("content: SHA-256 pads every length of a block, whatever the pieces it gets") {
  Sha256 all;
  for (std::size_t length = 0; length < 130; ++length) {
    const std::string text(length, 'q');
    Sha256 pieces;
    for (std::size_t begin = 0; begin < length; begin += 1 + length % 67)
      pieces.update(text.data() + begin, std::min(1 + length % 67, length - begin));
    const std::string digest = pieces.finish();
    CHECK(digest == sha256(text));
    all.update(digest.data(), digest.size());
  }
  CHECK(all.finish() == "3521586badc29d53dbd110d2c09c64fd9e511f38faafafd38463a7b4e438c94d");
}

TEST_CASE("content: the official file is recognised, compressed too") {
  const TinySet tiny;
  for (const std::string& content : {tiny.bytes, test::gzip(tiny.bytes)}) {
    const ContentReport report = tiny.examine(content);
    CHECK(report.files.at(0).difference == "");
    CHECK(report.files.at(0).bytes == 79);
    CHECK(report.kind == ContentKind::official);
    CHECK(report.summary == "official");
    CHECK(report.sha256 == sha256(tiny.official_sha + "  batch\n"));
  }
}

TEST_CASE("content: the known copy is told with its records") {
  const TinySet tiny;
  const ContentReport report = tiny.examine(tiny.copy);
  CHECK(report.kind == ContentKind::differs);
  CHECK(report.summary == "differs: 2 records hold blurred images, all else is official");
  CHECK(report.files.at(0).difference == "records 7, 21 hold blurred images");
  std::string more = tiny.copy;
  more[4 + 3 * 12] ^= 1;
  const ContentReport damaged = tiny.examine(more);
  CHECK(damaged.summary == "differs in batch");
  CHECK(damaged.files.at(0).difference == "somewhere in records 10-19; records 7, 21 hold blurred images");
}

TEST_CASE("content: where a file differs is told by blocks") {
  const TinySet tiny;
  const auto difference = [&](std::initializer_list<std::size_t> places, bool with_unchecked = true) {
    std::string damaged = tiny.bytes;
    for (const std::size_t at : places) damaged[at] ^= 4;
    const ContentReport report = tiny.examine(damaged, with_unchecked);
    CHECK(report.kind == ContentKind::differs);
    CHECK(report.summary == "differs in batch");
    return report.files.at(0).difference;
  };
  CHECK(difference({4 + 3 * 22}, false).find("not compared") == std::string::npos);
  CHECK(missing(difference({4 + 3 * 12}), {"somewhere in records 10-19;", "not compared: records 7, 21"}) ==
        "");
  CHECK(missing(difference({4, 4 + 3 * 24 + 2}), {"records 0-9, 20-24;"}) == "");
  CHECK(missing(difference({4 + 3 * 9, 4 + 3 * 10, 4 + 3 * 20}), {"records 0-24;"}) == "");
  CHECK(missing(difference({4 + 3 * 7}), {"records 0-9;"}) == "");  // its label
  CHECK(difference({4 + 3 * 7 + 1}) == "in one or more of records 7, 21");
}

TEST_CASE("content: a file of another length differs from where it ends") {
  const TinySet tiny;
  const ContentReport cut = tiny.examine(tiny.bytes.substr(0, 4 + 3 * 12 + 1));
  CHECK(cut.kind == ContentKind::differs);
  CHECK(missing(cut.files.at(0).difference, {"41 bytes where the official file has 79", "records 10-24"}) ==
        "");
  const ContentReport longer = tiny.examine(tiny.bytes + "x");
  CHECK(missing(longer.files.at(0).difference, {"80 bytes where the official file has 79"}) == "");
  CHECK(longer.files.at(0).difference.find("somewhere") == std::string::npos);
  CHECK(tiny.examine("").kind == ContentKind::differs);
}

TEST_CASE("content: a compressed file is read no further than behind what it should hold") {
  const TinySet tiny;
  const std::string bomb = test::gzip(tiny.bytes + std::string(std::size_t{64} << 20, '\0'));
  const ContentReport report = tiny.examine(bomb);
  CHECK(report.kind == ContentKind::differs);
  CHECK(report.files.at(0).bytes < std::size_t{1} << 20);
  CHECK_FALSE(report.files.at(0).whole);
  CHECK(report.sha256 == "");
  CHECK(missing(report.files.at(0).difference, {"it has more bytes where the official file has 79"}) == "");

  // More images than the official set, as its header says: one's own, and all of it counts.
  const TempDirectory folder;
  const std::string images = test::idx_bytes({300, 28, 28}, std::string(300 * 784, 'x'));
  for (const KnownFile& known : find_known_set("mnist")->files)
    write_bytes(folder / (std::string(known.name) + ".gz"), test::gzip(images));
  const ContentReport own = examine_content("mnist", folder.path());
  CHECK(own.files.at(3).bytes == images.size());  // where the official file has 10008
  CHECK(own.files.at(3).whole);
  CHECK(own.sha256.size() == 64);
}

TEST_CASE("content: a check can be stopped") {
  const TempDirectory folder;
  write_bytes(folder / "a", std::string(2 << 20, 'a'));
  int asked = 0;
  CHECK_THROWS_AS(examine_files(folder.path(), {"a", "a"}, [&] { return ++asked == 3; }), Stopped);
  CHECK(asked == 3);
}

TEST_CASE("content: names of any bytes are hashed as sha256sum prints them and kept as text") {
  const TempDirectory folder;
  const std::string names[] = {"caf\xe9", "a\nb", "c\\d"};
  for (const std::string& name : names) write_bytes(folder / name, "x");
  const ContentReport report = examine_files(folder.path(), {names[0], names[1], names[2]});
  CHECK(report.files.at(0).name == "caf\\xe9");
  CHECK(report.files.at(1).name == "a\\x0ab");
  CHECK(report.files.at(2).name == "c\\d");
  const std::string hash = sha256("x");
  CHECK(report.sha256 == sha256(hash + "  caf\xe9\n\\" + hash + "  a\\nb\n\\" + hash + "  c\\\\d\n"));
}

TEST_CASE("content: lists of classes count by their lines") {
  const std::string names = "cat\ndog\n";
  const auto crc =
      static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(names.data()), uInt{8}));
  const KnownNames known[] = {{"names.txt", crc}};
  const auto examine = [&](const std::string& text) {
    const TempDirectory folder;
    write_bytes(folder / "names.txt", text);
    return examine_content(KnownSet{"tiny", {}, "", known}, folder.path());
  };
  for (const char* same : {"cat\ndog\n", "cat\r\ndog\r\n", "cat\ndog", "cat\ndog\n\n"}) {
    const ContentReport report = examine(same);
    CHECK(report.kind == ContentKind::official);
    CHECK(report.class_names.at(0).difference == "");
    CHECK(report.files.empty());
  }
  for (const char* other : {"dog\ncat\n", "cat\ndog\nemu\n", "cat\n", "Cat\ndog\n", ""}) {
    const ContentReport report = examine(other);
    CHECK(report.kind == ContentKind::differs);
    CHECK(report.summary == "differs in names.txt");
    CHECK(missing(report.class_names.at(0).difference, {"official classes"}) == "");
  }
}

TEST_CASE(
    "content: a list of classes that is missing is a difference, its reader says whether it is needed") {
  const TempDirectory folder;
  const KnownNames known[] = {{"names.txt", 0}};
  const ContentReport report = examine_content(KnownSet{"tiny", {}, "", known}, folder.path());
  CHECK(report.kind == ContentKind::differs);
  CHECK(report.class_names.at(0).difference == "it is missing");
}

TEST_CASE("content: missing files and damaged compression are errors") {
  const TempDirectory empty;
  CHECK(missing(test::message_of<IoError>([&] { examine_content("mnist", empty.path()); }),
                {"train-images-idx3-ubyte"}) == "");
  const TinySet tiny;
  const std::string damaged = test::gzip(tiny.bytes);
  CHECK_THROWS_AS(tiny.examine(damaged.substr(0, damaged.size() - 3)), DataError);
}

TEST_CASE("content: every known set has checks for all of its records") {
  for (const std::string& name : dataset_names()) {
    const KnownSet* set = find_known_set(name);
    if (dataset_info(name).is_own()) {
      CHECK(set == nullptr);
      continue;
    }
    REQUIRE(set != nullptr);
    for (const KnownFile& file : set->files) {
      CAPTURE(file.name);
      CHECK(std::string(file.sha256).size() == 64);
      CHECK((file.bytes - file.header) % file.record == 0);
      const std::uint64_t records = (file.bytes - file.header) / file.record;
      CHECK(std::string(file.checks).size() == 8 * ((records + file.block - 1) / file.block));
      CHECK(std::is_sorted(file.unchecked.begin(), file.unchecked.end()));
    }
  }
}

// The data at hand are either official or the known copy, and the CRC-32s agree with the SHA-256.
TEST_CASE("content: the data sets in QMSE_DATA and of Debian are recognised") {
  for (const std::string& name : dataset_names()) {
    if (dataset_info(name).is_own()) continue;
    std::filesystem::path folder;
    try {
      folder = find_data_directory(name, name == "fashion-mnist" ? "/usr/share/datasets" : "");
    } catch (const IoError&) {
      std::cout << "[skipped: " << name << " is not there]\n";
      continue;
    }
    CAPTURE(name);
    const ContentReport report = examine_content(name, folder);
    CAPTURE(report.summary);
    const bool copy = name == "cifar10" && report.kind == ContentKind::differs;
    if (copy) {
      CHECK(report.summary == "differs: 103 records hold re-encoded JPEG images, all else is official");
    } else {
      CHECK(report.kind == ContentKind::official);
    }
    KnownSet by_crc = *find_known_set(name);
    std::vector<KnownFile> files(by_crc.files.begin(), by_crc.files.end());
    for (KnownFile& file : files) {
      file.sha256 = "";
      file.copy_sha256 = nullptr;
    }
    by_crc.files = files;
    for (const FileContent& file : examine_content(by_crc, folder).files) {
      CHECK(file.difference.find("somewhere") == std::string::npos);
    }
  }
}

}  // namespace
}  // namespace qmse
