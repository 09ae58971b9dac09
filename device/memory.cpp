#include "device/memory.h"

#include <stdexcept>

#include "base/error.h"

namespace qmse {
namespace {

constexpr std::size_t kAlignment = 256;

// What an allocation really takes: sizes are rounded up so that the next one is aligned too.
std::size_t taken_bytes(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::string in_words(std::size_t bytes) {
  if (bytes < 10 * 1024) return std::to_string(bytes) + " bytes";
  if (bytes < std::size_t{10} << 20) return std::to_string(bytes >> 10) + " KiB";
  return std::to_string(bytes >> 20) + " MiB";
}

}  // namespace

void* MemoryResource::allocate(std::size_t bytes, const std::string& name) {
  if (bytes == 0) return nullptr;
  if (seals_ > 0) {
    throw std::logic_error(name + " (" + in_words(bytes) + " on " + device_name() + ") is asked for while " +
                           sealed_for_);
  }
  const std::size_t taken = taken_bytes(bytes);
  const bool overflows = taken < bytes;
  const bool over_limit =
      limit_bytes_ != 0 && (live_bytes_ > limit_bytes_ || taken > limit_bytes_ - live_bytes_);
  void* pointer = overflows || over_limit ? nullptr : do_allocate(taken);
  if (pointer == nullptr) {
    throw OutOfMemory("out of memory on " + device_name() + ": " + name + " needs " + in_words(bytes) + "; " +
                      in_words(live_bytes_) + " are in use here, " + in_words(free_bytes()) +
                      " are free on the device" +
                      (over_limit ? ", and the limit is " + in_words(limit_bytes_) : "") +
                      "; make the batch or the model smaller");
  }
  live_bytes_ += taken;
  ++allocation_count_;
  return pointer;
}

std::size_t MemoryResource::available_bytes() const {
  const std::size_t free = free_bytes();
  return limit_bytes_ == 0 ? free : std::min(free, limit_bytes_ - std::min(limit_bytes_, live_bytes_));
}

void MemoryResource::release(void* pointer, std::size_t bytes) noexcept {
  if (pointer == nullptr) return;
  const std::size_t taken = taken_bytes(bytes);
  do_release(pointer, taken);
  live_bytes_ -= taken;
}

Buffer::Buffer(MemoryResource& resource, std::size_t bytes, const std::string& name)
    : resource_(&resource), data_(resource.allocate(bytes, name)), bytes_(bytes) {}

void Buffer::reset() noexcept {
  if (data_ != nullptr) resource_->release(data_, bytes_);
  resource_ = nullptr;
  data_ = nullptr;
  bytes_ = 0;
}

}  // namespace qmse
