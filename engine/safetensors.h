// Reader and writer of safetensors files (https://github.com/huggingface/safetensors, "Format"):
//
//   8 bytes        length n of the header, little endian
//   n bytes        JSON: {"__metadata__": {"key": "value"}, "name": {"dtype": "F32", "shape": [2, 3],
//                  "data_offsets": [begin, end]}, ...}, padded with spaces
//   all the rest   the tensors' elements, row by row, little endian, without holes; offsets count from here
//
// The element types are F32, F64, I32, I64 and U8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/input_file.h"
#include "engine/dtype.h"

namespace qmse {

using SafetensorsMetadata = std::map<std::string, std::string>;

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  // [] is a scalar
  std::uint64_t begin = 0;          // bytes from the start of the data
  std::uint64_t end = 0;

  std::int64_t elements() const { return static_cast<std::int64_t>((end - begin) / size_of(dtype)); }
};

// An open file: the header is read and checked at once, tensors are read when asked for.
class SafetensorsFile {
 public:
  // IoError when the file cannot be read; DataError when it is no valid safetensors file: see the format
  // above, with nothing tolerated (duplicate keys, holes, overlaps, trailing bytes, unknown types or fields,
  // text that is not UTF-8). The header is limited to 100 MB, as in the reference implementation.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const SafetensorsMetadata& metadata() const { return metadata_; }

  // In the order of the header.
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const { return index_.find(name) != index_.end(); }
  // DataError if there is none of that name.
  const TensorInfo& info(std::string_view name) const;

  // Reads a whole tensor of exactly this type (DataError) and shape (ShapeError). `destination` has room for
  // it; T is a type that dtype_of knows.
  void read(std::string_view name, DType dtype, std::span<const std::int64_t> shape, void* destination) const;
  template <class T>
  void read(std::string_view name, std::span<const std::int64_t> shape, std::span<T> destination) const {
    check_room(name, shape, destination.size());
    read(name, dtype_of<T>(), shape, destination.data());
  }
  // The same for a tensor of any shape.
  template <class T>
  std::vector<T> read(std::string_view name) const {
    check_type(name, dtype_of<T>());
    std::vector<T> values(static_cast<std::size_t>(info(name).elements()));
    read(name, info(name).shape, std::span<T>(values));
    return values;
  }

 private:
  void check_room(std::string_view name, std::span<const std::int64_t> shape, std::size_t elements) const;
  void check_type(std::string_view name, DType dtype) const;

  InputFile file_;
  std::uint64_t data_start_ = 0;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::size_t, std::less<>> index_;  // name -> place in tensors_
  SafetensorsMetadata metadata_;
};

struct TensorToWrite {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;  // elements, row by row
};

// Writes a file that the reference implementation reads, and reads without copying: wide element types come
// first, so that every tensor is aligned; among equally wide ones the given order stays. The bytes depend on
// the arguments only. The file appears complete or not at all (AtomicFile). DataError for names that are used
// twice, reserved
// ("__metadata__") or not UTF-8; ShapeError for negative or overflowing shapes; IoError when writing fails.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const SafetensorsMetadata& metadata);

}  // namespace qmse
