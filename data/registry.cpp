#include "data/registry.h"

#include <cstdlib>

#include "data/cifar.h"
#include "data/idx.h"
#include "engine/in_quotes.h"
#include "kernels/core/error.h"

namespace qmse {
namespace {

struct Row {
  const char* name;
  const char* folder;  // its name under each place
  const char* source;  // how a person gets the files
  ImageDataset (*read)(const std::filesystem::path& directory, Split split, LabelKind labels);
  bool has_coarse_labels = false;
};

ImageDataset read_mnist(const std::filesystem::path& directory, Split split, LabelKind) {
  return read_idx_dataset(directory, split, "mnist", {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
}

// Class names: https://github.com/zalandoresearch/fashion-mnist, "Labels".
ImageDataset read_fashion_mnist(const std::filesystem::path& directory, Split split, LabelKind) {
  return read_idx_dataset(directory, split, "fashion-mnist",
                          {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt",
                           "Sneaker", "Bag", "Ankle boot"});
}

ImageDataset read_cifar10_fine(const std::filesystem::path& directory, Split split, LabelKind) {
  return read_cifar10(directory, split);
}

constexpr Row kRows[] = {
    {"mnist", "mnist", "put its four IDX files there", read_mnist},
    {"fashion-mnist", "fashion-mnist",
     "install Debian's package dataset-fashion-mnist or put its four IDX files there", read_fashion_mnist},
    {"cifar10", "cifar-10-batches-bin", "unpack cifar-10-binary.tar.gz there", read_cifar10_fine},
    {"cifar100", "cifar-100-binary", "unpack cifar-100-binary.tar.gz there", read_cifar100, true},
};

const Row& row_of(std::string_view name) {
  std::string known;
  for (const Row& row : kRows) {
    if (name == row.name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw ConfigError("unknown data set " + in_quotes(name) + "; known: " + known);
}

}  // namespace

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.emplace_back(row.name);
  return names;
}

DataPlaces data_places_from_environment() {
  DataPlaces places;
  if (const char* data = std::getenv("QMSE_DATA")) places.variable = data;
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0')
    places.cache = (std::filesystem::path(home) / ".cache" / "qmse").string();
  return places;
}

std::filesystem::path find_data_directory(std::string_view name, const std::string& explicit_directory,
                                          const DataPlaces& places) {
  const Row& row = row_of(name);
  std::vector<std::filesystem::path> folders;
  std::string advice;
  if (!explicit_directory.empty()) {
    folders = {explicit_directory};
    advice = "--data must name the folder that holds " + in_quotes(row.folder);
  } else if (!places.variable.empty()) {
    folders = {places.variable};
    advice = "QMSE_DATA must name the folder that holds " + in_quotes(row.folder);
  } else {
    for (const std::string& place : {places.cache, places.system}) {
      if (!place.empty()) folders.emplace_back(place);
    }
    advice = std::string(row.source) + ", or name the folder that holds " + in_quotes(row.folder) +
             " with --data or QMSE_DATA";
  }
  std::string looked;
  for (const std::filesystem::path& folder : folders) {
    std::filesystem::path candidate = folder / row.folder;
    std::error_code ignored;
    if (std::filesystem::is_directory(candidate, ignored)) return candidate;
    looked += (looked.empty() ? "" : ", ") + in_quotes(candidate);
  }
  throw IoError("data set " + std::string(row.name) + " not found: there is no readable folder " + looked +
                "; " + advice);
}

LabelKind parse_label_kind(std::string_view text, std::string_view dataset) {
  if (text == "fine") return LabelKind::fine;
  if (text != "coarse") throw ConfigError("unknown labels " + in_quotes(text) + "; known: fine, coarse");
  if (!row_of(dataset).has_coarse_labels) {
    throw ConfigError("--labels coarse is for --dataset cifar100; " + std::string(dataset) +
                      " has one kind of labels");
  }
  return LabelKind::coarse;
}

ImageDataset load_dataset(std::string_view name, const std::filesystem::path& directory, Split split,
                          LabelKind labels) {
  return row_of(name).read(directory, split, labels);
}

}  // namespace qmse
