#include "experiment/report/contact_sheet.h"

#include "base/build_config.h"
#include "base/error.h"
#include "data/image_file.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;

namespace {

ImageDataset two_images(std::int64_t channels) {
  ImageDataset set;
  set.name = "a <set>";
  set.count = 2;
  set.channels = channels;
  set.height = 3;
  set.width = 2;
  set.class_names = {"x", "<i>Y & Z</i>"};
  set.labels = {1, 0};
  for (int i = 0; i < 12 * channels; ++i) set.images.push_back(static_cast<std::uint8_t>(7 * i));
  return set;
}

// By bits, not by threes as what is tested.
std::string decoded(const std::string& base64) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bits, bytes;
  for (const char c : base64.substr(0, base64.find('='))) {
    for (int bit = 5; bit >= 0; --bit) bits += (digits.find(c) >> bit & 1) != 0 ? '1' : '0';
  }
  for (std::size_t at = 0; at + 8 <= bits.size(); at += 8)
    bytes += static_cast<char>(std::stoi(bits.substr(at, 8), nullptr, 2));
  return bytes;
}

}  // namespace

TEST_CASE("contact sheet: each image asked for is there, pixel by pixel, with its class and index as text") {
  if (!QMSE_DATA_TOOLS) return;  // PNG needs libpng
  for (const std::int64_t channels : {1, 3}) {
    const ImageDataset set = two_images(channels);
    const std::int64_t which[] = {1, 0, 1};
    const std::string html = contact_sheet(set, which);
    CHECK(html.find("<title>a &lt;set&gt;</title>") != std::string::npos);
    std::size_t at = 0;
    for (const std::int64_t index : which) {
      const std::string begin = "base64,";
      at = html.find(begin, at) + begin.size();
      REQUIRE(at > begin.size());
      const Picture read = decode_png(decoded(html.substr(at, html.find('"', at) - at)), "sheet");
      CHECK(read.channels == channels);
      CHECK(read.height == 3);
      CHECK(read.width == 2);
      for (std::int64_t pixel = 0; pixel < 6; ++pixel) {
        for (std::int64_t c = 0; c < channels; ++c)
          CHECK(read.pixels[static_cast<std::size_t>(pixel * channels + c)] ==
                set.images[static_cast<std::size_t>((index * channels + c) * 6 + pixel)]);
      }
      const std::string label = index == 0 ? "&lt;i&gt;Y &amp; Z&lt;/i&gt;" : "x";
      CHECK(html.find("<figcaption>" + label + " <small>" + std::to_string(index) + "</small>", at) <
            html.find("<figure>", at));
    }
  }
}

TEST_CASE("contact sheet: of no image there is none") {
  CHECK_THROWS_AS(contact_sheet(two_images(1), {}), ShapeError);
}
