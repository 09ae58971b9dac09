// What tests set up and ask of the stand-in for CUDA (README.md). Nothing here is known to the program
// under test.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace qmse::cuda_device {

struct DeviceSettings {
  std::string name = "Stand-in";
  int major = 9, minor = 0;
  std::size_t total_bytes = std::size_t{8} << 30;
  std::size_t free_bytes = std::size_t{8} << 30;  // what other processes leave
  bool prohibited = false;                        // closed to computing
  bool busy = false;                              // another process has it in exclusive mode
};

// What the n-th call of can be made to fail, counted from 1; 0: none.
enum class Fault { allocation, launch, copy, synchronization, instantiation, plan };
inline constexpr std::size_t kFaults = 6;

struct Settings {
  std::vector<DeviceSettings> devices{DeviceSettings{}};
  int driver_version = 13000;  // 0: no driver is installed
  // 0: nothing queued runs before it must, threads of a block run in order. Others: some of it runs at a
  // random earlier moment, candidates come in another order, others are refused late.
  std::uint64_t seed = 0;
  std::array<std::int64_t, kFaults> faults{};
  // Of cuBLASLt's algorithms those whose ReLU epilogues write 0 for a NaN, as they do in some releases.
  enum class DropsNan { none, all_but_one, all } relu_drops_nan = DropsNan::none;
  bool no_bias_gradient = false;  // cuBLASLt has no algorithm with a bias gradient in its epilogue
};

// From the environment variable QMSE_CUDA_STAND_IN, for example
//   seed=3 device=free:2048,cc:9.0 device=free:4096,busy fault=allocation:3 driver=12000 relu_drops_nan=all
// (sizes in MiB; the first `device` replaces the one there is without). Tests change it before the
// first call.
Settings& settings();

// What the stand-in reported so far: every breach of a rule, in words, with the place of the call.
std::vector<std::string> reports();

// Makes everything that is queued run, as the device may at any time.
void run_everything();

// What the pieces of the graph that was instantiated last do, in order, for example "kernel fill_kernel".
std::vector<std::string> last_graph();

// How many objects of a kind were made so far ("stream", "cuDNN handle", ...), and how many calls there were
// of those that can be made to fail.
std::int64_t made(const std::string& kind);
std::int64_t calls(Fault fault);

// Contexts made so far: the devices on which a call had to set CUDA up.
int contexts_made();

// What the end of the program does: reports what is left. Returns the exit status: 0, or kReported.
int finish();
inline constexpr int kReported = 86;

}  // namespace qmse::cuda_device
