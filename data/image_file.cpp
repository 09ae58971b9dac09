#include "data/image_file.h"

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/input_file.h"

namespace qmse {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 28;  // of a file

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& cause) {
  throw DataError("cannot read the picture " + in_quotes(path) + ": " + cause +
                  "; repair, convert or remove it");
}

// The header of a PPM or PGM file: numbers between white space and comments.
// Format: https://netpbm.sourceforge.net/doc/ppm.html
class PnmHeader {
 public:
  PnmHeader(std::string_view bytes, const std::filesystem::path& path) : bytes_(bytes), path_(path) {}

  std::int64_t number() {
    skip_space();
    std::int64_t value = -1;
    while (position_ < bytes_.size() && bytes_[position_] >= '0' && bytes_[position_] <= '9') {
      value = 10 * std::max<std::int64_t>(value, 0) + (bytes_[position_++] - '0');
      if (value > 1'000'000) break;
    }
    if (value < 0) fail(path_, "its header is damaged");
    return value;
  }
  // What follows the one white-space character after the header.
  std::string_view rest() {
    if (position_ >= bytes_.size() || !is_space(bytes_[position_])) fail(path_, "its header is damaged");
    return bytes_.substr(position_ + 1);
  }

 private:
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  void skip_space() {
    while (position_ < bytes_.size() && (is_space(bytes_[position_]) || bytes_[position_] == '#')) {
      if (bytes_[position_] == '#') position_ = std::min(bytes_.find('\n', position_), bytes_.size());
      if (position_ < bytes_.size()) ++position_;
    }
  }

  std::string_view bytes_;
  const std::filesystem::path& path_;
  std::size_t position_ = 2;  // behind "P5" or "P6"
};

Picture decode_pnm(std::string_view bytes, const std::filesystem::path& path) {
  PnmHeader header(bytes, path);
  Picture picture;
  picture.channels = bytes[1] == '6' ? 3 : 1;
  picture.width = header.number();
  picture.height = header.number();
  const std::int64_t largest_value = header.number();
  if (picture.width < 1 || picture.height < 1) fail(path, "it has no pixels");
  if (picture.width > kMaxSide || picture.height > kMaxSide) {
    fail(path, "it is larger than " + std::to_string(kMaxSide) + " pixels");
  }
  if (largest_value != 255)
    fail(path, "its values go to " + std::to_string(largest_value) + ", only 255 is read");
  const std::string_view pixels = header.rest();
  const auto expected = static_cast<std::size_t>(picture.channels * picture.height * picture.width);
  if (pixels.size() != expected) {
    fail(path, "its header announces " + std::to_string(expected) + " bytes of pixels, but " +
                   std::to_string(pixels.size()) + " follow it");
  }
  picture.pixels.assign(pixels.begin(), pixels.end());
  return picture;
}

}  // namespace

Picture read_picture(const std::filesystem::path& path) {
  const InputFile file(path);
  if (file.size() > kMaxBytes) fail(path, "the file is larger than 256 MiB");
  std::string bytes(file.size(), '\0');
  file.read(0, bytes.data(), bytes.size());
  if (bytes.starts_with("\x89PNG")) return decode_png(bytes, path);
  if (bytes.starts_with("\xFF\xD8\xFF")) return decode_jpeg(bytes, path);
  if (bytes.starts_with("P5") || bytes.starts_with("P6")) return decode_pnm(bytes, path);
  if (bytes.starts_with("P2") || bytes.starts_with("P3"))
    fail(path, "it is a PPM or PGM file in plain text, only the raw forms P5 and P6 are read");
  fail(path, "it is no PNG, JPEG, PPM or PGM file");
}

}  // namespace qmse
