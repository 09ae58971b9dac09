#include "base/error.h"
#include "base/in_quotes.h"
#include "data/image_file.h"

namespace qmse {

Picture decode_png(std::string_view, const std::filesystem::path& path) {
  throw ConfigError("cannot read " + in_quotes(path) +
                    ": this qmse was built without libpng (QMSE_DATA_TOOLS=OFF); convert it to PPM or PGM");
}

Picture decode_jpeg(std::string_view, const std::filesystem::path& path) {
  throw ConfigError("cannot read " + in_quotes(path) +
                    ": this qmse was built without libjpeg (QMSE_DATA_TOOLS=OFF); convert it to PPM or PGM");
}

std::string encode_png(const Picture&) {
  throw ConfigError("cannot write PNG files: this qmse was built without libpng (QMSE_DATA_TOOLS=OFF)");
}

}  // namespace qmse
