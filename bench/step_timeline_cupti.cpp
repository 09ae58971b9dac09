// Kernel by kernel, one captured training step: which kernels run, in which order, for how long, and how
// long the GPU waits before it. Through CUPTI's activity records; JSON out.
//
// Recording adds to what lies between kernels, so the sum of the kernels' times is measured here and the time
// of a step by bench_training_step.
#include <cupti.h>
#include <cxxabi.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/parse_choice.h"
#include "bench/synthetic_images.h"
#include "data/resident_dataset.h"
#include "engine/training_loop.h"
#include "experiment/run/setup.h"
#include "losses/mse.h"
#include "losses/qmse.h"
#include "models/simple_cnn.h"
#include "optim/optimizers.h"

namespace {

using namespace qmse;

#if CUDA_VERSION >= 13000
using CuptiKernel = CUpti_ActivityKernel10;
#else
using CuptiKernel = CUpti_ActivityKernel9;
#endif

constexpr std::int64_t kRecordedGraphs = 8;  // of StepGraph::kRepetitions steps each

struct KernelRun {
  std::string name;
  std::array<std::int32_t, 3> grid, block;
  std::int64_t registers, shared_bytes;
  std::uint64_t begin, end;  // ns
};

void require(CUptiResult status, const char* call) {
  if (status == CUPTI_SUCCESS) return;
  const char* text = nullptr;
  cuptiGetResultString(status, &text);
  throw CudaError(std::string(call) + ": " + (text != nullptr ? text : "unknown CUPTI error"));
}

std::string demangled(const char* name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string result = status == 0 ? text : name;
  std::free(text);
  return result;
}

// CUPTI calls back without an argument of ours, on a thread of its own.
std::mutex runs_mutex;
std::vector<KernelRun> runs;

void CUPTIAPI request_buffer(std::uint8_t** buffer, std::size_t* size, std::size_t* most_records) {
  *size = std::size_t{1} << 20;
  *most_records = 0;  // as many as fit
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(8, *size));
}

void CUPTIAPI take_buffer(CUcontext, std::uint32_t, std::uint8_t* buffer, std::size_t, std::size_t valid) {
  const std::lock_guard lock(runs_mutex);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    if (record->kind != CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) continue;
    const auto& k = *reinterpret_cast<const CuptiKernel*>(record);
    runs.push_back({demangled(k.name),
                    {k.gridX, k.gridY, k.gridZ},
                    {k.blockX, k.blockY, k.blockZ},
                    k.registersPerThread,
                    std::int64_t{k.staticSharedMemory} + k.dynamicSharedMemory,
                    k.start,
                    k.end});
  }
  std::free(buffer);
}

// Of the kernels that ended since it was called last, in the order in which they began.
std::vector<KernelRun> recorded() {
  require(cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), "cuptiActivityFlushAll");
  const std::lock_guard lock(runs_mutex);
  std::vector<KernelRun> result = std::move(runs);
  runs.clear();
  std::sort(result.begin(), result.end(),
            [](const KernelRun& a, const KernelRun& b) { return a.begin < b.begin; });
  return result;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The medians, over the recorded steps, of each kernel of a step.
nlohmann::json summarize(const std::vector<KernelRun>& all, std::size_t steps) {
  if (all.empty() || all.size() % steps != 0) {
    throw CudaError(std::to_string(all.size()) + " kernels were recorded in " + std::to_string(steps) +
                    " steps");
  }
  const std::size_t per_step = all.size() / steps;
  nlohmann::json kernels = nlohmann::json::array();
  double busy = 0;
  for (std::size_t place = 0; place < per_step; ++place) {
    const KernelRun& first = all[place];
    std::vector<double> seconds, waits;
    for (std::size_t i = place; i < all.size(); i += per_step) {
      if (all[i].name != first.name) throw CudaError("the recorded steps are not the same kernels");
      seconds.push_back(static_cast<double>(all[i].end - all[i].begin) * 1e-9);
      if (i > 0)
        waits.push_back((static_cast<double>(all[i].begin) - static_cast<double>(all[i - 1].end)) * 1e-9);
    }
    const double typical = median(seconds);
    busy += typical;
    kernels.push_back({{"name", first.name},
                       {"grid", first.grid},
                       {"block", first.block},
                       {"registers", first.registers},
                       {"shared_bytes", first.shared_bytes},
                       {"seconds", typical},
                       {"min_seconds", *std::min_element(seconds.begin(), seconds.end())},
                       {"max_seconds", *std::max_element(seconds.begin(), seconds.end())},
                       {"wait_seconds", median(waits)}});
  }
  return {{"steps", steps}, {"busy_seconds", busy}, {"kernels", std::move(kernels)}};
}

struct Arguments {
  TrainConfig config;
  std::string math = "fp32", shape = "mnist", loss = "qmse", json;
  std::int64_t batch = 64;
};

nlohmann::json measure(const Arguments& arguments) {
  // Before the context is made: graphs are recorded node by node only if they were captured while CUPTI
  // listened.
  require(cuptiActivityRegisterCallbacks(request_buffer, take_buffer), "cuptiActivityRegisterCallbacks");
  require(cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL), "cuptiActivityEnable");
  const std::unique_ptr<Context> context = make_context(arguments.config);
  const std::int64_t graph_steps = StepGraph::kRepetitions;
  // One step queued piece by piece and one graph, so that everything is loaded, then those that are recorded.
  const std::int64_t before = 1 + graph_steps, steps = kRecordedGraphs * graph_steps;
  const ImageDataset dataset = bench::synthetic_images(arguments.shape, (before + steps) * arguments.batch);
  const ResidentDataset<float> resident(*context, dataset,
                                        make_normalization(NormalizationKind::unit, dataset));
  const Sequential model =
      make_simple_cnn({dataset.channels, dataset.height, dataset.width}, dataset.classes());
  ParameterStore store(*context, DType::f32, model.parameters());
  store.initialize(Initialization::pytorch, 1);
  const MseLoss mse;
  const QmseLoss qmse;
  Sgd sgd(store, {.momentum = 0.9});
  TrainingLoop<float> loop(
      *context, [&](Tape& tape, Value input) { return model.record(tape, store, input); }, resident.view(),
      arguments.loss == "mse" ? static_cast<const Loss&>(mse) : qmse, sgd, arguments.batch);
  std::vector<std::uint32_t> order(static_cast<std::size_t>(dataset.count));
  std::iota(order.begin(), order.end(), 0U);
  loop.begin_epoch(order, std::vector<double>(static_cast<std::size_t>(loop.steps_per_epoch()), 0.01), 0);
  loop.step(before);
  synchronize(*context);
  recorded();
  loop.step(steps);
  synchronize(*context);
  nlohmann::json result = summarize(recorded(), static_cast<std::size_t>(steps));
  result.update({{"shape", arguments.shape},
                 {"loss", arguments.loss},
                 {"batch", arguments.batch},
                 {"math", name(arguments.config.math)},
                 {"choices", nlohmann::json::array()}});
  for (const auto& choice : loop.choices()) result["choices"].push_back({choice.node, choice.algorithm});
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Records the kernels of a captured training step.");
  Arguments arguments;
  arguments.config.device = "cuda";
  app.add_option("--device", arguments.config.device, "cuda or cuda:N");
  app.add_option("--math", arguments.math, "fp32 or tf32")->check(CLI::IsMember({"fp32", "tf32"}));
  app.add_option("--shape", arguments.shape, "data shape")
      ->check(CLI::IsMember({"mnist", "cifar10", "cifar100"}));
  app.add_option("--loss", arguments.loss, "loss")->check(CLI::IsMember({"mse", "qmse"}));
  app.add_option("--batch", arguments.batch, "batch size")->check(CLI::PositiveNumber);
  app.add_option("--json", arguments.json, "write the result to this file instead of printing it");
  CLI11_PARSE(app, argc, argv);
  try {
    arguments.config.math = parse_choice<MathMode>(arguments.math, "arithmetic");
    const std::string text = measure(arguments).dump(1) + "\n";
    if (arguments.json.empty()) {
      std::cout << text;
    } else {
      write_file_atomically(arguments.json, text);
    }
  } catch (const std::exception& error) {
    std::cerr << "step_timeline: " << error.what() << '\n';
    return 1;
  }
}
