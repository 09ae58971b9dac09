// Named allocations with accounting: one small interface for host and device memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace qmse {

// Gives out memory of one device. Not thread-safe: allocations happen while a
// step is built, never while it runs.
class MemoryResource {
 public:
  virtual ~MemoryResource() = default;

  // At least `bytes` bytes aligned to 256, contents undefined. Throws OutOfMemory naming `name`, the request,
  // what is in use and what is free.
  void* allocate(std::size_t bytes, const std::string& name);
  void release(void* pointer, std::size_t bytes) noexcept;

  // What could still be taken: what the device has left, within the limit. A single request can get less.
  std::size_t available_bytes() const;

  std::size_t live_bytes() const { return live_bytes_; }
  std::int64_t allocation_count() const {
    return allocation_count_;
  }  // since creation; tests watch it stand still

  // While a number of seals is on, every request is an Error: nothing may be allocated in what is going on.
  void add_seal(const char* why) {
    sealed_for_ = why;
    ++seals_;
  }
  void remove_seal() noexcept { --seals_; }

  // Refuses requests that would take live_bytes() over `bytes`; 0 (the default) lifts the limit.
  void set_limit(std::size_t bytes) { limit_bytes_ = bytes; }

 protected:
  virtual void* do_allocate(std::size_t bytes) = 0;  // nullptr when there is no more
  virtual void do_release(void* pointer, std::size_t bytes) noexcept = 0;
  virtual std::size_t free_bytes() const = 0;  // what the device has left
  virtual std::string device_name() const = 0;

 private:
  std::size_t live_bytes_ = 0;
  std::size_t limit_bytes_ = 0;
  std::int64_t allocation_count_ = 0;
  const char* sealed_for_ = "";
  int seals_ = 0;
};

// Seals a resource for as long as it lives. `why` completes "... is asked for while ".
class MemorySeal {
 public:
  MemorySeal(MemoryResource& resource, const char* why) : resource_(resource) { resource_.add_seal(why); }
  ~MemorySeal() { resource_.remove_seal(); }
  MemorySeal(const MemorySeal&) = delete;
  MemorySeal& operator=(const MemorySeal&) = delete;

 private:
  MemoryResource& resource_;
};

// Owns one named allocation. An empty buffer owns nothing. Must not outlive its resource.
class Buffer {
 public:
  Buffer() = default;
  Buffer(MemoryResource& resource, std::size_t bytes, const std::string& name);
  ~Buffer() { reset(); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer moved(std::move(other));
    swap(moved);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  void reset() noexcept;
  void swap(Buffer& other) noexcept {
    std::swap(resource_, other.resource_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

 private:
  MemoryResource* resource_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace qmse
