#include "data/idx.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/error.h"
#include "base/in_quotes.h"
#include "tests/data/largest_allocation.h"
#include "tests/data/tiny_idx.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;
using test::gzip;
using test::idx_bytes;
using test::mentions;
using test::message_of;
using test::TempDirectory;
using test::TinySet;
using test::write_bytes;

const std::vector<std::string> kTen = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

ImageDataset read_train(const fs::path& folder) {
  return read_idx_dataset(folder, Split::train, "mnist", kTen);
}

void check_tiny(const ImageDataset& set) {
  CHECK(set.name == "mnist");
  CHECK(set.split == Split::train);
  CHECK(set.count == 5);
  CHECK(set.channels == 1);
  CHECK(set.height == 3);
  CHECK(set.width == 4);
  CHECK(set.class_names == kTen);
  CHECK(set.classes() == 10);
  CHECK(set.labels == std::vector<std::int32_t>{3, 0, 9, 9, 1});
  CHECK(std::string(set.images.begin(), set.images.end()) == TinySet::pixels());
}

// The error for a set whose images (or labels) are these bytes, plain and compressed; the message must name
// the file.
bool rejects(const std::string& file, const std::string& bytes, const std::string& cause) {
  bool good = true;
  for (const bool compressed : {false, true}) {
    const TempDirectory folder;
    TinySet().write(folder.path());
    const std::string name = file + (compressed ? ".gz" : "");
    fs::remove(folder / file);
    write_bytes(folder / name, compressed ? gzip(bytes) : bytes);
    const std::string message = message_of<DataError>([&] { read_train(folder.path()); });
    const bool named = mentions(message, cause) && mentions(message, in_quotes(folder / name));
    if (!named) WARN("expected '" << cause << "' in: " << message);
    good = good && named;
  }
  return good;
}
bool rejects_images(const std::string& bytes, const std::string& cause) {
  return rejects("train-images-idx3-ubyte", bytes, cause);
}
bool rejects_labels(const std::string& bytes, const std::string& cause) {
  return rejects("train-labels-idx1-ubyte", bytes, cause);
}

TEST_CASE("idx: plain and compressed files give the same set") {
  const TempDirectory plain;
  TinySet().write(plain.path());
  check_tiny(read_train(plain.path()));
  const TempDirectory compressed;
  TinySet().write_compressed(compressed.path());
  check_tiny(read_train(compressed.path()));
}

TEST_CASE("idx: the test split has files of its own") {
  const TempDirectory folder;
  write_bytes(folder / "t10k-images-idx3-ubyte", idx_bytes({1, 2, 1}, "ab"));
  write_bytes(folder / "t10k-labels-idx1-ubyte", idx_bytes({1}, "\5"));
  const ImageDataset set = read_idx_dataset(folder.path(), Split::test, "x", kTen);
  CHECK(set.split == Split::test);
  CHECK(set.images == std::vector<std::uint8_t>{'a', 'b'});
  CHECK(set.labels == std::vector<std::int32_t>{5});
}

TEST_CASE("idx: of a plain and a compressed file the plain one is taken") {
  const TempDirectory folder;
  TinySet().write(folder.path());
  write_bytes(folder / "train-images-idx3-ubyte.gz", "not looked at");
  write_bytes(folder / "train-labels-idx1-ubyte.gz", "not looked at");
  check_tiny(read_train(folder.path()));
}

TEST_CASE("idx: the content tells compressed from plain, not the name") {
  const TempDirectory folder;
  write_bytes(folder / "train-images-idx3-ubyte.gz", TinySet().images);
  write_bytes(folder / "train-labels-idx1-ubyte", gzip(TinySet().labels));
  check_tiny(read_train(folder.path()));
}

TEST_CASE("idx: several gzip members in a row are one content") {
  const TempDirectory folder;
  TinySet().write(folder.path());
  const std::string images = TinySet().images;
  fs::remove(folder / "train-images-idx3-ubyte");
  write_bytes(folder / "train-images-idx3-ubyte.gz",
              gzip(images.substr(0, 7)) + gzip("") + gzip(images.substr(7)));
  check_tiny(read_train(folder.path()));
}

TEST_CASE("idx: a compressed file much larger than the reader's pieces") {
  const TempDirectory folder;
  std::string pixels;
  for (int i = 0; i < 3'000'000; ++i) pixels += static_cast<char>((i * 2654435761u) >> 24);
  write_bytes(folder / "train-images-idx3-ubyte.gz", gzip(idx_bytes({3000, 10, 100}, pixels)));
  write_bytes(folder / "train-labels-idx1-ubyte.gz", gzip(idx_bytes({3000}, std::string(3000, '\7'))));
  const ImageDataset set = read_train(folder.path());
  CHECK(set.count == 3000);
  CHECK(std::string(set.images.begin(), set.images.end()) == pixels);
}

TEST_CASE("idx: missing and unreadable files") {
  const TempDirectory folder;
  const auto io_error = [&] { return message_of<IoError>([&] { read_train(folder.path()); }); };
  CHECK(mentions(io_error(),
                 "cannot find '" + (folder / "train-images-idx3-ubyte").string() + "' or the same with .gz"));
  TinySet().write(folder.path());
  fs::remove(folder / "train-labels-idx1-ubyte");
  CHECK(mentions(io_error(), "train-labels-idx1-ubyte' or the same with .gz"));
  fs::create_directory(folder / "train-labels-idx1-ubyte");
  CHECK(mentions(io_error(), "train-labels-idx1-ubyte': it is a directory"));
  fs::remove(folder / "train-labels-idx1-ubyte");
  REQUIRE(::mkfifo((folder / "train-labels-idx1-ubyte").c_str(), 0600) == 0);
  CHECK(mentions(io_error(), "train-labels-idx1-ubyte': it is not a regular file"));
}

TEST_CASE("idx: a file without read permission is an error") {
  const TempDirectory folder;
  fs::permissions(folder.path(), fs::perms{0755});
  TinySet().write(folder.path());
  fs::permissions(folder / "train-images-idx3-ubyte", fs::perms::none);
  const bool root = ::geteuid() == 0;  // root ignores permissions: act as nobody
  if (root) REQUIRE(::seteuid(65534) == 0);
  const std::string message = message_of<IoError>([&] { read_train(folder.path()); });
  if (root) REQUIRE(::seteuid(0) == 0);
  INFO(message);
  CHECK(mentions(message, "train-images-idx3-ubyte': Permission denied; check the permissions"));
}

TEST_CASE("idx: wrong headers") {
  const TinySet tiny;
  const auto with_byte = [](std::string bytes, std::size_t at, int value) {
    bytes[at] = static_cast<char>(value);
    return bytes;
  };
  CHECK(rejects_images("", "it ends before its"));
  CHECK(rejects_images(tiny.images.substr(0, 3), "it ends before its"));
  CHECK(rejects_images(tiny.images.substr(0, 15), "it ends before its"));
  CHECK(rejects_images(with_byte(tiny.images, 0, 1), "its first two bytes are not zero"));
  CHECK(rejects_images(with_byte(tiny.images, 1, 'P'), "its first two bytes are not zero"));
  CHECK(rejects_images(with_byte(tiny.images, 2, 13),
                       "its elements are 32-bit floats in 3 dimensions, not unsigned bytes"));
  CHECK(rejects_images(tiny.labels, "unsigned bytes in 1 dimension, not unsigned bytes in 3"));
  CHECK(rejects_labels(tiny.images, "unsigned bytes in 3 dimensions, not unsigned bytes in 1"));
  CHECK(rejects_images(idx_bytes({0, 3, 4}, ""), "dimension 0 is 0"));
  CHECK(rejects_images(idx_bytes({5, 3, 0}, ""), "dimension 2 is 0"));
  CHECK(rejects_images("<html>not found</html>", "its first two bytes are not zero"));
}

TEST_CASE("idx: labels of other formats are named as what they are") {
  std::string qmnist = idx_bytes({5, 8}, std::string(160, '\0'));
  qmnist[2] = 0x0c;
  CHECK(rejects_labels(qmnist, "32-bit integers in 2 dimensions"));
  CHECK(rejects_labels(qmnist, "as QMNIST has them"));
  CHECK(rejects_labels(idx_bytes({5, 2}, std::string(10, '\0')), "write their first column"));
  std::string wide = idx_bytes({5}, std::string(20, '\0'));
  wide[2] = 0x0c;
  CHECK(rejects_labels(wide, "32-bit integers in 1 dimension,"));
  CHECK(rejects_labels(idx_bytes({5}, "\1\2\3\4\12"), "they count from 1; subtract 1 from each"));
}

TEST_CASE("idx: names with a dot are found, other names are mentioned") {
  for (const bool compressed : {false, true}) {
    const TempDirectory folder;
    const TinySet tiny;
    const std::string suffix = compressed ? ".gz" : "";
    write_bytes(folder / ("train-images.idx3-ubyte" + suffix), compressed ? gzip(tiny.images) : tiny.images);
    write_bytes(folder / ("train-labels.idx1-ubyte" + suffix), compressed ? gzip(tiny.labels) : tiny.labels);
    check_tiny(read_train(folder.path()));
    write_bytes(folder / "train-images-idx3-ubyte", "the official name wins");
    CHECK_THROWS_AS(read_train(folder.path()), DataError);
  }
  const TempDirectory folder;
  TinySet().write(folder.path());
  fs::rename(folder / "train-labels-idx1-ubyte", folder / "qmnist-train-labels-idx2-int.gz");
  CHECK(mentions(message_of<IoError>([&] { read_train(folder.path()); }),
                 "but 'qmnist-train-labels-idx2-int.gz'; give it that name"));
}

TEST_CASE("idx: a header announces the bytes of its file") {
  const auto announced = [](const std::string& bytes) {
    return announced_idx_bytes({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
  };
  CHECK(announced(TinySet().images) == TinySet().images.size());
  CHECK(announced(TinySet().labels) == TinySet().labels.size());
  CHECK(announced(TinySet().images.substr(0, 15)) == 0);
  CHECK(announced("") == 0);
  CHECK(announced("<html>") == 0);
  CHECK(announced(idx_bytes({~0u, ~0u, ~0u}, "")) == 16 + (std::uint64_t{4} << 30));
}

TEST_CASE("idx: too few and too many elements") {
  const TinySet tiny;
  CHECK(rejects_images(tiny.images.substr(0, tiny.images.size() - 1), "is no valid IDX file: "));
  CHECK(rejects_images(tiny.images + "x", "is no valid IDX file: "));
  CHECK(rejects_labels(tiny.labels.substr(0, tiny.labels.size() - 1), "is no valid IDX file: "));
  CHECK(rejects_labels(tiny.labels + '\0', "is no valid IDX file: "));

  const TempDirectory folder;
  tiny.write(folder.path());
  const auto message = [&](const std::string& images, const std::string& suffix) {
    for (const char* old : {"", ".gz"}) fs::remove(folder / (std::string("train-images-idx3-ubyte") + old));
    write_bytes(folder / ("train-images-idx3-ubyte" + suffix), images);
    return message_of<DataError>([&] { read_train(folder.path()); });
  };
  CHECK(mentions(message(tiny.images + "xy", ""), "announces 5 x 3 x 4 elements, but 62 bytes follow it"));
  CHECK(mentions(message(gzip(tiny.images + "xy"), ".gz"), "more bytes follow its 5 x 3 x 4 elements"));
  CHECK(mentions(message(gzip(tiny.images.substr(0, 70)), ".gz"), "it ends before its elements do"));
  // What to do is said too, and is another thing where the file is one of another kind.
  for (const auto& [bytes, suffix] : {std::pair{tiny.images + "xy", ""},
                                      {gzip(tiny.images + "xy"), ".gz"},
                                      {gzip(tiny.images.substr(0, 70)), ".gz"}})
    CHECK(mentions(message(bytes, suffix), "; replace it by an undamaged copy"));
}

TEST_CASE("idx: damaged compression") {
  const TempDirectory folder;
  const TinySet tiny;
  tiny.write(folder.path());
  fs::remove(folder / "train-images-idx3-ubyte");
  const std::string good = gzip(tiny.images);
  const auto message = [&](const std::string& bytes) {
    write_bytes(folder / "train-images-idx3-ubyte.gz", bytes);
    return message_of<DataError>([&] { read_train(folder.path()); });
  };
  const auto flipped = [&](std::size_t from_end) {
    std::string bytes = good;
    bytes[bytes.size() - from_end] = static_cast<char>(bytes[bytes.size() - from_end] ^ 1);
    return bytes;
  };
  CHECK(mentions(message(flipped(8)), "train-images-idx3-ubyte.gz': incorrect data check"));    // CRC-32
  CHECK(mentions(message(flipped(4)), "train-images-idx3-ubyte.gz': incorrect length check"));  // length
  CHECK(mentions(message(good + "x"), "bytes follow the end of the compressed data"));
  CHECK(mentions(message(good + std::string(512, '\0')), "bytes follow the end of the compressed data"));
  CHECK(mentions(message(good + "\x1f"), "bytes follow the end of the compressed data"));
  CHECK(mentions(message(good + gzip("x")), "more bytes follow its 5 x 3 x 4 elements"));
  for (std::size_t size = 2; size < good.size(); ++size) {
    CAPTURE(size);
    CHECK(mentions(message(good.substr(0, size)), "the compressed data end too early"));
  }
}

TEST_CASE("idx: labels and images that do not belong together") {
  const TinySet tiny;
  CHECK(rejects_labels(idx_bytes({4}, "\1\2\3\4"), "has 5 images, but"));
  CHECK(rejects_labels(idx_bytes({5}, "\1\2\3\4\12"), "label 10 of sample 4 in"));
  CHECK(rejects_labels(idx_bytes({5}, std::string("\1\xff\3\4\0", 5)), "label 255 of sample 1 in"));
  CHECK(rejects_labels(idx_bytes({5}, std::string("\1\xff\3\4\0", 5)),
                       "; replace it by an undamaged copy or name the right data set"));
}

TEST_CASE("idx: an absurd header asks for no memory") {
  const TinySet tiny;
  for (const auto& sizes :
       std::vector<std::vector<std::uint32_t>>{{5, 65535, 13107},        // just under 4 GiB
                                               {5, 1u << 31, 1u << 31},  // 5 · 2^62
                                               {0xffffffff, 0xffffffff, 0xffffffff},
                                               {1u << 31, 1u << 31, 4},  // 2^64: wraps to 0
                                               {5, 1, 858993459}}) {
    CAPTURE(sizes);
    test::reset_largest_allocation();
    CHECK(rejects_images(idx_bytes(sizes, TinySet::pixels()), "is no valid IDX file: "));
    CHECK(test::largest_allocation() <= 4u << 20);  // the reader's first piece and room for test and zlib
  }
  test::reset_largest_allocation();
  CHECK(rejects_labels(idx_bytes({0xffffffff}, "abc"), "4294967295"));
  CHECK(test::largest_allocation() <= 4u << 20);
}

TEST_CASE("idx: a compressed bomb is not inflated beyond what its header announces") {
  const TempDirectory folder;
  TinySet().write(folder.path());
  fs::remove(folder / "train-images-idx3-ubyte");
  write_bytes(folder / "train-images-idx3-ubyte.gz", gzip(TinySet().images + std::string(50'000'000, '\0')));
  test::reset_largest_allocation();
  CHECK(mentions(message_of<DataError>([&] { read_train(folder.path()); }), "more bytes follow"));
  CHECK(test::largest_allocation() <= 1u << 20);
}

}  // namespace
}  // namespace qmse
