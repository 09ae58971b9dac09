#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>

#include "base/error.h"
#include "base/in_quotes.h"
#include "data/image_file.h"

namespace qmse {
namespace {

constexpr png_alloc_size_t kMaxChunkBytes = 8u << 20;  // bytes of memory for one ancillary chunk

// libpng reports errors by longjmp, which must not pass over anything with a destructor: all such things are
// members here, and the functions between setjmp and longjmp have plain local variables only.
class PngReader {
 public:
  explicit PngReader(std::string_view bytes) : bytes_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw OutOfMemory("no memory for reading a PNG file");
    }
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  // False, with cause(), where it cannot be read.
  bool read_header() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, on_read);
    png_set_user_limits(png_, kMaxSide, kMaxSide);
    png_set_chunk_malloc_max(png_, kMaxChunkBytes);
    // Texts, profiles and the like are passed over unread: a file may have any number of them. (-1: all known
    // ones but transparency.)
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_read_info(png_, info_);
    if (png_get_bit_depth(png_, info_) > 8) png_error(png_, "it has 16 bits a channel, only 8 are read");
    png_set_expand(png_);  // palettes to colours, fewer bits to 8, a transparent colour to a channel
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  std::int64_t channels() const { return png_get_channels(png_, info_); }
  std::int64_t height() const { return png_get_image_height(png_, info_); }
  std::int64_t width() const { return png_get_image_width(png_, info_); }

  // `rows`: the beginning of each row of channels() * width() bytes.
  bool read_pixels(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_image(png_, rows);
    png_read_end(png_, nullptr);
    return true;
  }

  const char* cause() const { return cause_; }

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(self->cause_, sizeof(self->cause_), "%s", message);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}  // what it is about does not change the pixels
  static void on_read(png_structp png, png_bytep destination, std::size_t bytes) {
    auto* self = static_cast<PngReader*>(png_get_io_ptr(png));
    if (bytes > self->bytes_.size() - self->position_) png_error(png, "the file ends too early");
    std::memcpy(destination, self->bytes_.data() + self->position_, bytes);
    self->position_ += bytes;
  }

  std::string_view bytes_;
  std::size_t position_ = 0;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  char cause_[128] = "";
};

// The last channel says how opaque each pixel is: taken away where all are whole. False where one is not.
bool drop_alpha(Picture& picture) {
  const auto channels = static_cast<std::size_t>(picture.channels);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < picture.pixels.size(); ++i) {
    if (i % channels + 1 < channels) {
      picture.pixels[kept++] = picture.pixels[i];
    } else if (picture.pixels[i] != 255) {
      return false;
    }
  }
  picture.pixels.resize(kept);
  --picture.channels;
  return true;
}

}  // namespace

Picture decode_png(std::string_view bytes, const std::filesystem::path& path) {
  const auto fail = [&](const char* cause) {
    throw DataError("cannot read the picture " + in_quotes(path) + ": " + cause +
                    "; repair, convert or remove it");
  };
  PngReader reader(bytes);
  if (!reader.read_header()) fail(reader.cause());
  Picture picture;
  picture.channels = reader.channels();
  picture.height = reader.height();
  picture.width = reader.width();
  const auto row = static_cast<std::size_t>(picture.channels * picture.width);
  const auto count = static_cast<std::size_t>(picture.height);
  // Deflate cannot shrink to less than 1/1032, expanding a bit to a colour and its transparency makes 32 of it:
  // what a small file announces is not believed.
  if (row * count / (1032 * 32) > bytes.size()) fail("the file ends too early");
  picture.pixels.resize(row * count);
  std::vector<png_bytep> rows;
  for (std::size_t y = 0; y < count; ++y) rows.push_back(picture.pixels.data() + y * row);
  if (!reader.read_pixels(rows.data())) fail(reader.cause());
  if (picture.channels % 2 == 0 && !drop_alpha(picture))
    fail("it has transparency, which an image cannot keep");
  return picture;
}

std::string encode_png(const Picture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = picture.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string result(bytes, '\0');
  if (png_image_write_to_memory(&image, result.data(), &bytes, 0, picture.pixels.data(), 0, nullptr) == 0) {
    const std::string cause = image.message;
    png_image_free(&image);
    throw Error("libpng cannot write a picture: " + cause);
  }
  result.resize(bytes);
  return result;
}

}  // namespace qmse
