// The training step's throughput, one measurement per line of standard input, so that a driver
// (bench/compare) can take turns between programs. Makes its own data, so that no file is needed; with
// --export it writes them, and the initial weights, for a peer to start from.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/resident_dataset.h"
#include "engine/safetensors.h"
#include "engine/training_loop.h"
#include "losses/mse.h"
#include "losses/qmse.h"
#include "models/simple_cnn.h"
#include "optim/sgd.h"

namespace {

using namespace qmse;

struct Arguments {
  std::string shape = "mnist";
  std::string loss = "mse";
  std::string export_file;
  std::int64_t batch = 64;
  int threads = 1;
};

constexpr std::int64_t kSamples = 4096;  // divided by every batch size that is compared
constexpr double kLearningRate = 0.01;

ImageDataset make_dataset(const std::string& shape) {
  ImageDataset dataset;
  dataset.name = shape;
  dataset.count = kSamples;
  dataset.channels = shape == "mnist" ? 1 : 3;
  dataset.height = dataset.width = shape == "mnist" ? 28 : 32;
  for (int i = 0; i < (shape == "cifar100" ? 100 : 10); ++i) dataset.class_names.push_back(std::to_string(i));
  dataset.images.resize(
      static_cast<std::size_t>(kSamples * dataset.channels * dataset.height * dataset.width));
  for (std::size_t i = 0; i < dataset.images.size(); ++i) {
    dataset.images[i] = static_cast<std::uint8_t>(
        random_bits(1, RandomPurpose::test, 0, 0, 0, static_cast<std::uint32_t>(i)).x[0] & 255u);
  }
  for (std::int64_t i = 0; i < kSamples; ++i)
    dataset.labels.push_back(static_cast<std::int32_t>(i % dataset.classes()));
  return dataset;
}

void export_state(const std::string& path, const ImageDataset& dataset, const ParameterStore& store) {
  std::vector<TensorToWrite> tensors{{"images",
                                      DType::u8,
                                      {dataset.count, dataset.channels, dataset.height, dataset.width},
                                      dataset.images.data()},
                                     {"labels", DType::i32, {dataset.count}, dataset.labels.data()}};
  std::vector<std::vector<float>> values;
  for (std::size_t p = 0; p < store.size(); ++p) values.push_back(store.read<float>(store.weights(), p));
  for (std::size_t p = 0; p < store.size(); ++p) {
    const auto sizes = store.spec(p).shape.sizes();
    tensors.push_back({store.spec(p).name, DType::f32, {sizes.begin(), sizes.end()}, values[p].data()});
  }
  write_safetensors(path, tensors, {});
}

nlohmann::json run(TrainingLoop<float>& loop, const std::vector<std::uint32_t>& order,
                   const std::vector<double>& rates, int steps) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < steps; ++i) {
    if (loop.epoch_done()) loop.begin_epoch(order, rates, 0);
    loop.step();
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {{"seconds", seconds},
          {"steps", steps},
          {"loss", loop.metrics().last_loss},
          {"peak_rss_bytes", usage.ru_maxrss * std::int64_t{1024}}};
}

int measure(const Arguments& arguments) {
  Context context(std::make_unique<CpuContext>(arguments.threads));
  const ImageDataset dataset = make_dataset(arguments.shape);
  const ResidentDataset<float> resident(context, dataset,
                                        make_normalization(NormalizationKind::unit, dataset));
  const Sequential model =
      make_simple_cnn({dataset.channels, dataset.height, dataset.width}, dataset.classes());
  ParameterStore store(context, DType::f32, model.parameters());
  store.initialize(Initialization::pytorch, 1);
  if (!arguments.export_file.empty()) export_state(arguments.export_file, dataset, store);

  const MseLoss mse;
  const QmseLoss qmse;
  const Loss& loss = arguments.loss == "mse" ? static_cast<const Loss&>(mse) : qmse;
  Sgd sgd(store, {.momentum = 0.9});
  TrainingLoop<float> loop(
      context, [&](Tape& tape, Value input) { return model.record(tape, store, input); }, resident.view(),
      loss, sgd, arguments.batch);
  std::vector<std::uint32_t> order(kSamples);
  for (std::uint32_t i = 0; i < kSamples; ++i) order[i] = i;
  const std::vector<double> rates(static_cast<std::size_t>(loop.steps_per_epoch()), kLearningRate);

  std::cout << "ready" << std::endl;
  for (int steps = 0; std::cin >> steps;) std::cout << run(loop, order, rates, steps) << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times the training step: reads numbers of steps, answers each with one JSON object a line.");
  Arguments arguments;
  app.add_option("--shape", arguments.shape, "data shape")
      ->check(CLI::IsMember({"mnist", "cifar10", "cifar100"}));
  app.add_option("--loss", arguments.loss, "loss")->check(CLI::IsMember({"mse", "qmse"}));
  app.add_option("--batch", arguments.batch, "batch size")->check(CLI::PositiveNumber);
  app.add_option("--threads", arguments.threads, "threads; 0 takes all")->check(CLI::NonNegativeNumber);
  app.add_option("--export", arguments.export_file,
                 "write data and initial weights to this safetensors file");
  CLI11_PARSE(app, argc, argv);
  try {
    return measure(arguments);
  } catch (const std::exception& error) {
    std::cerr << "training_step: " << error.what() << '\n';
    return 1;
  }
}
