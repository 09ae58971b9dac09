#include "experiment/report/contact_sheet.h"

#include "base/error.h"
#include "data/image_file.h"
#include "experiment/report/html.h"

namespace qmse {
namespace {

// Image `index` of the data set, [C, H, W], as a picture, [H, W, C].
Picture picture(const ImageDataset& dataset, std::int64_t index) {
  Picture picture{dataset.channels, dataset.height, dataset.width, {}};
  const std::int64_t plane = dataset.height * dataset.width;
  const std::uint8_t* image = dataset.images.data() + index * dataset.channels * plane;
  for (std::int64_t i = 0; i < plane; ++i) {
    for (std::int64_t c = 0; c < dataset.channels; ++c) picture.pixels.push_back(image[c * plane + i]);
  }
  return picture;
}

constexpr const char* kHead =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
    "'unsafe-inline'\" />\n<title>";
constexpr const char* kStyle =
    "</title>\n<style>\n"
    "body { font: 14px sans-serif; display: flex; flex-wrap: wrap; gap: 10px; }\n"
    "figure { margin: 0; width: 96px; overflow-wrap: anywhere; }\n"
    "img { width: 96px; image-rendering: pixelated; }\n"
    "small { color: #777; }\n"
    "</style>\n</head>\n<body>\n";

}  // namespace

std::string contact_sheet(const ImageDataset& dataset, std::span<const std::int64_t> which) {
  if (which.empty()) throw ShapeError("a contact sheet needs at least one image");
  std::string html = kHead + escape_html(dataset.name) + kStyle;
  for (const std::int64_t index : which) {
    const auto label = static_cast<std::size_t>(dataset.labels[static_cast<std::size_t>(index)]);
    const std::string name = escape_html(dataset.class_names[label]);
    html += "<figure>" +
            inline_image("image/png", encode_png(picture(dataset, index)), dataset.class_names[label]) +
            "<figcaption>" + name + " <small>" + std::to_string(index) + "</small></figcaption></figure>\n";
  }
  return html + "</body>\n</html>\n";
}

}  // namespace qmse
