// Inside of the stand-in for CUDA (README.md): what its parts share.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/cuda_device/control.h"

namespace qmse::cuda_device {

// One call at a time, device work included: the executor of kernels is one thread.
std::unique_lock<std::recursive_mutex> locked();

// ---- places and reports (report.cpp)

// Where the program called.
struct Place {
  std::array<void*, 24> frames{};
  int count = 0;
};
Place here();
std::string text(const Place& place);

// A breach of a rule: printed at once, and the program's exit status is kReported. Also used by the
// signal handler.
void report(const std::string& what, const Place& place = here());
// Explains a status that the call returns; not an error of its own.
void note(const std::string& what, const Place& place = here());

std::uint64_t mix(std::uint64_t seed, std::uint64_t value);  // a random number for the pair
std::uint64_t random_below(std::uint64_t bound);             // the next of the seed's sequence

// Whether this call is the one that is to fail.
bool fails(Fault fault);

// Objects of the libraries that are alive, with the place of their making: a leak is one that is left.
void born(const void* object, const char* kind);
bool alive(const void* object, const char* kind);
bool died(const void* object, const char* kind);  // false, after a report, where there is none

// ---- memory (memory.cpp)

struct Range {
  const void* begin;
  std::size_t bytes;  // 0: all that follows; what a kernel uses of it is not known
  const char* name;
};

cudaError_t allocate(int device, std::size_t bytes, void** pointer);
cudaError_t release(void* pointer);
bool is_device_memory(const void* pointer);  // now or formerly
bool is_host_memory(const void* pointer);    // mapped, and not the device's
// Empty where the range is the device's and alive; else what is wrong with it.
std::string fault_of(const Range& range, int device);
std::string describe(const void* pointer);
std::size_t used_bytes(int device);

// Opens memory for device work; closes it at the end, after a look at the guard bytes.
class OpenMemory {
 public:
  OpenMemory() = default;
  ~OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
  void open(const void* pointer);

 private:
  std::vector<std::size_t> opened_;
};

void install_signal_handler();

// ---- devices and streams (stream.cpp)

inline constexpr const char* kCopyToHost = "copy to the host";

// The one piece of work: what it is for messages, what it uses, what it does.
struct Operation {
  std::string what;
  Place place;
  std::vector<Range> uses;
  std::function<void()> run;
  struct Launch {
    const void* function;
    dim3 grid, block;
    std::size_t shared_bytes;
  };
  std::optional<Launch> launch = {};  // where it is a kernel of the program's own
};
extern thread_local const Operation* running;  // by this thread for the device, or null
extern std::int64_t work_done;                 // pieces so far, this one included: the stand-in's time

int current_device();
bool set_current_device(int device);   // of this thread
cudaError_t make_context(int device);  // where there is none yet: cudaSuccess, or why there cannot be one
cudaError_t sticky_error(int device);  // what an earlier failure of device work left
void fail_device(int device, cudaError_t status);

bool valid(cudaStream_t stream, const char* call);  // reports
int device_of(cudaStream_t stream);
bool capturing(cudaStream_t stream);
// Queues, or records during capture.
cudaError_t enqueue(cudaStream_t stream, Operation operation);
void drain(cudaStream_t stream);
void drain_device(int device);
// A call that a capture by this thread does not allow: the capture is void. Returns whether there is one.
bool breaks_capture(const char* call);
// The first time for this device.
bool first_use(int device, const std::string& what);
void report_pending_streams_at_exit();

cudaError_t remember(cudaError_t status);  // for cudaGetLastError

}  // namespace qmse::cuda_device
