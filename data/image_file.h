// Pictures in files: PNG (8 bits or less a channel), JPEG (grey or three colours), and the raw forms of PPM (P6)
// and PGM (P5).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace qmse {

inline constexpr std::int64_t kMaxSide = 8192;  // of a picture that is read, in pixels

struct Picture {
  std::int64_t channels = 0;  // 1 or 3
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<std::uint8_t> pixels;  // [H, W, C], 0 is black
};

// Reads the picture in `path`; its first bytes say which format it is. DataError for anything else, a picture
// that is damaged or larger than kMaxSide, transparency, and more than 8 bits a channel; IoError where
// it cannot be read. ConfigError for a PNG or JPEG file in a build without libpng and libjpeg
// (QMSE_DATA_TOOLS=OFF).
Picture read_picture(const std::filesystem::path& path);

// By libjpeg, as the file stores it: the orientation that a camera noted is not applied; `path` is for messages.
Picture decode_jpeg(std::string_view bytes, const std::filesystem::path& path);
// By libpng; likewise.
Picture decode_png(std::string_view bytes, const std::filesystem::path& path);
std::string encode_png(const Picture& picture);

}  // namespace qmse
