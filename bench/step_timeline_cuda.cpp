// Kernel by kernel, one captured training step: which kernels run, in which order, for how long, and, by
// CUPTI, how long the GPU waits before it. JSON out.
//
// Recording adds to what lies between kernels, so the sum of the kernels' times is measured here and the time
// of a step by bench_training_step.
#include <cxxabi.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/parse_choice.h"
#include "bench/step_timeline/timeline.h"
#include "bench/synthetic_images.h"
#include "data/resident_dataset.h"
#include "engine/training_loop.h"
#include "experiment/run/setup.h"
#include "losses/qmse.h"
#include "losses/residual_loss.h"
#include "models/simple_cnn.h"
#include "optim/optimizers.h"

namespace {

using namespace qmse;

constexpr std::int64_t kRecordedGraphs = 8;  // of StepGraph::kRepetitions steps each

std::string demangled(const std::string& name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string result = status == 0 ? text : name;
  std::free(text);
  return result;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The medians, over the recorded steps, of each piece of a step.
nlohmann::json summarize(const bench::StepPieces& pieces) {
  nlohmann::json kernels = nlohmann::json::array();
  double busy = 0;
  for (const bench::StepPiece& piece : pieces) {
    const double typical = median(piece.seconds);
    busy += typical;
    kernels.push_back({{"name", demangled(piece.name)},
                       {"grid", piece.grid},
                       {"block", piece.block},
                       {"registers", piece.registers},
                       {"shared_bytes", piece.shared_bytes},
                       {"seconds", typical},
                       {"min_seconds", *std::min_element(piece.seconds.begin(), piece.seconds.end())},
                       {"max_seconds", *std::max_element(piece.seconds.begin(), piece.seconds.end())}});
    if (!piece.waits.empty()) kernels.back()["wait_seconds"] = median(piece.waits);
  }
  return {{"steps", pieces.front().seconds.size()}, {"busy_seconds", busy}, {"kernels", std::move(kernels)}};
}

struct Arguments {
  TrainConfig config;
  std::string math = "fp32", shape = "mnist", loss = "qmse", json;
  std::string by = bench::has_cupti() ? "cupti" : "events";
  std::int64_t batch = 64;
};

nlohmann::json measure(const Arguments& arguments) {
  const bool cupti = arguments.by == "cupti";
  if (cupti) bench::start_cupti();
  CudaOptions options = cuda_options(arguments.config);
  options.branches = false;  // one kernel after the other: what each takes by itself
  const auto context = std::make_unique<Context>(std::make_unique<CudaContext>(options));
  const std::int64_t graph_steps = StepGraph::kRepetitions;
  // One step queued piece by piece and one graph, so that everything is loaded, then those that are recorded
  // (by events after one that is not).
  const std::int64_t before = 1 + graph_steps, steps = kRecordedGraphs * graph_steps;
  const ImageDataset dataset =
      bench::synthetic_images(arguments.shape, (before + 1 + steps) * arguments.batch);
  const ResidentDataset<float> resident(*context, dataset,
                                        make_normalization(NormalizationKind::unit, dataset));
  const Sequential model =
      make_simple_cnn({dataset.channels, dataset.height, dataset.width}, dataset.classes());
  ParameterStore store(*context, DType::f32, model.parameters());
  store.initialize(Initialization::pytorch, 1);
  const MseLoss mse;
  const QmseLoss qmse;
  Sgd sgd(store, {.momentum = 0.9});
  TrainingLoop<float> loop(*context,
                           [&](Tape& tape, Value input) { return model.record(tape, store, input); },
                           resident.view(), arguments.loss == "mse" ? static_cast<const Loss&>(mse) : qmse,
                           sgd, arguments.batch, {.capture = cupti});
  std::vector<std::uint32_t> order(static_cast<std::size_t>(dataset.count));
  std::iota(order.begin(), order.end(), 0U);
  loop.begin_epoch(order, std::vector<double>(static_cast<std::size_t>(loop.steps_per_epoch()), 0.01), 0);
  loop.step(before);
  synchronize(*context);
  bench::StepPieces pieces;
  if (cupti) {
    bench::recorded_by_cupti(0);
    loop.step(steps);
    synchronize(*context);
    pieces = bench::recorded_by_cupti(static_cast<std::size_t>(steps));
  } else {
    pieces = bench::record_by_events(
        *context->cuda(), [&] { loop.step(); }, static_cast<int>(steps));
  }
  nlohmann::json result = summarize(pieces);
  result.update({{"by", arguments.by},
                 {"shape", arguments.shape},
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
  app.add_option("--by", arguments.by, "how: by CUPTI's records, or by events between the step's nodes")
      ->check(CLI::IsMember({"cupti", "events"}));
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
