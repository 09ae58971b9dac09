// Small IDX files made by hand, plain and compressed.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/temp_directory.h"

namespace qmse::test {

// An IDX file with element type 8 and these dimensions, whatever `elements` holds.
inline std::string idx_bytes(const std::vector<std::uint32_t>& dimensions, const std::string& elements) {
  std::string bytes = {0, 0, 8, static_cast<char>(dimensions.size())};
  for (const std::uint32_t size : dimensions) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift);
  }
  return bytes + elements;
}

inline std::string gzip(const std::string& content) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2 failed");
  }
  std::string compressed(deflateBound(&stream, content.size()), '\0');
  std::string input = content;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(compressed.data());
  stream.avail_out = static_cast<uInt>(compressed.size());
  const int status = deflate(&stream, Z_FINISH);
  compressed.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("deflate failed");
  return compressed;
}

// A training set of five images of 3 x 4 pixels: pixel i of the file is 10 i, modulo 256; the labels are 3 0
// 9 9 1.
struct TinySet {
  std::string images = idx_bytes({5, 3, 4}, pixels());
  std::string labels = idx_bytes({5}, std::string("\3\0\11\11\1", 5));

  static std::string pixels() {
    std::string text;
    for (int i = 0; i < 60; ++i) text += static_cast<char>(10 * i);
    return text;
  }
  void write(const std::filesystem::path& folder) const {
    write_bytes(folder / "train-images-idx3-ubyte", images);
    write_bytes(folder / "train-labels-idx1-ubyte", labels);
  }
  void write_compressed(const std::filesystem::path& folder) const {
    write_bytes(folder / "train-images-idx3-ubyte.gz", gzip(images));
    write_bytes(folder / "train-labels-idx1-ubyte.gz", gzip(labels));
  }
};

}  // namespace qmse::test
