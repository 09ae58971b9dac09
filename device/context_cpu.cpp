#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "base/error.h"
#include "device/context.h"

namespace qmse {
namespace {

// Bytes the machine can give without swapping: Linux's own estimate, or the unused pages where there is none.
std::size_t available_host_bytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string line;
  const std::string key = "MemAvailable:";
  while (std::getline(meminfo, line)) {
    if (line.compare(0, key.size(), key) == 0) {
      return static_cast<std::size_t>(std::strtoull(line.c_str() + key.size(), nullptr, 10)) * 1024;
    }
  }
  return static_cast<std::size_t>(sysconf(_SC_AVPHYS_PAGES)) *
         static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

class HostMemory final : public MemoryResource {
 protected:
  void* do_allocate(std::size_t bytes) override {
    // Linux promises more memory than there is and kills whoever touches too much of it, so a large request
    // is compared with what there is.
    constexpr std::size_t kLarge = std::size_t{64} << 20;
    if (bytes >= kLarge && bytes > free_bytes()) return nullptr;
    return std::aligned_alloc(256, bytes);
  }
  void do_release(void* pointer, std::size_t) noexcept override { std::free(pointer); }
  std::size_t free_bytes() const override { return available_host_bytes(); }
  std::string device_name() const override { return "cpu"; }
};

}  // namespace

CpuContext::CpuContext(int threads, InstructionSet set)
    : threads_(threads), instruction_set_(set), memory_(std::make_unique<HostMemory>()) {
  if (!available(set)) throw Error(name(set) + ": not on this processor, or not in this build");
}
CpuContext::~CpuContext() = default;

void host_to_device(CpuContext& context, void* device, const void* host, std::size_t bytes) {
  device_to_device(context, device, host, bytes);
}

void device_to_host(CpuContext& context, void* host, const void* device, std::size_t bytes) {
  device_to_device(context, host, device, bytes);
}

void device_to_device(CpuContext&, void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void fill_zero(CpuContext&, void* device, std::size_t bytes) {
  if (bytes > 0) std::memset(device, 0, bytes);
}

void synchronize(CpuContext&) {}

}  // namespace qmse
