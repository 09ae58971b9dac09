#include "data/content.h"

#include <algorithm>
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

// Two files, and a copy of them that is about.
struct TinySet {
  // The report on files with these contents.
  ContentReport examine(const std::string& first, const std::string& second) const {
    const TempDirectory folder;
    write_bytes(folder / "first", first);
    write_bytes(folder / "second", second);
    const std::string first_sha = sha256(one), second_sha = sha256(two),
                      copy_sha = sha256(sha256(copied) + "  first\n" + second_sha + "  second\n");
    const KnownFile files[] = {{"first", first_sha.c_str(), one.size()},
                               {"second", second_sha.c_str(), two.size()}};
    return examine_content(KnownSet{files, {}, {copy_sha.c_str(), "some images are blurred"}}, folder.path());
  }

  std::string one = "seventy-nine bytes, say", two = "more", copied = "seventy-nine bytes, Say";
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

TEST_CASE("content: the official files are recognised, compressed too") {
  const TinySet tiny;
  for (const std::string& first : {tiny.one, test::gzip(tiny.one)}) {
    const ContentReport report = tiny.examine(first, tiny.two);
    CHECK(report.files.at(0).difference == "");
    CHECK(report.files.at(0).bytes == tiny.one.size());
    CHECK(report.kind == ContentKind::official);
    CHECK(report.summary == "official");
    CHECK(report.sha256 == sha256(sha256(tiny.one) + "  first\n" + sha256(tiny.two) + "  second\n"));
  }
}

TEST_CASE("content: a known copy is told by its SHA-256, in a sentence") {
  const TinySet tiny;
  const ContentReport report = tiny.examine(tiny.copied, tiny.two);
  CHECK(report.kind == ContentKind::differs);
  CHECK(report.summary == "differs: some images are blurred");
  CHECK(report.files.at(0).difference == "the official file has the SHA-256 " + sha256(tiny.one));
  CHECK(report.files.at(1).difference == "");
  const ContentReport damaged = tiny.examine(tiny.copied, tiny.two + "x");
  CHECK(damaged.summary == "differs in first, second");
}

TEST_CASE("content: a file that differs is named, with its length or the official SHA-256") {
  const TinySet tiny;
  const ContentReport other = tiny.examine(tiny.one, "Mope");
  CHECK(other.kind == ContentKind::differs);
  CHECK(other.summary == "differs in second");
  CHECK(other.files.at(1).difference == "the official file has the SHA-256 " + sha256(tiny.two));
  for (const std::string second : {"", "mor", "more!"}) {
    const ContentReport report = tiny.examine(tiny.one, second);
    CHECK(report.kind == ContentKind::differs);
    CHECK(report.files.at(1).difference ==
          "it has " + std::to_string(second.size()) + " bytes where the official file has 4");
  }
}

TEST_CASE("content: a compressed file is read no further than behind what it should hold") {
  const TinySet tiny;
  const std::string bomb = test::gzip(tiny.one + std::string(std::size_t{64} << 20, '\0'));
  const ContentReport report = tiny.examine(bomb, tiny.two);
  CHECK(report.kind == ContentKind::differs);
  CHECK(report.files.at(0).bytes < std::size_t{1} << 20);
  CHECK_FALSE(report.files.at(0).whole);
  CHECK(report.sha256 == "");
  CHECK(report.files.at(0).difference == "it has more bytes where the official file has 23");

  // More images than the official set, as its header says: one's own, and all of it counts.
  const TempDirectory folder;
  const std::string images = test::idx_bytes({300, 28, 28}, std::string(300 * 784, 'x'));
  for (const KnownFile& known : dataset_info("mnist").known.files)
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
  const std::string sha = sha256("cat\ndog\n");
  const KnownNames known[] = {{"names.txt", sha.c_str()}};
  const auto examine = [&](const std::string& text) {
    const TempDirectory folder;
    write_bytes(folder / "names.txt", text);
    return examine_content(KnownSet{{}, known}, folder.path());
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
  const KnownNames known[] = {{"names.txt", ""}};
  const ContentReport report = examine_content(KnownSet{{}, known}, folder.path());
  CHECK(report.kind == ContentKind::differs);
  CHECK(report.class_names.at(0).difference == "it is missing");
}

TEST_CASE("content: missing files and damaged compression are errors") {
  const TempDirectory empty;
  CHECK(missing(test::message_of<IoError>([&] { examine_content("mnist", empty.path()); }),
                {"train-images-idx3-ubyte"}) == "");
  const TinySet tiny;
  const std::string damaged = test::gzip(tiny.one);
  CHECK_THROWS_AS(tiny.examine(damaged.substr(0, damaged.size() - 3), tiny.two), DataError);
}

TEST_CASE("content: every data set but one's own has files with a SHA-256 each") {
  for (const std::string& name : dataset_names()) {
    CAPTURE(name);
    const DatasetInfo& info = dataset_info(name);
    CHECK(info.known.files.empty() == info.is_own());
    for (const KnownFile& file : info.known.files) {
      CAPTURE(file.name);
      CHECK(std::string(file.sha256).size() == 64);
      CHECK(file.bytes > 0);
    }
    for (const KnownNames& names : info.known.class_names) CHECK(std::string(names.sha256).size() == 64);
  }
}

// The data at hand are either official or the known copy.
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
    if (name == "cifar10" && report.kind == ContentKind::differs) {
      CHECK(report.summary == "differs: 103 of its images went through JPEG, all else is official");
    } else {
      CHECK(report.kind == ContentKind::official);
    }
    for (const FileContent& names : report.class_names) CHECK(names.difference == "");
  }
}

}  // namespace
}  // namespace qmse
