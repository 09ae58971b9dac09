// The data sets known by name, and where their files are looked for. A new one is a reader in a file of its
// own and a row in registry.cpp.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/image_dataset.h"
#include "data/known_content.h"
#include "data/table.h"

namespace qmse {

// What a reader is told beside the files: which labels, and of a table which columns.
struct DatasetOptions {
  LabelKind labels = LabelKind::fine;
  TableOptions table = {};
  TestSplit test = {};  // of one's own

  DatasetOptions() = default;
  DatasetOptions(LabelKind kind) : labels(kind) {}  // NOLINT: for the many that have no table
};

// A data set known by name, or "folder" and "table", one's own: all that list, verify, fetch, help and errors say of it.
struct DatasetInfo {
  const char* name;
  const char* label;   // "Fashion-MNIST", for people; "": none
  const char* folder;  // its name under each place; "" for one's own, which is where --data says
  const char* images;  // their size, for people
  const char* classes;
  std::int64_t train = 0, test = 0;  // how many
  bool coarse_labels = false;        // it has LabelKind::coarse too
  KnownSet known = {};               // the official files
  const char* mirror = "";           // where they can be had: names of files are added to it
  const char* archive = "";          // the tar.gz there that holds `folder`; "": each file, with .gz
  const char* other_source = "";     // how a person gets the files, besides `qmse data fetch`
  const char* python_folder = "";    // of the Python version, pickled, which is not read here
  bool table = false;                // one's own: a file of numbers, and no folder of images

  bool is_own() const { return *folder == '\0'; }
};

// ConfigError for an unknown name.
const DatasetInfo& dataset_info(std::string_view name);

// The names load_dataset() takes: "mnist", "fashion-mnist", "cifar10", "cifar100", "folder", "table".
std::vector<std::string> dataset_names();

// Where data sets are looked for. Each folder holds one folder per data set, for example <folder>/mnist.
struct DataPlaces {
  std::string variable;                        // QMSE_DATA; empty: not given
  std::string cache;                           // $XDG_CACHE_HOME/qmse or ~/.cache/qmse; empty: no home
  std::string system = "/usr/share/datasets";  // Debian's packages
};
// Reads the environment variables QMSE_DATA, XDG_CACHE_HOME and HOME: the only place of the library's data
// code that does.
DataPlaces data_places_from_environment();

// The folder with the files of data set `name`: under `explicit_directory` (the option --data) if that is not
// empty, else under `places.variable` if that is not empty, and only where neither is given under
// `places.cache`, then `places.system`. Of one's own it is `explicit_directory` itself, of "table" a
// file. ConfigError for an unknown name and for one's own without one; IoError where there is no such folder,
// with the places looked at.
std::filesystem::path find_data_directory(std::string_view name, const std::string& explicit_directory,
                                          const DataPlaces& places = data_places_from_environment());

// What --data has to be for find_data_directory() to find `directory`.
std::string data_option(std::string_view name, const std::filesystem::path& directory);

// ConfigError for coarse labels of a data set without them.
void check_label_kind(LabelKind labels, std::string_view dataset);

// Reads one split of data set `name` from `directory`, as found by find_data_directory(). ConfigError for an
// unknown name, IoError and DataError as the reader finds them. What may take long, a folder of pictures,
// asks `stop` after each: Stopped.
ImageDataset load_dataset(std::string_view name, const std::filesystem::path& directory, Split split,
                          const DatasetOptions& options = {}, const std::function<bool()>& stop = {});

}  // namespace qmse
