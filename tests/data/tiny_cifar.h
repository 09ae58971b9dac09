// Small CIFAR folders made by hand: record i of file f has pixels that depend on f, i and the place.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/support/temp_directory.h"

namespace qmse::test {

inline std::string cifar_pixels(int file, int record) {
  std::string pixels(3072, '\0');
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<char>(static_cast<std::size_t>(31 * file + 7 * record) + i / 3);
  }
  return pixels;
}

// Labels i % 10.
inline std::string cifar10_file(int file, int records) {
  std::string bytes;
  for (int i = 0; i < records; ++i) bytes += static_cast<char>(i % 10) + cifar_pixels(file, i);
  return bytes;
}

// Fine labels 99 - i % 100, coarse labels i % 20.
inline std::string cifar100_file(int file, int records) {
  std::string bytes;
  for (int i = 0; i < records; ++i) {
    bytes += static_cast<char>(i % 20);
    bytes += static_cast<char>(99 - i % 100);
    bytes += cifar_pixels(file, i);
  }
  return bytes;
}

inline std::string name_lines(const std::string& prefix, int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) lines += prefix + std::to_string(i) + "\n";
  return lines;
}

inline void write_cifar10(const std::filesystem::path& folder, int records) {
  std::filesystem::create_directories(folder);
  for (int file = 1; file <= 5; ++file) {
    write_bytes(folder / ("data_batch_" + std::to_string(file) + ".bin"), cifar10_file(file, records));
  }
  write_bytes(folder / "test_batch.bin", cifar10_file(6, records));
  write_bytes(folder / "batches.meta.txt",
              name_lines("class-", 10) + "\n");  // the official one has a blank line
}

inline void write_cifar100(const std::filesystem::path& folder, int records) {
  std::filesystem::create_directories(folder);
  write_bytes(folder / "train.bin", cifar100_file(1, records));
  write_bytes(folder / "test.bin", cifar100_file(2, records));
  write_bytes(folder / "fine_label_names.txt", name_lines("fine-", 100));
  write_bytes(folder / "coarse_label_names.txt", name_lines("coarse-", 20));
}

}  // namespace qmse::test
