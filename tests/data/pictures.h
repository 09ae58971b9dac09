// Pictures made by hand, for tests that start from files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "data/image_file.h"
#include "tests/support/temp_directory.h"

namespace qmse::test {

// Pixel i is start + 3 i, modulo 256.
inline Picture picture(std::int64_t width, std::int64_t height, std::int64_t channels, int start = 0) {
  Picture made{channels, height, width, {}};
  for (std::int64_t i = 0; i < width * height * channels; ++i)
    made.pixels.push_back(static_cast<std::uint8_t>(start + 3 * i));
  return made;
}

inline std::string pnm_bytes(const Picture& picture) {
  return std::string(picture.channels == 3 ? "P6" : "P5") + "\n# made by hand\n" +
         std::to_string(picture.width) + " " + std::to_string(picture.height) + "\n255\n" +
         std::string(picture.pixels.begin(), picture.pixels.end());
}

// Class folders a and b with `count` colour pictures of 12 x 12 each in both splits.
inline void write_class_folders(const std::filesystem::path& folder, int count) {
  for (const char* split : {"train", "test"}) {
    for (const char* name : {"a", "b"}) {
      std::filesystem::create_directories(folder / split / name);
      for (int i = 0; i < count; ++i) {
        write_bytes(folder / split / name / (std::to_string(i) + ".ppm"),
                    pnm_bytes(picture(12, 12, 3, 40 * i + (*name == 'a' ? 0 : 100))));
      }
    }
  }
}

}  // namespace qmse::test
