#include <random>
#include <string>

#include "base/error.h"
#include "data/idx.h"
#include "tests/data/largest_allocation.h"
#include "tests/data/tiny_idx.h"
#include "tests/support/catch.h"
#include "tests/support/mutation.h"

namespace qmse {
namespace {

using test::TempDirectory;
using test::TinySet;
using test::write_bytes;

const std::vector<std::string> kTen = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
constexpr std::uint64_t kSeed = 17;

enum class Damage {
  plain,       // the IDX bytes
  compressed,  // the gzip bytes
  inside,      // the IDX bytes, compressed afterwards: damage that no checksum catches
};

// Damages the images or the labels of a tiny set `rounds` times; each outcome must be a valid set or a
// qmse::Error of one line, without a large allocation. Returns how many were valid.
int load_damaged(Damage damage, int rounds) {
  const TempDirectory folder;
  const TinySet tiny;
  std::mt19937_64 random(kSeed);
  const std::string suffix = damage == Damage::plain ? "" : ".gz";
  const auto intact = [&](const std::string& bytes) {
    return damage == Damage::plain ? bytes : test::gzip(bytes);
  };
  const auto damaged = [&](const std::string& bytes, std::size_t header) {
    if (damage == Damage::inside) return test::gzip(test::mutate(bytes, header, random));
    return test::mutate(intact(bytes), header, random);
  };
  int valid = 0;
  for (int round = 0; round < rounds; ++round) {
    INFO("seed " << kSeed << ", damage " << static_cast<int>(damage) << ", round " << round);
    const int which = static_cast<int>(random() % 4);  // images, labels, or both
    write_bytes(folder / ("train-images-idx3-ubyte" + suffix),
                which != 1 ? damaged(tiny.images, 16) : intact(tiny.images));
    write_bytes(folder / ("train-labels-idx1-ubyte" + suffix),
                which >= 1 ? damaged(tiny.labels, 8) : intact(tiny.labels));
    test::reset_largest_allocation();
    try {
      const ImageDataset set = read_idx_dataset(folder.path(), Split::train, "mnist", kTen);
      const auto pixels = static_cast<std::size_t>(set.count * set.channels * set.height * set.width);
      REQUIRE(set.count >= 1);
      REQUIRE(set.images.size() == pixels);
      REQUIRE(set.labels.size() == static_cast<std::size_t>(set.count));
      for (const std::int32_t label : set.labels) REQUIRE((label >= 0 && label < 10));
      ++valid;
    } catch (const Error& error) {
      REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
    }
    // The reader's first piece; a header's word alone must not buy more.
    REQUIRE(test::largest_allocation() <= 1u << 20);
  }
  return valid;
}

// Both outcomes must be common, or the damage would test little. Compressed bytes are protected by a
// checksum, so there only damage to unused fields of the gzip header passes.
TEST_CASE("idx: thousands of damaged plain files load as valid or throw") {
  const int valid = load_damaged(Damage::plain, 1500);
  CHECK(valid > 10);
  CHECK(valid < 750);
}

TEST_CASE("idx: thousands of damaged compressed files load as valid or throw") {
  const int valid = load_damaged(Damage::compressed, 1500);
  CHECK(valid > 10);
  CHECK(valid < 750);
}

TEST_CASE("idx: thousands of compressed files with damaged content load as valid or throw") {
  const int valid = load_damaged(Damage::inside, 1500);
  CHECK(valid > 10);
  CHECK(valid < 750);
}

}  // namespace
}  // namespace qmse
