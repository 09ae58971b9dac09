#include "data/idx.h"

#include <algorithm>
#include <array>
#include <new>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/words.h"

namespace qmse {
namespace {

constexpr std::uint64_t kMaxElements = std::uint64_t{4} << 30;
constexpr std::size_t kFirstPiece = std::size_t{1} << 20;  // bytes
constexpr unsigned char kUnsignedByte = 0x08;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& cause) {
  throw DataError(in_quotes(path) + " is no valid IDX file: " + cause + "; replace it by an undamaged copy");
}

// A file that may be whole, but is of a kind that is not read here.
[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& cause,
                         const std::string& advice) {
  throw DataError(in_quotes(path) + " is no IDX file of the kind that is needed: " + cause + "; " + advice);
}

std::string text_of(const std::vector<std::int64_t>& shape) {
  return join(shape, " x ", [](std::int64_t size) { return std::to_string(size); });
}

// Names in `directory` that begin as `stem` does up to "-idx": other spellings, other formats.
std::string similar_files(const std::filesystem::path& directory, const std::string& stem) {
  const std::string beginning = stem.substr(0, stem.find("-idx"));
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.find(beginning) != std::string::npos) names.push_back(name);
  }
  return names.empty() ? "" : in_quotes(*std::min_element(names.begin(), names.end()));
}

std::filesystem::path require_file(const std::filesystem::path& directory, const std::string& stem) {
  const std::filesystem::path path = find_idx_file(directory, stem);
  std::error_code ignored;
  if (std::filesystem::status(path, ignored).type() != std::filesystem::file_type::not_found) return path;
  const std::string similar = similar_files(directory, stem);
  throw IoError("cannot find " + in_quotes(directory / stem) + " or the same with .gz" +
                (similar.empty() ? "; put the file there"
                                 : ", but " + similar + "; give it that name if it holds the same"));
}

// Of an element type of the format; https://yann.lecun.com/exdb/mnist/, "The IDX file format".
std::string type_name(unsigned char type) {
  switch (type) {
    case 0x09:
      return "signed bytes";
    case 0x0b:
      return "16-bit integers";
    case 0x0c:
      return "32-bit integers";
    case 0x0d:
      return "32-bit floats";
    case 0x0e:
      return "64-bit floats";
    default:
      return "of the unknown type " + std::to_string(type);
  }
}

bool starts_at_one(const std::vector<std::uint8_t>& labels) {
  return *std::min_element(labels.begin(), labels.end()) == 1;
}

}  // namespace

std::filesystem::path find_idx_file(const std::filesystem::path& directory, const std::string& stem) {
  std::string dotted = stem;
  if (const std::size_t dash = stem.find("-idx"); dash != std::string::npos) dotted[dash] = '.';
  for (const std::string& name : {stem, stem + ".gz", dotted, dotted + ".gz"}) {
    std::error_code ignored;
    const bool missing =
        std::filesystem::status(directory / name, ignored).type() == std::filesystem::file_type::not_found;
    if (!missing) return directory / name;  // what else may be wrong with it, opening it will say
  }
  return directory / stem;
}

std::uint64_t announced_idx_bytes(std::span<const unsigned char> beginning) {
  if (beginning.size() < 4 || beginning[0] != 0 || beginning[1] != 0 || beginning[2] != kUnsignedByte)
    return 0;
  const std::size_t header = 4 + std::size_t{4} * beginning[3];
  if (beginning.size() < header) return 0;
  std::uint64_t elements = 1;
  for (std::size_t at = 4; at < header; at += 4) {
    const std::uint64_t size = std::uint64_t{beginning[at]} << 24 | std::uint64_t{beginning[at + 1]} << 16 |
                               std::uint64_t{beginning[at + 2]} << 8 | beginning[at + 3];
    elements = std::min(elements * size, kMaxElements);
  }
  return header + elements;
}

IdxFile::IdxFile(const std::filesystem::path& path, int dimensions) : file_(path) {
  std::array<unsigned char, 2> start{};
  file_.read(0, start.data(), std::min<std::uint64_t>(start.size(), file_.size()));
  if (start[0] == 0x1f && start[1] == 0x8b) gzip_ = std::make_unique<GzipReader>(file_);
  read_header(dimensions);
}

void IdxFile::read_exactly(void* destination, std::size_t bytes) {
  if (gzip_) {
    if (gzip_->read(destination, bytes) < bytes) fail(path(), "it ends before its elements do");
    return;
  }
  if (bytes > file_.size() - position_) fail(path(), "it ends before its header does");
  file_.read(position_, destination, bytes);
  position_ += bytes;
}

void IdxFile::read_header(int dimensions) {
  std::array<unsigned char, 4> magic{};
  read_exactly(magic.data(), magic.size());
  if (magic[0] != 0 || magic[1] != 0) fail(path(), "its first two bytes are not zero");
  const bool one_column = dimensions == 1 && magic[3] == 2;
  if (magic[2] != kUnsignedByte || magic[3] != dimensions) {
    const std::string cause = "its elements are " +
                              (magic[2] == kUnsignedByte ? "unsigned bytes" : type_name(magic[2])) + " in " +
                              std::to_string(magic[3]) + (magic[3] == 1 ? " dimension" : " dimensions") +
                              ", not unsigned bytes in " + std::to_string(dimensions);
    refuse(path(), cause,
           one_column        ? "labels in two dimensions, as QMNIST has them: write their first column, the "
                               "classes, as unsigned bytes"
           : dimensions == 1 ? "labels are written as unsigned bytes in one dimension"
                             : "images are written as unsigned bytes, [count, height, width]");
  }
  bytes_ = 1;
  for (int d = 0; d < dimensions; ++d) {
    std::array<unsigned char, 4> size{};
    read_exactly(size.data(), size.size());
    shape_.push_back(std::int64_t{size[0]} << 24 | size[1] << 16 | size[2] << 8 | size[3]);
    if (shape_.back() == 0) fail(path(), "dimension " + std::to_string(d) + " is 0");
    // (2^32 + 1) (2^32 - 1) < 2^64: the product cannot overflow.
    bytes_ = std::min(bytes_ * static_cast<std::uint64_t>(shape_.back()), kMaxElements + 1);
  }
  if (bytes_ > kMaxElements)
    fail(path(), "its header announces " + text_of(shape_) + " elements, more than 4 GiB");
  if (!gzip_ && bytes_ != file_.size() - position_) {
    fail(path(), "its header announces " + text_of(shape_) + " elements, but " +
                     std::to_string(file_.size() - position_) + " bytes follow it");
  }
}

std::vector<std::uint8_t> IdxFile::read() {
  std::vector<std::uint8_t> elements;
  try {
    if (!gzip_) {
      elements.resize(bytes_);
      read_exactly(elements.data(), elements.size());
      return elements;
    }
    while (elements.size() < bytes_) {
      const std::size_t done = elements.size();
      const std::size_t piece = std::min<std::uint64_t>(bytes_ - done, std::max(done, kFirstPiece));
      elements.reserve(done + piece);  // resize alone may reserve twice as much
      elements.resize(done + piece);
      read_exactly(elements.data() + done, piece);
    }
  } catch (const std::bad_alloc&) {
    throw OutOfMemory("no memory for the " + std::to_string(bytes_) + " bytes of " + in_quotes(path()));
  }
  // Asking for one more byte also makes the reader verify the checksum.
  std::uint8_t extra = 0;
  if (gzip_->read(&extra, 1) != 0) fail(path(), "more bytes follow its " + text_of(shape_) + " elements");
  return elements;
}

ImageDataset read_idx_dataset(const std::filesystem::path& directory, Split split, const std::string& name,
                              const std::vector<std::string>& class_names) {
  const std::string prefix = split == Split::train ? "train" : "t10k";
  IdxFile images(require_file(directory, prefix + "-images-idx3-ubyte"), 3);
  IdxFile labels(require_file(directory, prefix + "-labels-idx1-ubyte"), 1);
  if (images.shape()[0] != labels.shape()[0]) {
    throw DataError(in_quotes(images.path()) + " has " + std::to_string(images.shape()[0]) + " images, but " +
                    in_quotes(labels.path()) + " has " + std::to_string(labels.shape()[0]) +
                    " labels; take both files from one source");
  }
  ImageDataset dataset;
  dataset.name = name;
  dataset.split = split;
  dataset.count = images.shape()[0];
  dataset.channels = 1;
  dataset.height = images.shape()[1];
  dataset.width = images.shape()[2];
  dataset.class_names = class_names;
  const std::vector<std::uint8_t> bytes = labels.read();
  const auto wrong =
      std::find_if(bytes.begin(), bytes.end(), [&](std::uint8_t b) { return b >= class_names.size(); });
  if (wrong != bytes.end()) {
    throw DataError("label " + std::to_string(*wrong) + " of sample " +
                    std::to_string(wrong - bytes.begin()) + " in " + in_quotes(labels.path()) +
                    " is not below " + std::to_string(class_names.size()) + ", the number of classes of " +
                    name +
                    (starts_at_one(bytes) ? ": they count from 1; subtract 1 from each"
                                          : "; replace it by an undamaged copy or name the right data set"));
  }
  dataset.labels.assign(bytes.begin(), bytes.end());
  dataset.images = images.read();
  return dataset;
}

}  // namespace qmse
