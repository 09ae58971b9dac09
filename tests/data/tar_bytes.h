// Small tar files made by hand (POSIX ustar).
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace qmse::test {

// Regular files: path and content.
inline std::string tar_bytes(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string tar;
  for (const auto& [path, content] : files) {
    std::string head(512, '\0');
    const auto put = [&](std::size_t at, const std::string& text) { head.replace(at, text.size(), text); };
    char octal[16];
    std::snprintf(octal, sizeof(octal), "%011zo", content.size());
    put(0, path);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, octal);
    put(136, "00000000000");
    put(148, "        ");  // the checksum counts its own field as spaces
    put(156, "0");
    put(257, std::string("ustar\0"
                         "00",
                         8));
    unsigned sum = 0;
    for (const char c : head) sum += static_cast<unsigned char>(c);
    std::snprintf(octal, sizeof(octal), "%06o", sum);
    put(148, std::string(octal, 7));
    tar += head + content + std::string((512 - content.size() % 512) % 512, '\0');
  }
  return tar + std::string(1024, '\0');
}

}  // namespace qmse::test
