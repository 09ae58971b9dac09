// What the official data sets contain, to tell them from anything else.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace qmse {

// One official file, uncompressed.
struct KnownFile {
  const char* name;
  const char* sha256;
  std::uint64_t bytes;
  // After `header` bytes come records; `checks` has eight hexadecimal digits for each `block` of them, their
  // CRC-32. Of the records in `unchecked` only the first byte goes into it.
  std::uint32_t header, record, block;
  const char* checks;
  std::span<const std::uint16_t> unchecked = {};
  // The same file of a copy that is known to differ in the unchecked records alone, and the CRC-32 of what is
  // left out of the checks there; null where there is none.
  const char* copy_sha256 = nullptr;
  const char* copy_check = nullptr;
};

// A text file that lists the classes (class_list.h).
struct KnownNames {
  const char* name;
  std::uint32_t crc32;  // of its classes, a line feed after each
};

struct KnownSet {
  const char* dataset;
  std::span<const KnownFile> files;
  const char* unchecked_hold = "";  // what the unchecked records of the known copy are
  std::span<const KnownNames> class_names = {};
};

// Null for a data set of which nothing is known.
const KnownSet* find_known_set(std::string_view dataset);

// Where the CRC-32s lie (content_checks.cpp).
namespace content_checks {
extern const char mnist_train_images[];
extern const char mnist_train_labels[];
extern const char mnist_t10k_images[];
extern const char mnist_t10k_labels[];
extern const char fashion_train_images[];
extern const char fashion_train_labels[];
extern const char fashion_t10k_images[];
extern const char fashion_t10k_labels[];
extern const char cifar10_data_batch_1[];
extern const char cifar10_data_batch_2[];
extern const char cifar10_data_batch_3[];
extern const char cifar10_data_batch_4[];
extern const char cifar10_data_batch_5[];
extern const char cifar10_test_batch[];
extern const char cifar100_train[];
extern const char cifar100_test[];
}  // namespace content_checks

}  // namespace qmse
