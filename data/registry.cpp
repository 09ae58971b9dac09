#include "data/registry.h"

#include <cstdlib>
#include <functional>

#include "base/error.h"
#include "base/in_quotes.h"
#include "data/cifar.h"
#include "data/idx.h"
#include "data/image_folder.h"

namespace qmse {
namespace {

using Stop = std::function<bool()>;

struct Row {
  DatasetInfo info;
  ImageDataset (*read)(const std::filesystem::path& directory, Split split, const DatasetOptions& options,
                       const Stop& stop);
};

ImageDataset read_mnist(const std::filesystem::path& directory, Split split, const DatasetOptions&,
                        const Stop&) {
  return read_idx_dataset(directory, split, "mnist", {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
}

// Class names: https://github.com/zalandoresearch/fashion-mnist, "Labels".
ImageDataset read_fashion_mnist(const std::filesystem::path& directory, Split split, const DatasetOptions&,
                                const Stop&) {
  return read_idx_dataset(directory, split, "fashion-mnist",
                          {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt",
                           "Sneaker", "Bag", "Ankle boot"});
}

ImageDataset read_cifar10_fine(const std::filesystem::path& directory, Split split, const DatasetOptions&,
                               const Stop&) {
  return read_cifar10(directory, split);
}

ImageDataset read_cifar100_either(const std::filesystem::path& directory, Split split,
                                  const DatasetOptions& options, const Stop&) {
  return read_cifar100(directory, split, options.labels);
}

ImageDataset read_folder(const std::filesystem::path& directory, Split split, const DatasetOptions& options,
                         const Stop& stop) {
  return read_image_folder(directory, split, options.test, stop);
}

ImageDataset read_own_table(const std::filesystem::path& file, Split split, const DatasetOptions& options,
                            const Stop&) {
  return read_table(file, split, options.table, options.test);
}

// The SHA-256 of MNIST's files are of content with the published MD5s (6bbc9ace898e44ae57da46a324031adb for
// the training images), those of Fashion-MNIST of what Debian's dataset-fashion-mnist installs, those of
// CIFAR-10 and CIFAR-100 are the ones that the Ruby library torchvision-ruby checks its downloads by.
constexpr KnownFile kMnist[] = {
    {"train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 47040016},
    {"train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60008},
    {"t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7840016},
    {"t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10008},
};
constexpr KnownFile kFashionMnist[] = {
    {"train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", 47040016},
    {"train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", 60008},
    {"t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 7840016},
    {"t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 10008},
};
constexpr KnownFile kCifar10[] = {
    {"data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5", 30730000},
    {"data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed", 30730000},
    {"data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67", 30730000},
    {"data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48", 30730000},
    {"data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add", 30730000},
    {"test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b", 30730000},
};
constexpr KnownFile kCifar100[] = {
    {"train.bin", "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29", 153700000},
    {"test.bin", "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a", 30740000},
};
constexpr KnownNames kCifar10Names[] = {
    {"batches.meta.txt", "2ce042b1e0b48db4bb214408e6414ba18b2731c24af244f2d6c112fddf31af00"}};
constexpr KnownNames kCifar100Names[] = {
    {"fine_label_names.txt", "4a53f81a8af29bb6aa646bfe2c455db1b061edfde82a39c0cfc313ef536c681b"},
    {"coarse_label_names.txt", "14e28b5b70e3d8a29704b0d9f8c5985cca5f3c3d08ea043dcc87a036df37a2b3"}};

constexpr Row kRows[] = {
    {{.name = "mnist",
      .label = "MNIST",
      .folder = "mnist",
      .images = "28 x 28, grey",
      .classes = "10",
      .train = 60'000,
      .test = 10'000,
      .known = {kMnist},
      .mirror = "https://ossci-datasets.s3.amazonaws.com/mnist/"},
     read_mnist},
    {{.name = "fashion-mnist",
      .label = "Fashion-MNIST",
      .folder = "fashion-mnist",
      .images = "28 x 28, grey",
      .classes = "10",
      .train = 60'000,
      .test = 10'000,
      .known = {kFashionMnist},
      .mirror = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
      .other_source = "install Debian's package dataset-fashion-mnist"},
     read_fashion_mnist},
    {{.name = "cifar10",
      .label = "CIFAR-10",
      .folder = "cifar-10-batches-bin",
      .images = "32 x 32, colour",
      .classes = "10",
      .train = 50'000,
      .test = 10'000,
      .known = {kCifar10,
                kCifar10Names,
                {"71a1360ea1a64f9847d83f5a83debe664e28f9d9491203b83ff6a189dcc21865",
                 "103 of its images went through JPEG, all else is official"}},
      .mirror = "https://www.cs.toronto.edu/~kriz/",
      .archive = "cifar-10-binary.tar.gz",
      .python_folder = "cifar-10-batches-py"},
     read_cifar10_fine},
    {{.name = "cifar100",
      .label = "CIFAR-100",
      .folder = "cifar-100-binary",
      .images = "32 x 32, colour",
      .classes = "100 (20 coarse)",
      .train = 50'000,
      .test = 10'000,
      .coarse_labels = true,
      .known = {kCifar100, kCifar100Names},
      .mirror = "https://www.cs.toronto.edu/~kriz/",
      .archive = "cifar-100-binary.tar.gz",
      .python_folder = "cifar-100-python"},
     read_cifar100_either},
    {{.name = "folder", .label = "", .folder = "", .images = "any one size", .classes = "any"}, read_folder},
    {{.name = "table", .label = "", .folder = "", .images = "columns", .classes = "targets", .table = true},
     read_own_table},
};

// The folder of the Python version, where it lies in place of the
// binary one: in `folder`, or `folder` itself.
std::string python_version(const DatasetInfo& info, const std::filesystem::path& folder) {
  if (*info.python_folder == '\0') return "";
  const std::filesystem::path plain = folder.has_filename() ? folder : folder.parent_path();
  for (const std::filesystem::path& place : {folder / info.python_folder, plain}) {
    std::error_code ignored;
    if (place.filename() == info.python_folder && std::filesystem::is_directory(place, ignored))
      return "; " + in_quotes(place) + " is the Python version, which is not read: unpack " + info.archive +
             " there";
  }
  return "";
}

const Row& row_of(std::string_view name) {
  std::string known;
  for (const Row& row : kRows) {
    if (name == row.info.name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.info.name);
  }
  throw ConfigError("unknown data set " + in_quotes(name) + "; known: " + known);
}

}  // namespace

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.emplace_back(row.info.name);
  return names;
}

const DatasetInfo& dataset_info(std::string_view name) { return row_of(name).info; }

DataPlaces data_places_from_environment() {
  DataPlaces places;
  if (const char* data = std::getenv("QMSE_DATA")) places.variable = data;
  // The XDG base directory specification: a relative path there is to be ignored.
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && std::filesystem::path(cache).is_absolute()) {
    places.cache = (std::filesystem::path(cache) / "qmse").string();
  } else if (home != nullptr && *home != '\0') {
    places.cache = (std::filesystem::path(home) / ".cache" / "qmse").string();
  }
  return places;
}

std::filesystem::path find_data_directory(std::string_view name, const std::string& explicit_directory,
                                          const DataPlaces& places) {
  const DatasetInfo& info = row_of(name).info;
  if (info.is_own()) {
    if (explicit_directory.empty()) {
      throw ConfigError(
          "--dataset " + std::string(info.name) + " needs --data " +
          (info.table ? "FILE: the table, .csv or .npy" : "DIR: the folder that holds train/ and test/"));
    }
    std::error_code none;
    const bool there = info.table ? std::filesystem::is_regular_file(explicit_directory, none)
                                  : std::filesystem::is_directory(explicit_directory, none);
    if (there) return explicit_directory;
    throw IoError(std::string("there is no readable ") + (info.table ? "file " : "folder ") +
                  in_quotes(explicit_directory) + "; check --data");
  }
  std::vector<std::filesystem::path> folders;
  std::string advice;
  if (!explicit_directory.empty()) {
    folders = {explicit_directory};
    advice = "--data must name the folder that holds " + in_quotes(info.folder);
  } else if (!places.variable.empty()) {
    folders = {places.variable};
    advice = "QMSE_DATA must name the folder that holds " + in_quotes(info.folder);
  } else {
    for (const std::string& place : {places.cache, places.system}) {
      if (!place.empty()) folders.emplace_back(place);
    }
    advice = "qmse data fetch " + std::string(info.name) + " gets it" +
             (*info.other_source == '\0' ? "" : ", or " + std::string(info.other_source)) +
             ", or name the folder that holds " + in_quotes(info.folder) + " with --data or QMSE_DATA";
  }
  std::string looked, python;
  for (const std::filesystem::path& folder : folders) {
    std::filesystem::path candidate = folder / info.folder;
    std::error_code ignored;
    if (std::filesystem::is_directory(candidate, ignored)) return candidate;
    looked += (looked.empty() ? "" : ", ") + in_quotes(candidate);
    if (python.empty()) python = python_version(info, folder);
  }
  throw IoError("data set " + std::string(info.name) + " not found: there is no readable folder " + looked +
                python + "; " + advice);
}

std::string data_option(std::string_view name, const std::filesystem::path& directory) {
  return (row_of(name).info.is_own() ? directory : directory.parent_path()).string();
}

void check_label_kind(LabelKind labels, std::string_view dataset) {
  if (labels != LabelKind::coarse || row_of(dataset).info.coarse_labels) return;
  std::string those;
  for (const Row& row : kRows) {
    if (row.info.coarse_labels) those += (those.empty() ? "" : " or ") + std::string(row.info.name);
  }
  throw ConfigError("--labels coarse is for --dataset " + those + "; " + std::string(dataset) +
                    " has one kind of labels");
}

ImageDataset load_dataset(std::string_view name, const std::filesystem::path& directory, Split split,
                          const DatasetOptions& options, const Stop& stop) {
  return row_of(name).read(directory, split, options, stop);
}

}  // namespace qmse
