// Memory in large blocks, given out in pieces: what the CUDA context allocates from. Taking and giving back a
// piece asks nothing of the device and does not wait for it; that is safe because all of a context's work
// runs on one stream, in order, but for branches (device/branches.h), which are joined before anything is
// given back.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "device/memory.h"

namespace qmse {

// Where the blocks come from.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  virtual void* take(std::size_t bytes) = 0;  // aligned to 256; nullptr when there is no more
  virtual void give_back(void* block) noexcept = 0;
  virtual std::size_t free_bytes() const = 0;
  virtual std::string device_name() const = 0;
};

// Best fit; neighbours that are free are joined. Blocks are kept for later requests, and given back when
// memory runs short and at the end.
class Arena final : public MemoryResource {
 public:
  static constexpr std::size_t kBlockBytes = std::size_t{32} << 20;
  // Blocks of `block_bytes`, a multiple of 256, or larger where one request needs it. 0: every piece is a
  // block of its own and goes back at once, so that tools see its ends and its life; slow.
  explicit Arena(std::unique_ptr<BlockSource> source, std::size_t block_bytes = kBlockBytes);
  ~Arena() override;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Blocks of which nothing is given out.
  void give_back_unused() noexcept;

  std::size_t block_count() const { return blocks_.size(); }

 protected:
  void* do_allocate(std::size_t bytes) override;
  void do_release(void* pointer, std::size_t bytes) noexcept override;
  std::size_t free_bytes() const override;
  std::string device_name() const override { return source_->device_name(); }

 private:
  struct Block {
    char* begin;
    std::size_t bytes;
  };
  using Pieces = std::map<char*, std::size_t>;  // by address: bytes

  bool add_block(std::size_t bytes);
  const Block& block_of(const char* pointer) const;

  std::unique_ptr<BlockSource> source_;
  std::size_t block_bytes_;
  std::vector<Block> blocks_;
  Pieces free_;
};

}  // namespace qmse
