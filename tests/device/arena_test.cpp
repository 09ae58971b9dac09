#include "device/arena.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "device/context.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;

namespace {

// A device of `capacity` bytes that the test can look into.
struct Device {
  std::size_t capacity;
  std::map<void*, std::size_t> blocks;
  std::size_t taken = 0;
  int takes = 0;
};

class DeviceBlocks final : public BlockSource {
 public:
  explicit DeviceBlocks(Device& device) : device_(device) {}
  void* take(std::size_t bytes) override {
    if (bytes > device_.capacity - device_.taken) return nullptr;
    void* block = std::aligned_alloc(256, bytes);
    device_.blocks[block] = bytes;
    device_.taken += bytes;
    ++device_.takes;
    return block;
  }
  void give_back(void* block) noexcept override {
    device_.taken -= device_.blocks.at(block);
    device_.blocks.erase(block);
    std::free(block);
  }
  std::size_t free_bytes() const override { return device_.capacity - device_.taken; }
  std::string device_name() const override { return "test device"; }

 private:
  Device& device_;
};

}  // namespace

TEST_CASE("arena: pieces keep their content whatever is taken and given back around them") {
  const std::uint32_t seed = 20260101;
  CAPTURE(seed);
  std::mt19937 random(seed);
  Device device{std::size_t{64} << 20, {}};
  {
    Arena arena(std::make_unique<DeviceBlocks>(device), 64 * 1024);
    struct Piece {
      Buffer buffer;
      unsigned char content;
    };
    std::vector<Piece> pieces;
    const auto intact = [](const Piece& piece) {
      const auto* bytes = piece.buffer.as<unsigned char>();
      for (std::size_t i = 0; i < piece.buffer.bytes(); ++i) {
        if (bytes[i] != piece.content) return false;
      }
      return true;
    };
    for (int round = 0; round < 3000; ++round) {
      if (pieces.empty() || random() % 5 < 3) {
        const std::size_t bytes = random() % 10 == 0 ? 1 + random() % 200000 : 1 + random() % 3000;
        pieces.push_back({Buffer(arena, bytes, "piece"), static_cast<unsigned char>(random())});
        REQUIRE(reinterpret_cast<std::uintptr_t>(pieces.back().buffer.data()) % 256 == 0);
        std::memset(pieces.back().buffer.data(), pieces.back().content, bytes);
      } else {
        const std::size_t at = random() % pieces.size();
        REQUIRE(intact(pieces[at]));
        std::swap(pieces[at], pieces.back());
        pieces.pop_back();
      }
    }
    for (const Piece& piece : pieces) CHECK(intact(piece));
    pieces.clear();
    CHECK(arena.live_bytes() == 0);
    // All is joined again: every block can be given out as one piece, without asking the device.
    const int takes = device.takes;
    std::vector<Buffer> whole;
    for (const auto& [block, bytes] : device.blocks) whole.emplace_back(arena, bytes, "whole block");
    CHECK(device.takes == takes);
  }
  CHECK(device.taken == 0);
}

TEST_CASE("arena: small requests share a block, large ones get their own") {
  Device device{std::size_t{1} << 20, {}};
  Arena arena(std::make_unique<DeviceBlocks>(device), 4096);
  std::vector<Buffer> small;
  for (int i = 0; i < 16; ++i) small.emplace_back(arena, 200, "small");
  CHECK(arena.block_count() == 1);
  const Buffer large(arena, 10000, "large");
  CHECK(arena.block_count() == 2);
  CHECK(device.taken == 4096 + 10240);
}

TEST_CASE("arena: when the device has no more, unused blocks make room, and then it says what is missing") {
  Device device{16 * 1024, {}};
  Arena arena(std::make_unique<DeviceBlocks>(device), 4096);
  {
    std::vector<Buffer> blocks;
    for (int i = 0; i < 4; ++i) blocks.emplace_back(arena, 4096, "block");
    CHECK(device.taken == device.capacity);
  }
  const Buffer all(arena, 16 * 1024, "all of it");
  CHECK(arena.block_count() == 1);
  const std::string message = test::message_of<OutOfMemory>([&] { Buffer(arena, 300, "one more"); });
  for (const char* part : {"test device", "one more", "300 bytes"}) {
    CAPTURE(message, part);
    CHECK(message.find(part) != std::string::npos);
  }
}

TEST_CASE("arena: a block smaller than usual is better than none") {
  Device device{3000 / 256 * 256, {}};
  Arena arena(std::make_unique<DeviceBlocks>(device), 4096);
  const Buffer buffer(arena, 1000, "buffer");
  CHECK(device.taken == 1024);
}

TEST_CASE("memory: sealed, it refuses every request and says why") {
  CpuContext context(1);
  {
    const MemorySeal seal(context.memory(), "a step is being captured");
    const std::string message =
        test::message_of<std::logic_error>([&] { Buffer(context.memory(), 8, "late buffer"); });
    for (const char* part : {"late buffer", "while a step is being captured"}) {
      CAPTURE(message, part);
      CHECK(message.find(part) != std::string::npos);
    }
    CHECK_NOTHROW(Buffer(context.memory(), 0, "nothing"));
  }
  CHECK_NOTHROW(Buffer(context.memory(), 8, "buffer"));
}

TEST_CASE("arena: without blocks every piece is the device's own, and goes back at once") {
  Device device{std::size_t{1} << 20, {}};
  Arena arena(std::make_unique<DeviceBlocks>(device), 0);
  {
    const Buffer first(arena, 1000, "first"), second(arena, 300, "second");
    CHECK(device.blocks.at(first.data()) == 1024);
    CHECK(device.blocks.at(second.data()) == 512);
  }
  CHECK(device.blocks.empty());
}
