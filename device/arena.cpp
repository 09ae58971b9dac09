#include "device/arena.h"

#include <algorithm>

namespace qmse {

Arena::Arena(std::unique_ptr<BlockSource> source, std::size_t block_bytes)
    : source_(std::move(source)), block_bytes_(block_bytes) {}

Arena::~Arena() {
  for (const Block& block : blocks_) source_->give_back(block.begin);
}

void* Arena::do_allocate(std::size_t bytes) {
  const auto best_fit = [&] {
    auto best = free_.end();
    for (auto piece = free_.begin(); piece != free_.end(); ++piece) {
      if (piece->second >= bytes && (best == free_.end() || piece->second < best->second)) best = piece;
    }
    return best;
  };
  auto piece = best_fit();
  if (piece == free_.end()) {
    if (!add_block(std::max(bytes, block_bytes_)) && !add_block(bytes)) {
      give_back_unused();
      if (!add_block(bytes)) return nullptr;
    }
    piece = best_fit();
  }
  char* const pointer = piece->first;
  const std::size_t left = piece->second - bytes;
  free_.erase(piece);
  if (left > 0) free_.emplace(pointer + bytes, left);
  return pointer;
}

void Arena::do_release(void* released, std::size_t bytes) noexcept {
  char* const pointer = static_cast<char*>(released);
  const Block& block = block_of(pointer);
  auto piece = free_.emplace(pointer, bytes).first;
  const auto next = std::next(piece);
  if (next != free_.end() && pointer + bytes == next->first && next->first < block.begin + block.bytes) {
    piece->second += next->second;
    free_.erase(next);
  }
  if (piece != free_.begin() && pointer > block.begin) {
    const auto before = std::prev(piece);
    if (before->first + before->second == pointer) {
      before->second += piece->second;
      free_.erase(piece);
    }
  }
  if (block_bytes_ == 0) give_back_unused();
}

std::size_t Arena::free_bytes() const {
  std::size_t bytes = source_->free_bytes();
  for (const auto& [pointer, size] : free_) bytes += size;
  return bytes;
}

bool Arena::add_block(std::size_t bytes) {
  void* const block = source_->take(bytes);
  if (block == nullptr) return false;
  blocks_.push_back({static_cast<char*>(block), bytes});
  free_.emplace(static_cast<char*>(block), bytes);
  return true;
}

void Arena::give_back_unused() noexcept {
  const auto unused = [&](const Block& block) {
    const auto piece = free_.find(block.begin);
    if (piece == free_.end() || piece->second != block.bytes) return false;
    free_.erase(piece);
    source_->give_back(block.begin);
    return true;
  };
  blocks_.erase(std::remove_if(blocks_.begin(), blocks_.end(), unused), blocks_.end());
}

const Arena::Block& Arena::block_of(const char* pointer) const {
  return *std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& block) {
    return pointer >= block.begin && pointer < block.begin + block.bytes;
  });
}

}  // namespace qmse
