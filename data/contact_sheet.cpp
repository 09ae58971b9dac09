#include "data/contact_sheet.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "data/font_6x10.h"

namespace qmse {
namespace {

constexpr std::int64_t kCellWidth = 96;  // of an image at least, in pixels
constexpr std::int64_t kGap = 10;        // between cells
constexpr std::int64_t kLine = kGlyphHeight + 2;
constexpr std::int64_t kMostColumns = 10;
constexpr std::uint8_t kBlack = 0, kGrey = 128;

class Canvas {
 public:
  Canvas(std::int64_t width, std::int64_t height)
      : picture_{3, height, width,
                 std::vector<std::uint8_t>(static_cast<std::size_t>(3 * width * height), 255)} {}

  void set(std::int64_t x, std::int64_t y, std::uint8_t r, std::uint8_t g, std::uint8_t b) {
    std::uint8_t* pixel = picture_.pixels.data() + 3 * (y * picture_.width + x);
    pixel[0] = r;
    pixel[1] = g;
    pixel[2] = b;
  }
  void write(std::int64_t x, std::int64_t y, const std::string& text, std::uint8_t grey) {
    for (const char c : text) {
      const std::uint8_t* rows = kGlyphs[c < 32 || c > 126 ? '?' - 32 : c - 32];
      for (int row = 0; row < kGlyphHeight; ++row) {
        for (int column = 0; column < kGlyphWidth; ++column) {
          if ((rows[row] >> (kGlyphWidth - 1 - column)) & 1) set(x + column, y + row, grey, grey, grey);
        }
      }
      x += kGlyphWidth;
    }
  }
  Picture take() { return std::move(picture_); }

 private:
  Picture picture_;
};

// `text` in lines of at most `length` characters.
std::vector<std::string> lines_of(const std::string& text, std::size_t length) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size() || begin == 0; begin += length)
    lines.push_back(text.substr(begin, length));
  return lines;
}

}  // namespace

Picture contact_sheet(const ImageDataset& dataset, std::span<const std::int64_t> which) {
  if (which.empty()) throw ConfigError("a contact sheet needs at least one image");
  const std::int64_t scale = (kCellWidth + dataset.width - 1) / dataset.width;
  const std::int64_t width = std::max(dataset.width * scale, kCellWidth), height = dataset.height * scale;
  const auto length = static_cast<std::size_t>(width / kGlyphWidth);
  std::size_t most_lines = 0;
  for (const std::int64_t i : which) {
    const auto label = static_cast<std::size_t>(dataset.labels[static_cast<std::size_t>(i)]);
    most_lines = std::max(most_lines, lines_of(dataset.class_names[label], length).size());
  }
  most_lines = std::min<std::size_t>(most_lines, 3);
  const auto count = static_cast<std::int64_t>(which.size());
  const std::int64_t columns =
      std::min(kMostColumns, static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(count)))));
  const std::int64_t cell_width = width + kGap;
  const std::int64_t cell_height = height + static_cast<std::int64_t>(most_lines + 1) * kLine + kGap;
  Canvas canvas(columns * cell_width + kGap, (count + columns - 1) / columns * cell_height + kGap);
  for (std::int64_t n = 0; n < count; ++n) {
    const std::int64_t index = which[static_cast<std::size_t>(n)];
    const std::int64_t left = kGap + n % columns * cell_width, top = kGap + n / columns * cell_height;
    const std::int64_t plane = dataset.height * dataset.width;
    const std::uint8_t* image = dataset.images.data() + index * dataset.channels * plane;
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < dataset.width * scale; ++x) {
        const std::uint8_t* pixel = image + y / scale * dataset.width + x / scale;
        const std::int64_t next = dataset.channels == 3 ? plane : 0;
        canvas.set(left + x, top + y, pixel[0], pixel[next], pixel[2 * next]);
      }
    }
    const auto label = static_cast<std::size_t>(dataset.labels[static_cast<std::size_t>(index)]);
    const std::vector<std::string> lines = lines_of(dataset.class_names[label], length);
    std::int64_t line = top + height + 2;
    for (std::size_t i = 0; i < std::min(lines.size(), most_lines); ++i, line += kLine)
      canvas.write(left, line, lines[i], kBlack);
    canvas.write(left, line, std::to_string(index), kGrey);
  }
  return canvas.take();
}

}  // namespace qmse
