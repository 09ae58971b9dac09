#include "data/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>
#include <string>

#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse {
namespace {

constexpr std::size_t kInputBytes = 64 * 1024;
constexpr int kGzipOnly = 16 + MAX_WBITS;  // see zlib.h, inflateInit2: gzip format, largest window

}  // namespace

struct GzipReader::Stream : z_stream {
  Stream() : z_stream{} {
    if (inflateInit2(this, kGzipOnly) != Z_OK) throw OutOfMemory("no memory for decompressing a data file");
  }
  ~Stream() { inflateEnd(this); }
};

GzipReader::GzipReader(const InputFile& file)
    : file_(file), input_(kInputBytes), stream_(std::make_unique<Stream>()) {}

GzipReader::~GzipReader() = default;

// Whatever cannot even begin a further member is not compressed data at all.
void GzipReader::fail_here(const std::string& cause) const {
  const bool behind_the_end = !first_member_ && stream_->total_out == 0;
  throw DataError("cannot decompress " + in_quotes(file_.path()) + ": " +
                  (behind_the_end ? "bytes follow the end of the compressed data" : cause) +
                  "; replace the file by an undamaged copy");
}

// False at the end of the file.
bool GzipReader::refill() {
  const std::size_t bytes = std::min<std::uint64_t>(input_.size(), file_.size() - offset_);
  if (bytes == 0) return false;
  file_.read(offset_, input_.data(), bytes);
  offset_ += bytes;
  stream_->next_in = input_.data();
  stream_->avail_in = static_cast<uInt>(bytes);
  return true;
}

std::size_t GzipReader::read(void* destination, std::size_t bytes) {
  std::size_t done = 0;
  while (done < bytes) {
    if (stream_->avail_in == 0 && !refill()) {
      if (!inside_member_) return done;
      fail_here("the compressed data end too early");
    }
    if (!inside_member_) {
      inflateReset(stream_.get());
      inside_member_ = true;
    }
    const std::size_t room = std::min<std::size_t>(bytes - done, std::numeric_limits<uInt>::max());
    stream_->next_out = static_cast<unsigned char*>(destination) + done;
    stream_->avail_out = static_cast<uInt>(room);
    const int status = inflate(stream_.get(), Z_NO_FLUSH);
    done += room - stream_->avail_out;
    if (status == Z_STREAM_END) {
      inside_member_ = false;
      first_member_ = false;
    } else if (status == Z_MEM_ERROR) {
      throw OutOfMemory("no memory for decompressing " + in_quotes(file_.path()));
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      fail_here(stream_->msg != nullptr ? stream_->msg : "the compressed data are damaged");
    }
  }
  return done;
}

}  // namespace qmse
