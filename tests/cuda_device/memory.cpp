// Device memory: a part of the address space that nobody may touch except while device work runs. Every
// allocation has pages of its own between two that are never opened, and ends at the end of a page, so that
// the first byte beyond it (rounded up to the alignment of 256) faults; what is left of the pages is filled
// with guard bytes. Addresses are not used twice.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/gpu/simt/thread.h"
#include "tests/cuda_device/stand_in.h"

namespace qmse::cuda_device {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kAlignment = 256;
constexpr std::size_t kSpace = std::size_t{1} << 38;
constexpr unsigned char kGuard = 0xC7;
// Below lie numbers; under AddressSanitizer its shadow too, which is mapped as a whole.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::uintptr_t kLowestHost = 0x10007fff8000;
#else
constexpr std::uintptr_t kLowestHost = std::uintptr_t{1} << 22;
#endif

struct Allocation {
  char* pages;  // first of its pages; the one before and the one behind them stay closed
  std::size_t page_bytes;
  char* begin;
  std::size_t bytes;
  int device;
  bool live;
  bool open;
  Place made, freed;
};

struct Memory {
  char* space = nullptr;
  char* next = nullptr;
  std::vector<Allocation> all;  // in the order of their addresses
  std::array<std::size_t, 16> used{};
  struct sigaction before {};
};
Memory& memory() {
  static Memory* const only = [] {
    auto* made = new Memory;
    void* space = mmap(nullptr, kSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) {
      std::fprintf(stderr, "cuda stand-in: no address space: %s\n", std::strerror(errno));
      std::abort();
    }
    made->space = made->next = static_cast<char*>(space);
    return made;
  }();
  return *only;
}

std::size_t round_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

// The last allocation that begins at or before the address, with the closed page before it; null if none.
Allocation* near(const void* pointer) {
  Memory& m = memory();
  const char* address = static_cast<const char*>(pointer);
  const auto after = std::upper_bound(m.all.begin(), m.all.end(), address,
                                      [](const char* a, const Allocation& b) { return a < b.pages - kPage; });
  return after == m.all.begin() ? nullptr : &*std::prev(after);
}

void protect(Allocation& allocation, bool open) {
  mprotect(allocation.pages, allocation.page_bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
  allocation.open = open;
}

void fill_with_poison(char* to, std::size_t bytes) {  // a NaN as f32 and as f64
  for (std::size_t at = 0; at + 8 <= bytes; at += 8) std::memcpy(to + at, &simt::poison, 8);
  for (std::size_t at = bytes / 8 * 8; at < bytes; ++at) to[at] = static_cast<char>(0xF7);
}

void check_guards(const Allocation& a) {
  const auto damaged = [&](const char* from, const char* to) {
    for (const char* at = from; at < to; ++at) {
      if (static_cast<unsigned char>(*at) != kGuard) return at;
    }
    return static_cast<const char*>(nullptr);
  };
  const char* at = damaged(a.pages, a.begin);
  if (at == nullptr) at = damaged(a.begin + a.bytes, a.pages + a.page_bytes);
  if (at == nullptr) return;
  report("device work wrote outside of its memory: " + describe(at) + ", which was allocated", a.made);
}

void on_signal(int number, siginfo_t* info, void* context) {
  const void* const address = info->si_addr;
  Memory& m = memory();
  const char* const where = static_cast<const char*>(address);
  if (where < m.space || where >= m.space + kSpace) {
    if (running != nullptr) {
      report("device work (" + running->what + ") touches memory that is not the device's; queued",
             running->place);
      _exit(kReported);
    }
    sigaction(number, &m.before, nullptr);  // not ours: happens again under the program's own handler
    return;
  }
  static_cast<void>(context);
  if (running != nullptr) {
    report("device work (" + running->what + ") touches " + describe(address) + "; queued", running->place);
  } else {
    report("host code touches device memory: " + describe(address));
  }
  _exit(kReported);
}

}  // namespace

void install_signal_handler() {
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &memory().before);
  sigaction(SIGBUS, &action, nullptr);
}

cudaError_t allocate(int device, std::size_t bytes, void** pointer) {
  Memory& m = memory();
  const DeviceSettings& settings_here = settings().devices[static_cast<std::size_t>(device)];
  std::size_t& used = m.used[static_cast<std::size_t>(device)];
  const std::size_t rounded = round_up(bytes, kAlignment);
  if (rounded < bytes || rounded > settings_here.free_bytes || used > settings_here.free_bytes - rounded) {
    return cudaErrorMemoryAllocation;
  }
  const std::size_t page_bytes = round_up(rounded, kPage);
  if (page_bytes + 2 * kPage > static_cast<std::size_t>(m.space + kSpace - m.next))
    return cudaErrorMemoryAllocation;
  Allocation made{m.next + kPage, page_bytes, nullptr, bytes, device, true, false, here(), {}};
  made.begin = made.pages + page_bytes - rounded;
  m.next = made.pages + page_bytes;
  protect(made, true);
  std::memset(made.pages, kGuard, static_cast<std::size_t>(made.begin - made.pages));
  fill_with_poison(made.begin, bytes);
  std::memset(made.begin + bytes, kGuard,
              static_cast<std::size_t>(made.pages + page_bytes - made.begin) - bytes);
  protect(made, false);
  used += rounded;
  m.all.push_back(made);
  born(made.begin, "device allocation");
  *pointer = made.begin;
  return cudaSuccess;
}

cudaError_t release(void* pointer) {
  Allocation* const found = near(pointer);
  if (found == nullptr || !found->live || found->begin != pointer) {
    report("cudaFree of what is no allocation: " + describe(pointer));
    return cudaErrorInvalidValue;
  }
  protect(*found, true);
  check_guards(*found);
  madvise(found->pages, found->page_bytes, MADV_DONTNEED);
  protect(*found, false);
  found->live = false;
  found->freed = here();
  memory().used[static_cast<std::size_t>(found->device)] -= round_up(found->bytes, kAlignment);
  died(found->begin, "device allocation");
  return cudaSuccess;
}

bool is_device_memory(const void* pointer) {
  const char* at = static_cast<const char*>(pointer);
  return at >= memory().space && at < memory().space + kSpace;
}

bool is_host_memory(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (address < kLowestHost || address >= (std::uintptr_t{1} << 47) || is_device_memory(pointer)) {
    return false;
  }
  unsigned char resident = 0;
  return mincore(reinterpret_cast<void*>(address / kPage * kPage), 1, &resident) == 0;
}

std::string describe(const void* pointer) {
  if (pointer == nullptr) return "a null pointer";
  if (!is_device_memory(pointer))
    return is_host_memory(pointer) ? "host memory" : "an address that nobody has";
  const Allocation* const found = near(pointer);
  if (found == nullptr) return "device memory that was never given out";
  const auto offset = static_cast<const char*>(pointer) - found->begin;
  const std::string place = std::to_string(offset) + " of the " + std::to_string(found->bytes) +
                            " bytes of device " + std::to_string(found->device) + " that were allocated at " +
                            text(found->made);
  if (!found->live) return "freed device memory, byte " + place + " and freed at " + text(found->freed);
  if (offset < 0 || static_cast<std::size_t>(offset) >= found->bytes)
    return "device memory outside, byte " + place;
  return "device memory, byte " + place;
}

std::string fault_of(const Range& range, int device) {
  if (!is_device_memory(range.begin)) return std::string(range.name) + " is " + describe(range.begin);
  const Allocation* const found = near(range.begin);
  const char* begin = static_cast<const char*>(range.begin);
  if (found == nullptr || !found->live || begin < found->begin || begin > found->begin + found->bytes) {
    return std::string(range.name) + " is " + describe(begin);
  }
  if (range.bytes > static_cast<std::size_t>(found->begin + found->bytes - begin)) {
    return std::string(range.name) + " needs " + std::to_string(range.bytes) + " bytes and is " +
           describe(begin);
  }
  if (found->device != device) {
    return std::string(range.name) + " is another device's: " + describe(begin) + ", used on device " +
           std::to_string(device);
  }
  return "";
}

std::size_t used_bytes(int device) { return memory().used[static_cast<std::size_t>(device)]; }

void OpenMemory::open(const void* pointer) {
  Allocation* const found = near(pointer);
  if (found == nullptr || found->open || !found->live) return;
  protect(*found, true);
  opened_.push_back(static_cast<std::size_t>(found - memory().all.data()));
}

OpenMemory::~OpenMemory() {
  for (const std::size_t index : opened_) {
    Allocation& allocation = memory().all[index];
    if (!allocation.live) continue;
    check_guards(allocation);
    // One report for each damage.
    std::memset(allocation.pages, kGuard, static_cast<std::size_t>(allocation.begin - allocation.pages));
    char* const end = allocation.begin + allocation.bytes;
    std::memset(end, kGuard, static_cast<std::size_t>(allocation.pages + allocation.page_bytes - end));
    protect(allocation, false);
  }
}

}  // namespace qmse::cuda_device
