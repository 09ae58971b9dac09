#include "data/image_folder.h"

#include <algorithm>
#include <map>
#include <new>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/name_text.h"
#include "base/stopped.h"
#include "data/idx.h"
#include "data/image_file.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxBytes = std::uint64_t{4} << 30;  // of pixels
constexpr const char* kIdxStems[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                     "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

// Left behind by Windows and macOS.
bool is_litter(const std::string& name) {
  return name.starts_with('.') || name == "Thumbs.db" || name == "desktop.ini" || name == "__MACOSX";
}

// The entries of a folder but those that are no images of anybody, sorted by the bytes of their names.
std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> all;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (!is_litter(entry->path().filename().native())) all.push_back(entry->path());
  }
  if (error) throw IoError("cannot list " + in_quotes(folder) + ": " + error.message() + "; check the path");
  std::sort(all.begin(), all.end(),
            [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return all;
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

bool is_picture(const fs::path& path) {
  const std::string extension = lower(path.extension().string());
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".ppm" ||
         extension == ".pgm";
}

bool holds_idx_files(const fs::path& directory) {
  std::error_code ignored;
  return std::any_of(std::begin(kIdxStems), std::end(kIdxStems),
                     [&](const char* stem) { return fs::exists(find_idx_file(directory, stem), ignored); });
}

// One class: its folder and its pictures.
struct Class {
  std::string name;
  std::vector<fs::path> files;
};

std::vector<Class> find_classes(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw IoError(
        "there is no folder " + in_quotes(folder) +
        "; a data set of one's own has train/ and test/ with a folder for each class, or four IDX files");
  }
  std::vector<Class> classes;
  std::map<std::string, std::string> seen;  // in lower case
  for (const fs::path& entry : entries(folder)) {
    if (!fs::is_directory(entry, ignored)) {
      throw DataError(in_quotes(entry) + " lies beside the class folders; move it into one of them or away");
    }
    const std::string name = entry.filename().string();
    const auto [other, is_new] = seen.emplace(lower(name), name);
    if (!is_new) {
      throw DataError("the class names " + in_quotes(other->second) + " and " + in_quotes(name) + " in " +
                      in_quotes(folder) + " differ in case only; rename one or put them together");
    }
    Class found{escape_name(name), entries(entry)};
    for (const fs::path& file : found.files) {
      if (is_picture(file)) continue;
      throw DataError(in_quotes(file) + " is no PNG, JPEG, PPM or PGM file; convert it or move it away");
    }
    if (found.files.empty()) {
      throw DataError("the class folder " + in_quotes(entry) +
                      " is empty; add images to it or remove the class");
    }
    classes.push_back(std::move(found));
  }
  if (classes.empty()) throw DataError(in_quotes(folder) + " has no class folders; make one for each class");
  return classes;
}

// The folder of the test set: val/ where there is no test/; null where there is neither.
const char* test_folder(const fs::path& directory) {
  std::error_code ignored;
  for (const char* name : {"test", "val"}) {
    if (fs::exists(directory / name, ignored)) return name;
  }
  return nullptr;
}

// Both splits must know the same classes, whichever is asked for.
void check_agreement(const fs::path& directory, const std::vector<Class>& train,
                     const std::vector<Class>& test) {
  const auto check = [&](const std::vector<Class>& some, const std::vector<Class>& others,
                         const char* lacking) {
    for (const Class& each : some) {
      if (std::any_of(others.begin(), others.end(), [&](const Class& o) { return o.name == each.name; }))
        continue;
      throw DataError(in_quotes(directory / lacking) + " has no folder for the class " +
                      in_quotes(each.name) + "; both must have the same classes");
    }
  };
  check(train, test, test_folder(directory));
  check(test, train, "train");
}

void append(const Picture& picture, ImageDataset& set) {
  const auto channels = static_cast<std::size_t>(picture.channels);
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t i = c; i < picture.pixels.size(); i += channels) set.images.push_back(picture.pixels[i]);
  }
}

std::string size_text(std::int64_t width, std::int64_t height, std::int64_t channels) {
  return std::to_string(width) + " x " + std::to_string(height) + (channels == 1 ? ", grey" : ", colour");
}

// All pictures of one split's classes.
ImageDataset read_pictures(const fs::path& directory, Split split, const std::vector<Class>& classes,
                           const std::function<bool()>& stop) {
  ImageDataset set;
  set.name = "folder";
  set.split = split;
  std::size_t most = 0, total = 0;
  for (const Class& each : classes) {
    set.class_names.push_back(each.name);
    most = std::max(most, each.files.size());
    total += each.files.size();
  }
  fs::path first;
  for (std::size_t i = 0; i < most; ++i) {
    for (std::size_t label = 0; label < classes.size(); ++label) {
      if (i >= classes[label].files.size()) continue;
      const fs::path& file = classes[label].files[i];
      const Picture picture = read_picture(file);
      if (stop && stop()) throw Stopped("stopped while " + in_quotes(file) + " was being read");
      if (set.count == 0) {
        first = file;
        set.channels = picture.channels;
        set.height = picture.height;
        set.width = picture.width;
        if (picture.pixels.size() > kMaxBytes / total) {
          throw DataError("the " + std::to_string(total) + " images of " + in_quotes(directory) +
                          " are more than 4 GiB; make them smaller");
        }
        set.images.reserve(picture.pixels.size() * total);
      }
      if (picture.channels != set.channels || picture.height != set.height || picture.width != set.width) {
        throw DataError(in_quotes(file) + " is " +
                        size_text(picture.width, picture.height, picture.channels) + ", but " +
                        in_quotes(first) + " is " + size_text(set.width, set.height, set.channels) +
                        "; give all images one size and one number of channels");
      }
      append(picture, set);
      set.labels.push_back(static_cast<std::int32_t>(label));
      ++set.count;
    }
  }
  return set;
}

ImageDataset read_classes(const fs::path& directory, Split split, const TestSplit& test,
                          const std::function<bool()>& stop) {
  const std::vector<Class> train = find_classes(directory / "train");
  const char* const test_name = test_folder(directory);
  if (test.share > 0) {
    if (test_name != nullptr)
      throw ConfigError("--test-share: " + in_quotes(directory / test_name) +
                        " is a test set; leave one out");
    return part(read_pictures(directory, Split::train, train, stop), split, test, in_quotes(directory));
  }
  if (test_name == nullptr)
    throw DataError(
        in_quotes(directory) +
        " has neither test/ nor val/; make one, or keep a share of train/ apart: --test-share 0.2");
  const std::vector<Class> tested = find_classes(directory / test_name);
  check_agreement(directory, train, tested);
  return read_pictures(directory, split, split == Split::train ? train : tested, stop);
}

ImageDataset read_idx(const fs::path& directory, Split split, const TestSplit& test) {
  if (test.share > 0)
    throw ConfigError("--test-share: the IDX files in " + in_quotes(directory) +
                      " have a test set; leave it out");
  IdxFile labels(find_idx_file(directory, kIdxStems[1]), 1);
  const std::vector<std::uint8_t> bytes = labels.read();
  const int largest = *std::max_element(bytes.begin(), bytes.end());
  std::vector<std::string> names;
  for (int label = 0; label <= largest; ++label) names.push_back(std::to_string(label));
  return read_idx_dataset(directory, split, "folder", names);
}

}  // namespace

ImageDataset read_image_folder(const fs::path& directory, Split split, const TestSplit& test,
                               const std::function<bool()>& stop) {
  try {
    return holds_idx_files(directory) ? read_idx(directory, split, test)
                                      : read_classes(directory, split, test, stop);
  } catch (const std::bad_alloc&) {
    throw OutOfMemory("no memory for the images of " + in_quotes(directory));
  }
}

std::vector<std::string> image_folder_files(const fs::path& directory) {
  std::vector<std::string> files;
  if (holds_idx_files(directory)) {
    for (const char* stem : kIdxStems) files.push_back(find_idx_file(directory, stem).filename().string());
  } else {
    for (const char* split : {"train", test_folder(directory)}) {
      if (split == nullptr) continue;
      for (const Class& each : find_classes(directory / split)) {
        for (const fs::path& file : each.files) files.push_back(file.lexically_relative(directory).string());
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace qmse
