// Decompresses a gzip file (RFC 1952) piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/input_file.h"

namespace qmse {

class GzipReader {
 public:
  // `file` must outlive the reader.
  explicit GzipReader(const InputFile& file);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  // The next `bytes` bytes, fewer only where the content ends; several gzip members in a row are one content.
  // When the end has been seen (fewer bytes than asked for), every checksum has been verified. DataError for
  // damaged or truncated data and for bytes behind the end that are no gzip member.
  std::size_t read(void* destination, std::size_t bytes);

 private:
  struct Stream;

  bool refill();
  [[noreturn]] void fail_here(const std::string& cause) const;

  const InputFile& file_;
  std::uint64_t offset_ = 0;  // of the next compressed byte to load
  std::vector<unsigned char> input_;
  std::unique_ptr<Stream> stream_;
  bool first_member_ = true;
  bool inside_member_ = true;
};

}  // namespace qmse
