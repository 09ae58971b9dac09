#include "data/image_folder.h"

#include <random>
#include <set>

#include "base/error.h"
#include "base/name_text.h"
#include "base/stopped.h"
#include "data/registry.h"
#include "tests/data/pictures.h"
#include "tests/data/tiny_idx.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/mutation.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::missing;
using test::picture;
using test::pnm_bytes;
using test::TempDirectory;
using test::write_bytes;

struct Folder {
  explicit Folder(int count = 2) { test::write_class_folders(root.path(), count); }
  ImageDataset read(Split split = Split::train) const { return read_image_folder(root.path(), split); }
  template <class E = DataError>
  std::string message(Split split = Split::train) const {
    return message_of<E>([&] { read(split); });
  }
  void put(const std::string& name, const std::string& bytes) const {
    fs::create_directories((root / name).parent_path());
    write_bytes(root / name, bytes);
  }
  TempDirectory root;
};

TEST_CASE("image folder: class names of any bytes come back as text that JSON can hold") {
  const Folder folder;
  const std::string name = "caf\xe9\n\\x41";
  for (const char* split : {"train/", "test/"})
    folder.put(split + name + "/0.ppm", pnm_bytes(picture(12, 12, 3)));
  const std::vector<std::string> names = folder.read().class_names;
  CHECK(names == std::vector<std::string>{"a", "b", "caf\\xe9\\x0a\\x5cx41"});
  CHECK(unescape_name(names.back()) == name);
}

TEST_CASE("image folder: classes are sorted, images go round the classes, planes are apart") {
  const Folder folder;
  folder.put("train/b/2.ppm", pnm_bytes(picture(12, 12, 3, 7)));  // one more than in a
  folder.put("train/a/.hidden", "left alone");
  const ImageDataset set = folder.read();
  CHECK(set.name == "folder");
  CHECK(set.class_names == std::vector<std::string>{"a", "b"});
  CHECK(set.count == 5);
  CHECK(set.channels == 3);
  CHECK(set.height == 12);
  CHECK(set.width == 12);
  CHECK(set.labels == std::vector<std::int32_t>{0, 1, 0, 1, 1});
  REQUIRE(set.images.size() == 5 * 3 * 144);
  const int starts[] = {0, 100, 40, 140, 7};
  for (std::size_t n = 0; n < 5; ++n) {
    const Picture made = picture(12, 12, 3, starts[n]);
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t i = 0; i < 144; ++i) {
        REQUIRE(set.images[(n * 3 + c) * 144 + i] == made.pixels[3 * i + c]);
      }
    }
  }
  CHECK(folder.read(Split::test).count == 4);
  CHECK(folder.read(Split::test).split == Split::test);
  CHECK(image_folder_files(folder.root.path()) ==
        std::vector<std::string>{"test/a/0.ppm", "test/a/1.ppm", "test/b/0.ppm", "test/b/1.ppm",
                                 "train/a/0.ppm", "train/a/1.ppm", "train/b/0.ppm", "train/b/1.ppm",
                                 "train/b/2.ppm"});
}

TEST_CASE("image folder: grey images of any size and other spellings of the extensions") {
  const TempDirectory folder;
  for (const char* name : {"train/one", "train/two", "test/one", "test/two"}) {
    fs::create_directories(folder / name);
    write_bytes(folder / name / "x.PGM", pnm_bytes(picture(7, 4, 1)));
  }
  const ImageDataset set = read_image_folder(folder.path(), Split::train);
  CHECK(set.channels == 1);
  CHECK(set.height == 4);
  CHECK(set.width == 7);
  CHECK(set.images.size() == 2 * 28);
}

TEST_CASE("image folder: what is wrong with the folders is said") {
  {
    const Folder folder;
    fs::create_directories(folder.root / "train/A");
    folder.put("train/A/0.ppm", pnm_bytes(picture(12, 12, 3)));
    CHECK(missing(folder.message(), {"'A' and 'a'", "case only", "rename"}) == "");
  }
  {
    const Folder folder;
    folder.put("test/c/0.ppm", pnm_bytes(picture(12, 12, 3)));
    for (const Split split : {Split::train, Split::test})
      CHECK(missing(folder.message(split), {"train' has no folder", "'c'"}) == "");
    fs::remove_all(folder.root / "test/c");
    fs::remove_all(folder.root / "test/b");
    CHECK(missing(folder.message(), {"test' has no folder", "'b'"}) == "");
    fs::remove_all(folder.root / "test");
    CHECK(missing(folder.message(), {"neither test/ nor val/", "--test-share"}) == "");
  }
  {
    const Folder folder;
    fs::create_directories(folder.root / "train/empty");
    CHECK(missing(folder.message(), {"train/empty' is empty"}) == "");
  }
  {
    const Folder folder;
    folder.put("train/notes.txt", "x");
    CHECK(missing(folder.message(), {"train/notes.txt", "beside the class folders"}) == "");
  }
  {
    const Folder folder;
    folder.put("train/a/photo.webp", "x");
    CHECK(missing(folder.message(), {"train/a/photo.webp", "no PNG, JPEG, PPM or PGM"}) == "");
  }
  {
    const TempDirectory empty;
    fs::create_directories(empty / "train");
    CHECK(missing(message_of<DataError>([&] { read_image_folder(empty.path(), Split::train); }),
                  {"no class folders"}) == "");
  }
}

TEST_CASE("image folder: without a test set a share of train/ is one, by a seed") {
  const Folder folder;
  const ImageDataset whole = folder.read(Split::train);
  fs::remove_all(folder.root / "test");
  CHECK(missing(folder.message(), {"neither test/ nor val/", "--test-share 0.2"}) == "");
  const auto read = [&](Split split, double share, std::uint64_t seed) {
    return read_image_folder(folder.root.path(), split, {share, seed});
  };
  const ImageDataset train = read(Split::train, 0.5, 3), test = read(Split::test, 0.5, 3);
  CHECK(train.count + test.count == whole.count);
  CHECK(test.count == (whole.count + 1) / 2);
  CHECK(test.split == Split::test);
  CHECK(test.class_names == whole.class_names);
  // Every image is in one of them.
  const std::int64_t pixels = whole.channels * whole.height * whole.width;
  const auto images = [&](const ImageDataset& set) {
    std::multiset<std::pair<std::int32_t, std::vector<std::uint8_t>>> all;
    for (std::int64_t i = 0; i < set.count; ++i)
      all.insert({set.labels[static_cast<std::size_t>(i)],
                  {set.images.begin() + i * pixels, set.images.begin() + (i + 1) * pixels}});
    return all;
  };
  auto both = images(train);
  both.merge(images(test));
  CHECK(both == images(whole));
  CHECK_THROWS_AS(read(Split::train, 0.01, 1), ConfigError);
  fs::create_directories(folder.root / "val");
  CHECK_THROWS_AS(read(Split::train, 0.5, 3), ConfigError);
}

TEST_CASE("image folder: what Windows and macOS leave behind is passed over, and val/ stands in for test/") {
  const Folder folder;
  const ImageDataset train = folder.read(Split::train), test = folder.read(Split::test);
  folder.put("train/Thumbs.db", "x");
  folder.put("train/a/desktop.ini", "x");
  folder.put("train/b/Thumbs.db", "x");
  folder.put("test/__MACOSX/a/0.ppm", "x");
  CHECK(folder.read(Split::train).images == train.images);
  CHECK(folder.read(Split::test).images == test.images);
  const std::vector<std::string> files = image_folder_files(folder.root.path());
  CHECK(std::none_of(files.begin(), files.end(), [](const std::string& file) {
    return file.find("Thumbs") != std::string::npos || file.find("MACOSX") != std::string::npos;
  }));
  fs::rename(folder.root / "test", folder.root / "val");
  CHECK(folder.read(Split::test).images == test.images);
  CHECK(image_folder_files(folder.root.path()).size() == files.size());
  // Where both are there, test/ is the test set.
  fs::create_directories(folder.root / "test");
  CHECK(missing(folder.message(), {"test' has no class folders"}) == "");
}

TEST_CASE("image folder: an image that is damaged or of another kind is named") {
  const Folder folder;
  const std::string good = pnm_bytes(picture(12, 12, 3));
  folder.put("train/b/1.ppm", good.substr(0, good.size() - 1));
  CHECK(missing(folder.message(), {"train/b/1.ppm", "431 follow"}) == "");
  folder.put("train/b/1.ppm", pnm_bytes(picture(12, 12, 1)));
  CHECK(missing(folder.message(), {"train/b/1.ppm' is 12 x 12, grey", "train/a/0.ppm' is 12 x 12, colour"}) ==
        "");
  folder.put("train/b/1.ppm", pnm_bytes(picture(12, 11, 3)));
  CHECK(missing(folder.message(), {"train/b/1.ppm' is 12 x 11", "one size"}) == "");
  folder.put("train/b/1.ppm", "");
  CHECK(missing(folder.message(), {"train/b/1.ppm"}) == "");
  fs::remove(folder.root / "train/b/1.ppm");
  fs::create_directories(folder.root / "train/b/1.ppm");
  CHECK(missing(folder.message<IoError>(), {"train/b/1.ppm", "a directory"}) == "");
  CHECK(folder.read(Split::test).count == 4);
}

TEST_CASE("image folder: four IDX files have the labels up to the largest") {
  const TempDirectory folder;
  test::TinySet().write(folder.path());
  write_bytes(folder / "t10k-images-idx3-ubyte", test::idx_bytes({1, 3, 4}, std::string(12, 'x')));
  write_bytes(folder / "t10k-labels-idx1-ubyte", test::idx_bytes({1}, "\4"));
  const ImageDataset train = read_image_folder(folder.path(), Split::train);
  CHECK(train.name == "folder");
  CHECK(train.count == 5);
  CHECK(train.classes() == 10);  // labels to 9
  CHECK(train.class_names[9] == "9");
  CHECK(read_image_folder(folder.path(), Split::test).labels == std::vector<std::int32_t>{4});
  write_bytes(folder / "t10k-labels-idx1-ubyte", test::idx_bytes({1}, "\12"));
  CHECK(missing(message_of<DataError>([&] { read_image_folder(folder.path(), Split::test); }),
                {"label 10", "not below 10", "t10k-labels"}) == "");
  CHECK(image_folder_files(folder.path()).size() == 4);
}

TEST_CASE("image folder: it is found where --data says, and needs --data") {
  const Folder folder;
  const std::string path = folder.root.path().string();
  CHECK(find_data_directory("folder", path) == folder.root.path());
  CHECK(data_option("folder", path) == path);
  CHECK(data_option("mnist", "/some/where/mnist") == "/some/where");
  CHECK(load_dataset("folder", path, Split::train).count == 4);
  CHECK(missing(message_of<ConfigError>([] { find_data_directory("folder", ""); }), {"--data DIR"}) == "");
  CHECK(missing(message_of<IoError>([&] { find_data_directory("folder", path + "/none"); }), {"/none'"}) ==
        "");
}

TEST_CASE("image folder: hundreds of damaged folders are read as valid or throw") {
  constexpr std::uint64_t kSeed = 41;
  std::mt19937_64 random(kSeed);
  const Folder folder;
  const std::string intact = pnm_bytes(picture(12, 12, 3));
  int valid = 0;
  for (int round = 0; round < 400; ++round) {
    INFO("seed " << kSeed << ", round " << round);
    const std::string name = std::string("train/") + (random() % 2 == 0 ? "a" : "b") + "/1.ppm";
    folder.put(name, test::mutate(intact, 24, random));
    try {
      const ImageDataset set = folder.read();
      REQUIRE(set.images.size() ==
              static_cast<std::size_t>(set.count * set.channels * set.height * set.width));
      ++valid;
    } catch (const Error& error) {
      REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
    }
    folder.put(name, intact);
  }
  CHECK(valid > 10);
  CHECK(valid < 300);
}

TEST_CASE("image folder: reading asks after each picture whether to stop") {
  const Folder folder(3);
  int asked = 0;
  CHECK_THROWS_AS(read_image_folder(folder.root.path(), Split::train, {}, [&] { return ++asked == 4; }),
                  Stopped);
  CHECK(asked == 4);
  CHECK_THROWS_AS(
      load_dataset("folder", folder.root.path(), Split::test, LabelKind::fine, [] { return true; }), Stopped);
}

}  // namespace
}  // namespace qmse
