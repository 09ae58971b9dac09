#include "data/cifar.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <span>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/input_file.h"
#include "data/class_list.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPixels = 3 * 32 * 32;
constexpr std::uint64_t kMaxRecords = 1'000'000;
constexpr std::size_t kPiece = 256;  // records read in one go: they stay in the cache

// One of the two formats.
struct Format {
  const char* name;
  std::size_t label_bytes;
  std::size_t classes[2];  // of each label byte
  std::span<const char*const> train, test;

  std::size_t record() const { return label_bytes + kPixels; }
};

constexpr const char* kTrain10[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                    "data_batch_4.bin", "data_batch_5.bin"};
constexpr const char* kTest10[] = {"test_batch.bin"};
constexpr const char* kTrain100[] = {"train.bin"};
constexpr const char* kTest100[] = {"test.bin"};
constexpr Format kCifar10{"cifar10", 1, {10, 0}, kTrain10, kTest10};
constexpr Format kCifar100{"cifar100", 2, {20, 100}, kTrain100, kTest100};

[[noreturn]] void fail(const fs::path& path, const Format& format, const std::string& cause) {
  throw DataError(in_quotes(path) + " is no valid file of " + format.name + ": " + cause +
                  "; replace the file by an undamaged copy");
}

// Without the files that are read, those of the Python version are what somebody put there in their place.
void refuse_python_version(const fs::path& directory, const Format& format) {
  std::error_code ignored;
  if (fs::exists(directory / format.train.front(), ignored)) return;
  for (const char* python : {"batches.meta", "meta", "data_batch_1", "train"}) {
    if (!fs::exists(directory / python, ignored)) continue;
    throw DataError(in_quotes(directory / python) + " is a file of the Python version of " + format.name +
                    ", which is not read; take the binary version, cifar-" +
                    (format.label_bytes == 1 ? "10" : "100") + "-binary.tar.gz");
  }
}

// A file of another data set in the folder means that one was unpacked over the other.
void check_files(const fs::path& directory, const Format& format) {
  std::error_code error;
  std::vector<fs::path> strangers;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path file = entry->path().filename();
    if (file.extension() != ".bin") continue;
    const auto is_file = [&](const char* name) { return file == name; };
    if (std::any_of(format.train.begin(), format.train.end(), is_file)) continue;
    if (std::any_of(format.test.begin(), format.test.end(), is_file)) continue;
    strangers.push_back(entry->path());
  }
  if (error) throw IoError("cannot list " + in_quotes(directory) + ": " + error.message());
  if (strangers.empty()) return;
  throw DataError(in_quotes(*std::min_element(strangers.begin(), strangers.end())) + " is no file of " +
                  format.name + ": the folder mixes data sets; leave only the files of " + format.name +
                  " there");
}

std::vector<std::string> read_names(const fs::path& path, const Format& format, std::size_t classes) {
  std::vector<std::string> names = read_class_list(path);
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (std::find(names.begin(), name, *name) != name)
      fail(path, format, "it lists the class " + in_quotes(*name) + " twice");
  }
  if (names.size() != classes) {
    fail(path, format,
         "it lists " + std::to_string(names.size()) + " class names where there are " +
             std::to_string(classes) + " classes");
  }
  return names;
}

std::uint64_t record_count(const InputFile& file, const Format& format) {
  const std::uint64_t records = file.size() / format.record();
  if (file.size() % format.record() != 0 || records == 0) {
    const Format& other = &format == &kCifar10 ? kCifar100 : kCifar10;
    const bool mixed_up = file.size() > 0 && file.size() % other.record() == 0;
    fail(file.path(), format,
         "its " + std::to_string(file.size()) + " bytes are no whole number of records of " +
             std::to_string(format.record()) + " bytes" +
             (mixed_up ? ", but of those of " + std::string(other.name) + ": the files are mixed up"
                       : ", so it is cut short or another kind of file"));
  }
  if (records > kMaxRecords) fail(file.path(), format, "it has more than a million records");
  return records;
}

// Appends the images and, of each record, label byte `which`.
void append(const InputFile& file, const Format& format, std::uint64_t records, std::size_t which,
            ImageDataset& set) {
  std::vector<std::uint8_t> piece(kPiece * format.record());
  for (std::uint64_t first = 0; first < records; first += kPiece) {
    const std::size_t count = std::min<std::uint64_t>(kPiece, records - first);
    file.read(first * format.record(), piece.data(), count * format.record());
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t* record = piece.data() + i * format.record();
      for (std::size_t b = 0; b < format.label_bytes; ++b) {
        if (record[b] < format.classes[b]) continue;
        fail(file.path(), format,
             "label " + std::to_string(record[b]) + " of record " + std::to_string(first + i) +
                 " is not below " + std::to_string(format.classes[b]) + ", the number of classes");
      }
      set.labels.push_back(record[which]);
      set.images.insert(set.images.end(), record + format.label_bytes, record + format.record());
    }
  }
}

ImageDataset read(const fs::path& directory, const Format& format, Split split, std::size_t which,
                  const char* names) {
  refuse_python_version(directory, format);
  check_files(directory, format);
  ImageDataset set;
  set.name = format.name;
  set.split = split;
  set.channels = 3;
  set.height = set.width = 32;
  set.class_names = read_names(directory / names, format, format.classes[which]);
  const std::span<const char* const> files = split == Split::train ? format.train : format.test;
  const InputFile head(directory / files.front());
  const std::uint64_t records = record_count(head, format);
  try {
    set.images.reserve(records * files.size() * kPixels);
    set.labels.reserve(records * files.size());
    for (const char* name : files) {
      const InputFile file(directory / name);
      const std::uint64_t here = record_count(file, format);
      if (here != records) {
        fail(file.path(), format,
             "it has " + std::to_string(here) + " records where " + in_quotes(head.path()) + " has " +
                 std::to_string(records));
      }
      append(file, format, records, which, set);
    }
  } catch (const std::bad_alloc&) {
    throw OutOfMemory("no memory for the images of " + in_quotes(directory));
  }
  set.count = static_cast<std::int64_t>(set.labels.size());
  return set;
}

}  // namespace

ImageDataset read_cifar10(const fs::path& directory, Split split) {
  return read(directory, kCifar10, split, 0, "batches.meta.txt");
}

ImageDataset read_cifar100(const fs::path& directory, Split split, LabelKind labels) {
  return labels == LabelKind::coarse ? read(directory, kCifar100, split, 0, "coarse_label_names.txt")
                                     : read(directory, kCifar100, split, 1, "fine_label_names.txt");
}

}  // namespace qmse
