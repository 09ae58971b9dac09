#include "data/cifar.h"

#include <cmath>
#include <iostream>
#include <string>

#include "base/error.h"
#include "data/normalization.h"
#include "data/registry.h"
#include "tests/data/largest_allocation.h"
#include "tests/data/tiny_cifar.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/mutation.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::missing;
using test::TempDirectory;
using test::write_bytes;

std::string message10(const fs::path& folder) {
  return message_of<DataError>([&] { read_cifar10(folder, Split::train); });
}

TEST_CASE("cifar: the batches of CIFAR-10 follow each other, planes as they are") {
  const TempDirectory folder;
  test::write_cifar10(folder.path(), 300);  // more than is read in one go
  const ImageDataset train = read_cifar10(folder.path(), Split::train);
  CHECK(train.name == "cifar10");
  CHECK(train.count == 1500);
  CHECK(train.channels == 3);
  CHECK(train.height == 32);
  CHECK(train.width == 32);
  CHECK(train.classes() == 10);
  CHECK(train.class_names[9] == "class-9");
  REQUIRE(train.images.size() == 1500 * 3072);
  REQUIRE(train.labels.size() == 1500);
  for (const int image : {0, 255, 256, 299, 300, 1499}) {
    CAPTURE(image);
    const std::string expected = test::cifar_pixels(1 + image / 300, image % 300);
    const std::string pixels(train.images.begin() + image * 3072, train.images.begin() + (image + 1) * 3072);
    CHECK(pixels == expected);
    CHECK(train.labels[static_cast<std::size_t>(image)] == image % 300 % 10);
  }
  const ImageDataset test = read_cifar10(folder.path(), Split::test);
  CHECK(test.split == Split::test);
  CHECK(test.count == 300);
  CHECK(std::string(test.images.begin(), test.images.begin() + 3072) == test::cifar_pixels(6, 0));
}

TEST_CASE("cifar: CIFAR-100 has fine and coarse labels with their own names") {
  const TempDirectory folder;
  test::write_cifar100(folder.path(), 120);
  const ImageDataset fine = read_cifar100(folder.path(), Split::train, LabelKind::fine);
  CHECK(fine.name == "cifar100");
  CHECK(fine.count == 120);
  CHECK(fine.classes() == 100);
  CHECK(fine.class_names[99] == "fine-99");
  CHECK(fine.labels[3] == 96);
  CHECK(std::string(fine.images.begin() + 3072, fine.images.begin() + 2 * 3072) == test::cifar_pixels(1, 1));
  const ImageDataset coarse = read_cifar100(folder.path(), Split::test, LabelKind::coarse);
  CHECK(coarse.classes() == 20);
  CHECK(coarse.class_names[19] == "coarse-19");
  CHECK(coarse.labels[3] == 3);
  CHECK(coarse.labels[119] == 19);
  CHECK(std::string(coarse.images.begin(), coarse.images.begin() + 3072) == test::cifar_pixels(2, 0));
}

TEST_CASE("cifar: names are read with either line end, and must be as many as the classes and distinct") {
  const TempDirectory folder;
  test::write_cifar10(folder.path(), 1);
  write_bytes(folder / "batches.meta.txt", "a\r\nb\r\nc\nd\ne\nf\ng\nh\ni\nj");
  CHECK(read_cifar10(folder.path(), Split::train).class_names[1] == "b");
  write_bytes(folder / "batches.meta.txt", "a\nb\n");
  CHECK(missing(message10(folder.path()), {"batches.meta.txt", "2 class names", "10 classes"}) == "");
  write_bytes(folder / "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\na\n");
  CHECK(missing(message10(folder.path()), {"batches.meta.txt", "'a' twice"}) == "");
  write_bytes(folder / "batches.meta.txt", std::string(100'000, 'x'));
  CHECK(missing(message10(folder.path()), {"batches.meta.txt", "too large"}) == "");
  fs::remove(folder / "batches.meta.txt");
  CHECK(missing(message_of<IoError>([&] { read_cifar10(folder.path(), Split::train); }),
                {"batches.meta.txt"}) == "");
}

TEST_CASE("cifar: truncated files are refused, at a record's end too") {
  const TempDirectory folder;
  test::write_cifar10(folder.path(), 4);
  const fs::path file = folder / "data_batch_3.bin";
  const std::string whole = test::read_bytes(file);
  for (const std::size_t bytes : {whole.size() - 1, std::size_t{3072}, std::size_t{1}, std::size_t{0}}) {
    CAPTURE(bytes);
    write_bytes(file, whole.substr(0, bytes));
    CHECK(missing(message10(folder.path()), {"data_batch_3.bin", "records of 3073 bytes", "cut short",
                                             "replace the file by an undamaged copy"}) == "");
  }
  write_bytes(file, whole.substr(0, 3 * 3073));
  CHECK(missing(message10(folder.path()), {"data_batch_3.bin", "3 records", "data_batch_1.bin", "has 4"}) ==
        "");
  fs::remove(file);
  CHECK(missing(message_of<IoError>([&] { read_cifar10(folder.path(), Split::train); }),
                {"data_batch_3.bin"}) == "");
}

TEST_CASE("cifar: the Python version is named as such") {
  const TempDirectory folder;
  write_bytes(folder / "data_batch_1", "pickled");
  write_bytes(folder / "batches.meta", "pickled");
  CHECK(missing(message10(folder.path()),
                {"is a file of the Python version of cifar10", "cifar-10-binary.tar.gz"}) == "");
  const TempDirectory other;
  write_bytes(other / "train", "pickled");
  CHECK(missing(message_of<DataError>([&] { read_cifar100(other.path(), Split::test, LabelKind::fine); }),
                {"Python version of cifar100", "cifar-100-binary.tar.gz"}) == "");
  test::write_cifar10(folder.path(), 4);  // beside the files that are read they do no harm
  CHECK(read_cifar10(folder.path(), Split::train).count == 20);
}

TEST_CASE("cifar: class names of any bytes are kept as text") {
  const TempDirectory folder;
  test::write_cifar10(folder.path(), 4);
  write_bytes(folder / "batches.meta.txt", "caf\xe9\n" + test::name_lines("c", 9));
  CHECK(read_cifar10(folder.path(), Split::train).class_names.front() == "caf\\xe9");
}

TEST_CASE("cifar: files of the other data set are recognised") {
  const TempDirectory folder;
  test::write_cifar10(folder / "10", 4);
  test::write_cifar100(folder / "100", 4);
  write_bytes(folder / "10/data_batch_2.bin", test::cifar100_file(1, 4));
  CHECK(missing(message10(folder / "10"), {"data_batch_2.bin", "3073", "those of cifar100", "mixed up"}) ==
        "");
  write_bytes(folder / "100/test.bin", test::cifar10_file(1, 4));
  CHECK(missing(message_of<DataError>([&] { read_cifar100(folder / "100", Split::test, LabelKind::fine); }),
                {"test.bin", "3074", "those of cifar10:", "mixed up"}) == "");

  test::write_cifar10(folder / "10", 4);
  write_bytes(folder / "10/train.bin", test::cifar100_file(1, 4));
  CHECK(missing(message10(folder / "10"), {"train.bin", "no file of cifar10", "mixes data sets"}) == "");
}

TEST_CASE("cifar: a label that is no class names file, record and label") {
  const TempDirectory folder;
  test::write_cifar10(folder / "10", 300);
  std::string bytes = test::cifar10_file(4, 300);
  bytes[3073 * 277] = '\x0a';
  write_bytes(folder / "10/data_batch_4.bin", bytes);
  CHECK(missing(message10(folder / "10"), {"data_batch_4.bin", "label 10 of record 277", "not below 10"}) ==
        "");

  test::write_cifar100(folder / "100", 4);
  const auto message = [&](std::size_t at, char label, LabelKind kind) {
    std::string damaged = test::cifar100_file(1, 4);
    damaged[at] = label;
    write_bytes(folder / "100/train.bin", damaged);
    return message_of<DataError>([&] { read_cifar100(folder / "100", Split::train, kind); });
  };
  // Both labels are checked, whichever is asked for.
  for (const LabelKind kind : {LabelKind::fine, LabelKind::coarse}) {
    CHECK(missing(message(3074, 20, kind), {"train.bin", "label 20 of record 1", "not below 20"}) == "");
    CHECK(missing(message(3075, 100, kind), {"train.bin", "label 100 of record 1", "not below 100"}) == "");
  }
}

// Each outcome is a valid set or an error of one line, and memory follows the size of the files.
TEST_CASE("cifar: a thousand damaged files load as valid or throw") {
  constexpr std::uint64_t kSeed = 23;
  std::mt19937_64 random(kSeed);
  const TempDirectory folder;
  test::write_cifar100(folder.path(), 3);
  const std::string images = test::cifar100_file(1, 3), names = test::name_lines("fine-", 100);
  int valid = 0;
  for (int round = 0; round < 1000; ++round) {
    INFO("seed " << kSeed << ", round " << round);
    const bool damage_names = random() % 4 == 0;
    const std::string damaged = test::mutate(images, 2, random);
    write_bytes(folder / "train.bin", damage_names ? images : damaged);
    write_bytes(folder / "fine_label_names.txt",
                damage_names ? test::mutate(names, names.size(), random) : names);
    test::reset_largest_allocation();
    try {
      const ImageDataset set = read_cifar100(folder.path(), Split::train, LabelKind::fine);
      REQUIRE(set.labels.size() == static_cast<std::size_t>(set.count));
      REQUIRE(set.images.size() == static_cast<std::size_t>(set.count) * 3072);
      for (const std::int32_t label : set.labels) REQUIRE((label >= 0 && label < 100));
      ++valid;
    } catch (const Error& error) {
      REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
    }
    REQUIRE(test::largest_allocation() <= 1u << 20);  // the piece that is read in one go
  }
  CHECK(valid > 10);
  CHECK(valid < 900);
}

// Published facts: 50 000 and 10 000 images, balanced classes, means and deviations to three digits.
void check_published(const std::string& name, const std::vector<double>& mean,
                     const std::vector<double>& stddev) {
  const std::string data = data_places_from_environment().variable;
  DataPlaces places;
  places.variable = data;
  fs::path folder;
  try {
    if (data.empty()) throw IoError("QMSE_DATA is not set");
    folder = find_data_directory(name, "", places);
  } catch (const IoError&) {
    std::cout << "[skipped: QMSE_DATA names no folder that holds " << name << "]\n";
    return;
  }
  const ImageDataset train = load_dataset(name, folder, Split::train);
  const ImageDataset test = load_dataset(name, folder, Split::test);
  CHECK(train.count == 50'000);
  CHECK(test.count == 10'000);
  for (const ImageDataset* set : {&train, &test}) {
    std::vector<std::int64_t> counts(static_cast<std::size_t>(set->classes()));
    for (const std::int32_t label : set->labels) ++counts[static_cast<std::size_t>(label)];
    for (const std::int64_t count : counts) CHECK(count == set->count / set->classes());
  }
  const ChannelStatistics statistics = channel_statistics(train);
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(std::abs(statistics.mean.at(c) - mean[c]) < 5e-4);
    CHECK(std::abs(statistics.stddev.at(c) - stddev[c]) < 5e-4);
  }
}

TEST_CASE("cifar: CIFAR-10 in QMSE_DATA") {
  check_published("cifar10", {0.4914, 0.4822, 0.4465}, {0.2470, 0.2435, 0.2616});
}

TEST_CASE("cifar: CIFAR-100 in QMSE_DATA") {
  check_published("cifar100", {0.5071, 0.4865, 0.4409}, {0.2673, 0.2564, 0.2762});
}

}  // namespace
}  // namespace qmse
