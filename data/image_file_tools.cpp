#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>

// After <cstdio>, which it needs and does not include.
#include <jpeglib.h>

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

// libjpeg's errors as libpng's above. Its warnings are of damaged data, and so errors too.
class JpegReader {
 public:
  explicit JpegReader(std::string_view bytes) : bytes_(bytes) {
    jpeg_.err = jpeg_std_error(&errors_);
    jpeg_.client_data = this;
    errors_.error_exit = on_error;
    errors_.emit_message = on_message;
  }
  ~JpegReader() { jpeg_destroy_decompress(&jpeg_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  bool read_header() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&jpeg_);
    jpeg_mem_src(&jpeg_, reinterpret_cast<const unsigned char*>(bytes_.data()),
                 static_cast<unsigned long>(bytes_.size()));
    jpeg_read_header(&jpeg_, TRUE);
    if (jpeg_.num_components != 1 && jpeg_.num_components != 3)
      refuse("it is neither grey nor in three colours");
    if (jpeg_.image_width > kMaxSide || jpeg_.image_height > kMaxSide)
      refuse("it is larger than 8192 pixels");
    jpeg_.out_color_space = jpeg_.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_.dct_method = JDCT_ISLOW;  // the same bits on every processor
    return true;
  }

  std::int64_t channels() const { return jpeg_.num_components; }
  std::int64_t height() const { return jpeg_.image_height; }
  std::int64_t width() const { return jpeg_.image_width; }

  bool read_pixels(unsigned char* pixels) {
    if (setjmp(jump_) != 0) return false;
    jpeg_start_decompress(&jpeg_);
    while (jpeg_.output_scanline < jpeg_.output_height) {
      unsigned char* row = pixels + std::size_t{jpeg_.output_scanline} * jpeg_.output_width *
                                        static_cast<std::size_t>(jpeg_.output_components);
      jpeg_read_scanlines(&jpeg_, &row, 1);
    }
    jpeg_finish_decompress(&jpeg_);
    return true;
  }

  const char* cause() const { return cause_; }

 private:
  [[noreturn]] void refuse(const char* why) {
    std::snprintf(cause_, sizeof(cause_), "%s", why);
    std::longjmp(jump_, 1);
  }
  [[noreturn]] static void on_error(j_common_ptr jpeg) {
    auto* self = static_cast<JpegReader*>(jpeg->client_data);
    jpeg->err->format_message(jpeg, self->cause_);
    std::longjmp(self->jump_, 1);
  }
  static void on_message(j_common_ptr jpeg, int level) {
    if (level < 0) on_error(jpeg);
  }

  std::string_view bytes_;
  jpeg_decompress_struct jpeg_ = {};
  jpeg_error_mgr errors_ = {};
  std::jmp_buf jump_ = {};
  char cause_[JMSG_LENGTH_MAX] = "";
};

[[noreturn]] void fail(const std::filesystem::path& path, const char* cause) {
  throw DataError("cannot read the picture " + in_quotes(path) + ": " + cause +
                  "; repair, convert or remove it");
}

}  // namespace

Picture decode_jpeg(std::string_view bytes, const std::filesystem::path& path) {
  JpegReader reader(bytes);
  if (!reader.read_header()) fail(path, reader.cause());
  Picture picture{reader.channels(), reader.height(), reader.width(), {}};
  picture.pixels.resize(static_cast<std::size_t>(picture.channels * picture.height * picture.width));
  if (!reader.read_pixels(picture.pixels.data())) fail(path, reader.cause());
  return picture;
}

Picture decode_png(std::string_view bytes, const std::filesystem::path& path) {
  PngReader reader(bytes);
  if (!reader.read_header()) fail(path, reader.cause());
  Picture picture;
  picture.channels = reader.channels();
  picture.height = reader.height();
  picture.width = reader.width();
  const auto row = static_cast<std::size_t>(picture.channels * picture.width);
  const auto count = static_cast<std::size_t>(picture.height);
  // Deflate cannot shrink to less than 1/1032, expanding a bit to a colour and its transparency makes 32 of it:
  // what a small file announces is not believed.
  if (row * count / (1032 * 32) > bytes.size()) fail(path, "the file ends too early");
  picture.pixels.resize(row * count);
  std::vector<png_bytep> rows;
  for (std::size_t y = 0; y < count; ++y) rows.push_back(picture.pixels.data() + y * row);
  if (!reader.read_pixels(rows.data())) fail(path, reader.cause());
  if (picture.channels % 2 == 0 && !drop_alpha(picture))
    fail(path, "it has transparency, which an image cannot keep");
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
