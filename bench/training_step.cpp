// The training step and the epoch, one measurement per line of standard input (bench/protocol.h): "<n>" times
// n steps, "epoch" a whole epoch, from the upload of its order to the reading of its metrics. Makes its own
// data, so that no file is needed, or takes the first images of a data set; with --export it writes them, and
// the initial weights, for peers to start from.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/parse_choice.h"
#include "bench/protocol.h"
#include "bench/synthetic_images.h"
#include "data/registry.h"
#include "data/resident_dataset.h"
#include "engine/safetensors.h"
#include "engine/training_loop.h"
#include "experiment/run/setup.h"
#include "losses/qmse.h"
#include "losses/residual_loss.h"
#include "models/simple_cnn.h"
#include "optim/optimizers.h"

namespace {

using namespace qmse;

struct Arguments {
  TrainConfig config;  // device, math and threads
  std::string math = "fp32";
  std::string shape = "mnist";
  std::string loss = "mse";
  std::string data;  // folder of the data set whose images are taken; synthetic ones without it
  std::string export_file;
  std::int64_t batch = 64;
  std::int64_t samples = 4096;
};

constexpr double kLearningRate = 0.01;

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

// The loop and what its epochs take.
class Training {
 public:
  Training(Context& context, TrainingLoop<float>& loop, std::int64_t samples)
      : context_(&context),
        loop_(&loop),
        order_(static_cast<std::size_t>(samples)),
        rates_(static_cast<std::size_t>(loop.steps_per_epoch()), kLearningRate) {
    std::iota(order_.begin(), order_.end(), 0U);
  }

  nlohmann::json steps(std::int64_t count) {
    synchronize(*context_);
    const bench::Stopwatch watch;
    for (std::int64_t left = count; left > 0;) {
      if (loop_->epoch_done()) loop_->begin_epoch(order_, rates_, 0);
      const std::int64_t now = std::min(left, loop_->steps_per_epoch() - loop_->steps_done());
      loop_->step(now);
      left -= now;
    }
    synchronize(*context_);
    return answer(watch.seconds(), count);
  }

  nlohmann::json epoch() {
    synchronize(*context_);
    const bench::Stopwatch watch;
    loop_->begin_epoch(order_, rates_, 0);
    loop_->step(loop_->steps_per_epoch());
    loop_->metrics();
    return answer(watch.seconds(), loop_->steps_per_epoch());
  }

 private:
  nlohmann::json answer(double seconds, std::int64_t steps) const {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return {{"seconds", seconds},
            {"steps", steps},
            {"loss", loop_->metrics().last_loss},
            {"peak_rss_bytes", usage.ru_maxrss * std::int64_t{1024}}};
  }

  Context* context_;
  TrainingLoop<float>* loop_;
  std::vector<std::uint32_t> order_;
  std::vector<double> rates_;
};

ImageDataset images(const Arguments& arguments) {
  if (arguments.data.empty()) return bench::synthetic_images(arguments.shape, arguments.samples);
  const ImageDataset all =
      load_dataset(arguments.shape, find_data_directory(arguments.shape, arguments.data), Split::train);
  if (arguments.samples > all.count) {
    throw ConfigError("--samples " + std::to_string(arguments.samples) + ": " + arguments.shape + " has " +
                      std::to_string(all.count) + " images to train on");
  }
  return all.first(arguments.samples);
}

int measure(const Arguments& arguments) {
  const std::unique_ptr<Context> context = make_context(arguments.config);
  const ImageDataset dataset = images(arguments);
  const ResidentDataset<float> resident(*context, dataset,
                                        make_normalization(NormalizationKind::unit, dataset));
  const Sequential model =
      make_simple_cnn({dataset.channels, dataset.height, dataset.width}, dataset.classes());
  ParameterStore store(*context, DType::f32, model.parameters());
  store.initialize(Initialization::pytorch, 1);
  if (!arguments.export_file.empty()) export_state(arguments.export_file, dataset, store);

  const MseLoss mse;
  const QmseLoss qmse;
  const Loss& loss = arguments.loss == "mse" ? static_cast<const Loss&>(mse) : qmse;
  Sgd sgd(store, {.momentum = 0.9});
  TrainingLoop<float> loop(
      *context, [&](Tape& tape, Value input) { return model.record(tape, store, input); }, resident.view(),
      loss, sgd, arguments.batch);
  Training training(*context, loop, arguments.samples);
  bench::serve([&](const std::string& request) {
    return request == "epoch" ? training.epoch() : training.steps(std::stoll(request));
  });
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times the training step: reads requests, answers each with one JSON object a line.");
  Arguments arguments;
  TrainConfig& config = arguments.config;
  config.device = "cpu";
  config.threads = 1;
  app.add_option("--device", config.device, "cpu, cuda or cuda:N");
  app.add_option("--math", arguments.math, "fp32 or tf32 (CUDA)")->check(CLI::IsMember({"fp32", "tf32"}));
  app.add_option("--shape", arguments.shape, "data shape")
      ->check(CLI::IsMember({"mnist", "cifar10", "cifar100"}));
  app.add_option("--loss", arguments.loss, "loss")->check(CLI::IsMember({"mse", "qmse"}));
  app.add_option("--batch", arguments.batch, "batch size")->check(CLI::PositiveNumber);
  app.add_option("--samples", arguments.samples, "images of the data set; a multiple of the batch size")
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", config.threads, "threads; 0 takes all")->check(CLI::NonNegativeNumber);
  app.add_option("--data", arguments.data,
                 "folder that holds the data set of that name: its first images instead of made-up ones");
  app.add_option("--export", arguments.export_file,
                 "write data and initial weights to this safetensors file");
  CLI11_PARSE(app, argc, argv);
  try {
    config.math = parse_choice<MathMode>(arguments.math, "arithmetic");
    return measure(arguments);
  } catch (const std::exception& error) {
    std::cerr << "training_step: " << error.what() << '\n';
    return 1;
  }
}
