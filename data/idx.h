// Reader of IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist/):
//
//   2 zero bytes, the element type (8: unsigned byte, the only one read here), the number of dimensions,
//   then each dimension as a 32-bit big-endian number, then the elements, the last dimension fastest.
//
// Plain or gzip-compressed; the first two bytes decide which, not the name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/input_file.h"
#include "data/gzip.h"
#include "data/image_dataset.h"

namespace qmse {

// One open IDX file of unsigned bytes. The elements are limited to 4 GiB.
class IdxFile {
 public:
  // Opens the file and checks the header; `dimensions` is how many it must have, each at least 1. For a plain
  // file the size must be exactly what the header announces. IoError when it cannot be read, DataError for
  // its content.
  IdxFile(const std::filesystem::path& path, int dimensions);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<std::int64_t>& shape() const { return shape_; }

  // All elements; called once. A compressed file must hold exactly as many as its header announces, and
  // memory grows with what really comes out of it, never with the header alone. DataError where that fails.
  std::vector<std::uint8_t> read();

 private:
  void read_exactly(void* destination, std::size_t bytes);
  void read_header(int dimensions);

  InputFile file_;
  std::unique_ptr<GzipReader> gzip_;  // null for a plain file
  std::uint64_t position_ = 0;        // in a plain file
  std::vector<std::int64_t> shape_;
  std::uint64_t bytes_ = 0;  // of the elements
};

// The file that stands for `stem`, "train-images-idx3-ubyte": the first that is there of the plain and the
// compressed one (.gz), then of those with a dot as some sites spell it, "train-images.idx3-ubyte".
// `directory` / `stem` where there is none.
std::filesystem::path find_idx_file(const std::filesystem::path& directory, const std::string& stem);

// Bytes of the whole uncompressed file that begins with `beginning`, as its header has it; 0 where that is no
// header of unsigned bytes.
std::uint64_t announced_idx_bytes(std::span<const unsigned char> beginning);

// Reads one split of a data set from the four files that MNIST and Fashion-MNIST come in:
//   train-images-idx3-ubyte  train-labels-idx1-ubyte  t10k-images-idx3-ubyte  t10k-labels-idx1-ubyte
// as find_idx_file() finds them. The images have one channel;
// each label must be an index into `class_names`.
ImageDataset read_idx_dataset(const std::filesystem::path& directory, Split split, const std::string& name,
                              const std::vector<std::string>& class_names);

}  // namespace qmse
