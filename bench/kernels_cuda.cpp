// Times every handwritten CUDA kernel through its public interface, as a share of what a device-to-device
// copy moves on the same GPU in the same run. JSON out, one object a case.
//
// Cases that move more bytes than a quarter of the L2 cache are timed cold: each launch between two events,
// behind a kernel that reads twice the cache's size from elsewhere (which also hides the launch). Smaller
// ones are timed as a training step meets them, warm: a CUDA graph of kGraphLaunches launches, divided by
// their number.
#include <cuda_runtime_api.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "bench/kernels/cases.h"
#include "device/cuda_graph.h"
#include "device/devices.h"
#include "device/handle.h"
#include "kernels/reduce/reduce.h"

namespace {

using namespace qmse;
using bench::Arrays;
using bench::KernelCase;
using bench::Work;

constexpr int kGraphLaunches = 32;
constexpr int kWarmUps = 3;
constexpr std::int64_t kCopyBytes = std::int64_t{1} << 30;  // copied; twice as many are moved

using Event = Handle<cudaEvent_t, cudaEventCreateWithFlags, cudaEventDestroy>;

struct Timing {
  double median, min, max;  // seconds
  int n;
};

// Reads twice the L2 cache's size, so that nothing of the operation's data is left there, nor anything that
// still has to be written back.
class CacheFlush {
 public:
  CacheFlush(CudaContext& context, std::int64_t cache_bytes)
      : context_(&context), arrays_(context), count_(2 * cache_bytes / 4) {
    data_ = arrays_.zeros<float>(count_);
    index_ = arrays_.zeros<std::int64_t>(1);
  }
  void run() { first_non_finite(*context_, count_, data_, index_); }

 private:
  CudaContext* context_;
  Arrays arrays_;
  std::int64_t count_;
  float* data_;
  std::int64_t* index_;
};

// `before` is queued ahead of each timed `work` and not timed.
Timing time(CudaContext& context, int repetitions, const Work& before, const Work& work) {
  const Event begin(cudaEventDefault);
  const Event end(cudaEventDefault);
  std::vector<double> seconds;
  for (int i = -kWarmUps; i < repetitions; ++i) {
    before();
    QMSE_CUDA_CHECK(cudaEventRecord(begin.get(), context.stream()));
    work();
    QMSE_CUDA_CHECK(cudaEventRecord(end.get(), context.stream()));
    QMSE_CUDA_CHECK(cudaEventSynchronize(end.get()));
    float milliseconds = 0;
    QMSE_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()));
    if (i >= 0) seconds.push_back(static_cast<double>(milliseconds) * 1e-3);
  }
  std::sort(seconds.begin(), seconds.end());
  const std::size_t middle = seconds.size() / 2;
  const double median =
      seconds.size() % 2 == 1 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
  return {median, seconds.front(), seconds.back(), repetitions};
}

nlohmann::json to_json(const Timing& timing) {
  return {{"median_s", timing.median}, {"min_s", timing.min}, {"max_s", timing.max}, {"n", timing.n}};
}

Timing time_copy(CudaContext& context, int repetitions) {
  Arrays arrays(context);
  void* from = arrays.zeros<char>(kCopyBytes);
  void* to = arrays.zeros<char>(kCopyBytes);
  return time(
      context, repetitions, [] {}, [&] { device_to_device(context, to, from, kCopyBytes); });
}

double copy_bandwidth(const Timing& copy) { return 2.0 * static_cast<double>(kCopyBytes) / copy.median; }

nlohmann::json measure(CudaContext& context, const KernelCase& kernel_case, std::int64_t cache_bytes,
                       CacheFlush& flush, int repetitions, double bandwidth) {
  Arrays arrays(context);
  const Work work = kernel_case.make(context, arrays);
  const bool cold = kernel_case.bytes > cache_bytes / 4;
  Timing timing{};
  if (cold) {
    timing = time(
        context, repetitions, [&] { flush.run(); }, work);
  } else {
    work();  // the kernel must be loaded before it is captured
    CudaGraph graph(context, [&] {
      for (int i = 0; i < kGraphLaunches; ++i) work();
    });
    timing = time(
        context, repetitions, [] {}, [&] { graph.launch(); });
    timing.median /= kGraphLaunches;
    timing.min /= kGraphLaunches;
    timing.max /= kGraphLaunches;
  }
  const double rate = static_cast<double>(kernel_case.bytes) / timing.median;
  nlohmann::json result = to_json(timing);
  result.update({{"operation", kernel_case.operation},
                 {"shape", kernel_case.shape},
                 {"bytes", kernel_case.bytes},
                 {"bytes_formula", kernel_case.formula},
                 {"l2", cold ? "cold" : "warm"},
                 {"bytes_per_second", rate},
                 {"share_of_copy", rate / bandwidth}});
  return result;
}

struct Arguments {
  std::string json, only;
  int device = -1;
  int repetitions = 30;
};

void run(const Arguments& arguments) {
  const int index =
      choose_cuda_device(arguments.device < 0 ? std::nullopt : std::optional<int>(arguments.device));
  CudaContext context(CudaOptions{.device = index});
  int cache_bytes = 0;
  QMSE_CUDA_CHECK(cudaDeviceGetAttribute(&cache_bytes, cudaDevAttrL2CacheSize, index));
  CacheFlush flush(context, cache_bytes);

  // The first copies also bring the clocks up.
  time_copy(context, 4 * arguments.repetitions);
  const Timing copy = time_copy(context, arguments.repetitions);
  const double bandwidth = copy_bandwidth(copy);
  nlohmann::json cases = nlohmann::json::array();
  for (const auto& list :
       {bench::network_cases(), bench::conv_cases(), bench::loss_cases(), bench::other_cases()}) {
    for (const KernelCase& kernel_case : list) {
      if (kernel_case.operation.find(arguments.only) == std::string::npos) continue;
      cases.push_back(measure(context, kernel_case, cache_bytes, flush, arguments.repetitions, bandwidth));
      const nlohmann::json& last = cases.back();
      std::cerr << kernel_case.operation << " " << kernel_case.shape << ": "
                << last["median_s"].get<double>() * 1e6 << " us, " << last["l2"].get<std::string>() << ", "
                << 100 * last["share_of_copy"].get<double>() << " % of the copy\n";
    }
  }
  const Timing copy_after = time_copy(context, arguments.repetitions);
  nlohmann::json copy_record = to_json(copy);
  copy_record["bytes"] = 2 * kCopyBytes;
  copy_record["bytes_per_second"] = bandwidth;
  copy_record["bytes_per_second_after"] = copy_bandwidth(copy_after);
  const nlohmann::json record = {{"device", context.device_name()},
                                 {"l2_bytes", cache_bytes},
                                 {"graph_launches", kGraphLaunches},
                                 {"copy", copy_record},
                                 {"cases", cases}};
  if (arguments.json.empty()) {
    std::cout << record.dump(1) << '\n';
    return;
  }
  write_file_atomically(arguments.json, record.dump(1) + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times every CUDA kernel against a device-to-device copy.");
  Arguments arguments;
  app.add_option("--json", arguments.json, "write the results to this file, not to standard output");
  app.add_option("--only", arguments.only, "only operations whose name contains this");
  app.add_option("--device", arguments.device, "index of the GPU; the one with most free memory if not given")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--repetitions", arguments.repetitions, "timings a case; the median counts")
      ->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  try {
    run(arguments);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "kernels: " << error.what() << '\n';
    return 1;
  }
}
