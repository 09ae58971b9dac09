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
  ImageDataset (*read)(const std::filesystem::path& directory, Split split, LabelKind labels,
                       const Stop& stop);
  bool has_coarse_labels = false;
};

ImageDataset read_mnist(const std::filesystem::path& directory, Split split, LabelKind, const Stop&) {
  return read_idx_dataset(directory, split, "mnist", {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
}

// Class names: https://github.com/zalandoresearch/fashion-mnist, "Labels".
ImageDataset read_fashion_mnist(const std::filesystem::path& directory, Split split, LabelKind, const Stop&) {
  return read_idx_dataset(directory, split, "fashion-mnist",
                          {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt",
                           "Sneaker", "Bag", "Ankle boot"});
}

ImageDataset read_cifar10_fine(const std::filesystem::path& directory, Split split, LabelKind, const Stop&) {
  return read_cifar10(directory, split);
}

ImageDataset read_cifar100_either(const std::filesystem::path& directory, Split split, LabelKind labels,
                                  const Stop&) {
  return read_cifar100(directory, split, labels);
}

ImageDataset read_folder(const std::filesystem::path& directory, Split split, LabelKind, const Stop& stop) {
  return read_image_folder(directory, split, stop);
}

constexpr Row kRows[] = {
    {{"mnist", "MNIST", "mnist", "28 x 28, grey", "10", 60'000, 10'000}, read_mnist},
    {{"fashion-mnist", "Fashion-MNIST", "fashion-mnist", "28 x 28, grey", "10", 60'000, 10'000,
      "install Debian's package dataset-fashion-mnist"},
     read_fashion_mnist},
    {{"cifar10", "CIFAR-10", "cifar-10-batches-bin", "32 x 32, colour", "10", 50'000, 10'000, "",
      "cifar-10-batches-py", "cifar-10-binary.tar.gz"},
     read_cifar10_fine},
    {{"cifar100", "CIFAR-100", "cifar-100-binary", "32 x 32, colour", "100 (20 coarse)", 50'000, 10'000, "",
      "cifar-100-python", "cifar-100-binary.tar.gz"},
     read_cifar100_either,
     true},
    {{"folder", "", "", "any one size", "any", 0, 0}, read_folder},
};

// The folder of the Python version, where it lies in place of the binary one: in `folder`, or `folder`
// itself.
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
    if (explicit_directory.empty())
      throw ConfigError("--dataset folder needs --data DIR: the folder that holds train/ and test/");
    std::error_code none;
    if (std::filesystem::is_directory(explicit_directory, none)) return explicit_directory;
    throw IoError("there is no readable folder " + in_quotes(explicit_directory) + "; check --data");
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
  if (labels == LabelKind::coarse && !row_of(dataset).has_coarse_labels) {
    throw ConfigError("--labels coarse is for --dataset cifar100; " + std::string(dataset) +
                      " has one kind of labels");
  }
}

ImageDataset load_dataset(std::string_view name, const std::filesystem::path& directory, Split split,
                          LabelKind labels, const Stop& stop) {
  return row_of(name).read(directory, split, labels, stop);
}

}  // namespace qmse
