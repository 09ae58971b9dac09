// Whole training steps of networks over a grid of --conv-channels lists, on one thread, taking turns: images
// and operations a second of each, and the ratio of the fastest to the slowest. docs/benchmarks.md has
// the command.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "bench/processor_time.h"
#include "bench/synthetic_images.h"
#include "data/normalization.h"
#include "data/resident_dataset.h"
#include "engine/training_loop.h"
#include "losses/residual_loss.h"
#include "models/simple_cnn.h"
#include "optim/optimizers.h"

namespace {

using namespace qmse;

constexpr double kLearningRate = 1e-4;

// Multiplications and additions of a step's convolutions and fully connected layers, for an image.
double operations(const Shape& image, std::int64_t classes, const SimpleCnnOptions& options) {
  double products = 0;
  std::int64_t channels = image[0], height = image[1], width = image[2];
  for (const std::int64_t out : options.conv_channels) {
    const double forward =
        static_cast<double>(out * height * width * channels * options.kernel * options.kernel);
    products += (channels == image[0] ? 2 : 3) * forward;  // images need no gradient
    channels = out;
    height /= options.pool_window;
    width /= options.pool_window;
  }
  products += 3 * static_cast<double>(channels * height * width * options.fc_width);
  products += 3 * static_cast<double>(options.fc_width * classes);
  return 2 * products;
}

// A network, its training, and the fastest of its counts.
class Contender {
 public:
  Contender(Context& context, const std::string& shape, const ImageDataset& images,
            const ResidentDataset<float>& data, std::vector<std::int64_t> channels, std::int64_t batch)
      : name_(shape + " " + joined(channels)),
        batch_(batch),
        options_{.conv_channels = std::move(channels)},
        model_(make_simple_cnn({images.channels, images.height, images.width}, images.classes(), options_)),
        operations_(operations({images.channels, images.height, images.width}, images.classes(), options_)),
        store_(context, DType::f32, model_.parameters()),
        order_(static_cast<std::size_t>(images.count)) {
    store_.initialize(Initialization::pytorch, 1);
    sgd_ = std::make_unique<Sgd>(store_, SgdHyper{.momentum = 0.9});
    loop_ = std::make_unique<TrainingLoop<float>>(
        context, [this](Tape& tape, Value input) { return model_.record(tape, store_, input); }, data.view(),
        loss_, *sgd_, batch);
    std::iota(order_.begin(), order_.end(), 0U);
    rates_.assign(static_cast<std::size_t>(loop_->steps_per_epoch()), kLearningRate);
  }

  // As many steps as take about `seconds`.
  void measure(double seconds) {
    const auto count = std::max<std::int64_t>(1, static_cast<std::int64_t>(seconds / seconds_));
    const double begin = bench::processor_seconds();
    for (std::int64_t left = count; left > 0;) {
      if (loop_->epoch_done()) loop_->begin_epoch(order_, rates_, 0);
      const std::int64_t now = std::min(left, loop_->steps_per_epoch() - loop_->steps_done());
      loop_->step(now);
      left -= now;
    }
    seconds_ = std::min(seconds_, (bench::processor_seconds() - begin) / static_cast<double>(count));
  }

  const std::string& name() const { return name_; }
  double images_per_second() const { return static_cast<double>(batch_) / seconds_; }
  double operations_per_image() const { return operations_; }
  double speed() const { return operations_ * images_per_second(); }

 private:
  static std::string joined(const std::vector<std::int64_t>& channels) {
    std::string text;
    for (const std::int64_t c : channels) text += (text.empty() ? "" : ",") + std::to_string(c);
    return text;
  }

  std::string name_;
  std::int64_t batch_;
  SimpleCnnOptions options_;
  Sequential model_;
  double operations_;
  ParameterStore store_;
  MseLoss loss_;
  std::unique_ptr<Sgd> sgd_;
  std::unique_ptr<TrainingLoop<float>> loop_;
  std::vector<std::uint32_t> order_;
  std::vector<double> rates_;
  double seconds_ = 1e30;  // of a step
};

std::vector<std::int64_t> parsed(const std::string& list) {
  std::vector<std::int64_t> channels;
  std::istringstream stream(list);
  for (std::string number; std::getline(stream, number, ',');) channels.push_back(std::stoll(number));
  return channels;
}

}  // namespace

int main(int argc, char** argv) {
  std::int64_t batch = 64;
  int rounds = 9;
  double seconds = 0.02;
  std::vector<std::string> shapes = {"mnist", "cifar10"};
  std::vector<std::string> lists = {
      "8,8",      "8,16",     "8,64",     "10,10",    "10,20",    "10,64",    "12,12",    "12,24",
      "16,16",    "16,32",    "20,20",    "20,48",    "24,24",    "24,48",    "32,32",    "32,64",
      "48,12",    "48,48",    "64,10",    "64,64",    "8,8,8",    "8,16,32",  "10,10,10", "10,12,20",
      "10,20,48", "12,12,12", "12,24,48", "16,32,64", "20,24,32", "24,48,64", "64,32,10"};
  CLI::App app(
      "Speed of whole training steps over networks of many channel counts (the fastest count of processor "
      "time)");
  app.add_option("--batch", batch)->capture_default_str();
  app.add_option("--rounds", rounds, "the fastest of so many counts")->capture_default_str();
  app.add_option("--seconds", seconds, "length of one count")->capture_default_str();
  app.add_option("--shapes", shapes, "data sets' shapes")
      ->check(CLI::IsMember({"mnist", "cifar10", "cifar100"}));
  app.add_option("--channels", lists, "lists of output channels, as --conv-channels");
  CLI11_PARSE(app, argc, argv);

  Context context(std::make_unique<CpuContext>(1));
  std::vector<ImageDataset> images;
  std::vector<std::unique_ptr<ResidentDataset<float>>> data;
  std::vector<std::unique_ptr<Contender>> contenders;
  images.reserve(shapes.size());
  for (const std::string& shape : shapes) {
    images.push_back(bench::synthetic_images(shape, 4 * batch));
    data.push_back(std::make_unique<ResidentDataset<float>>(
        context, images.back(), make_normalization(NormalizationKind::unit, images.back())));
    for (const std::string& list : lists)
      contenders.push_back(
          std::make_unique<Contender>(context, shape, images.back(), *data.back(), parsed(list), batch));
  }
  for (const auto& contender : contenders) contender->measure(0);
  for (int round = 0; round < rounds; ++round) {
    for (const auto& contender : contenders) contender->measure(seconds);
  }
  std::printf("%-20s %10s %12s %10s\n", "network", "images/s", "MFLOP/image", "GFLOP/s");
  for (const auto& contender : contenders) {
    std::printf("%-20s %10.0f %12.3f %10.1f\n", contender->name().c_str(), contender->images_per_second(),
                1e-6 * contender->operations_per_image(), 1e-9 * contender->speed());
  }
  const auto [slowest, fastest] =
      std::minmax_element(contenders.begin(), contenders.end(),
                          [](const auto& a, const auto& b) { return a->speed() < b->speed(); });
  std::printf("fastest (%s) / slowest (%s): %.2f\n", (*fastest)->name().c_str(), (*slowest)->name().c_str(),
              (*fastest)->speed() / (*slowest)->speed());
}
