// Builds a network around a layer of its own, compares that layer's gradients with central differences, and
// trains the network with QMSE until it knows its eight images. Prints what it found; fails where it does
// not hold.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <vector>

#include <qmse/engine/tensor.h>
#include <qmse/engine/training_loop.h>
#include <qmse/losses/qmse.h>
#include <qmse/losses/residual_loss.h>
#include <qmse/models/layers.h>
#include <qmse/models/sequential.h>
#include <qmse/optim/optimizers.h>
#include "scale_layer.h"

namespace {

constexpr std::int64_t kSamples = 8;
constexpr std::int64_t kClasses = 2;

qmse::Sequential make_model() {
  qmse::Sequential model({1, 2, 3});
  model.emplace<qmse::FlattenLayer>("flatten");
  model.emplace<qmse::LinearLayer>("fc1", 16);
  model.emplace<qmse::ActivationLayer>("tanh", qmse::Activation::tanh);
  model.emplace<ScaleLayer>("scale");
  model.emplace<qmse::LinearLayer>("fc2", kClasses);
  return model;
}

// Eight images of six pixels, half of them in each class.
template <class T>
struct Data {
  explicit Data(qmse::Context& context)
      : images(context, qmse::DType::u8, {kSamples, 1, 2, 3}, "images"),
        labels(context, qmse::DType::i32, {kSamples}, "labels"),
        scale(context, qmse::dtype_of<T>(), {1}, "scale"),
        shift(context, qmse::dtype_of<T>(), {1}, "shift") {
    std::vector<std::uint8_t> pixels(kSamples * 6);
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * i * 37 % 251);
    images.write<std::uint8_t>(pixels);
    labels.write<std::int32_t>(std::vector<std::int32_t>{0, 1, 1, 0, 1, 0, 0, 1});
    scale.write<T>(std::vector<T>{T(1) / T(64)});
    shift.write<T>(std::vector<T>{T(-2)});
    resident = {kSamples,
                {1, 2, 3},
                kClasses,
                images.as<std::uint8_t>(),
                labels.as<std::int32_t>(),
                scale.template as<T>(),
                shift.template as<T>()};
  }
  qmse::Tensor images, labels, scale, shift;
  qmse::ResidentData<T> resident;
};

// The largest difference between the scale layer's gradient and a central difference of the loss, in f64.
double gradient_error() {
  qmse::Context context(std::make_unique<qmse::CpuContext>(1));
  const qmse::Sequential model = make_model();
  qmse::ParameterStore store(context, qmse::DType::f64, model.parameters());
  store.initialize(qmse::Initialization::pytorch, 1);
  const Data<double> data(context);
  const qmse::MseLoss loss;
  const auto network = [&](qmse::Tape& tape, qmse::Value input) { return model.record(tape, store, input); };
  qmse::BatchPass<double> pass(context, network, data.resident, loss, kSamples, {});
  std::vector<std::uint32_t> order(kSamples);
  std::iota(order.begin(), order.end(), 0u);
  const std::uint64_t first = 0;

  const auto mean_loss = [&] {
    pass.evaluate(order.data(), &first);
    return std::accumulate(pass.sample_loss(), pass.sample_loss() + kSamples, 0.0) / kSamples;
  };
  pass.train(order.data(), &first, &first);
  const std::size_t scale = store.index_of("scale.weight");
  const std::vector<double> gradient = store.read<double>(store.gradients(), scale);
  double* weights = static_cast<double*>(store.weights(scale));
  double error = 0;
  for (std::size_t j = 0; j < gradient.size(); ++j) {
    const double kept = weights[j];
    const double h = 1e-5;
    weights[j] = kept + h;
    const double above = mean_loss();
    weights[j] = kept - h;
    const double below = mean_loss();
    weights[j] = kept;
    error = std::max(error, std::abs((above - below) / (2 * h) - gradient[j]));
  }
  return error;
}

// The number of images the network knows after training it with QMSE.
std::int64_t train() {
  qmse::Context context(std::make_unique<qmse::CpuContext>(2));
  const qmse::Sequential model = make_model();
  qmse::ParameterStore store(context, qmse::DType::f32, model.parameters());
  store.initialize(qmse::Initialization::pytorch, 1);
  const Data<float> data(context);
  const qmse::QmseLoss loss({.seed = 3});
  qmse::Sgd sgd(store, {.momentum = 0.9});
  const auto network = [&](qmse::Tape& tape, qmse::Value input) { return model.record(tape, store, input); };
  qmse::TrainingLoop<float> loop(context, network, data.resident, loss, sgd, 4);
  std::vector<std::uint32_t> order(kSamples);
  std::iota(order.begin(), order.end(), 0u);
  const std::vector<double> rates(static_cast<std::size_t>(loop.steps_per_epoch()), 0.05);
  for (int epoch = 0; epoch < 200; ++epoch) {
    loop.begin_epoch(order, rates, loop.counter().step);
    while (!loop.epoch_done()) loop.step();
  }
  qmse::Evaluator<float> evaluator(context, network, data.resident, loss, kSamples);
  return static_cast<std::int64_t>(evaluator.run().correct);
}

}  // namespace

int main() {
  const double error = gradient_error();
  const std::int64_t known = train();
  std::printf("gradient error %.1e, %lld of %lld images known\n", error, static_cast<long long>(known),
              static_cast<long long>(kSamples));
  return error < 1e-9 && known == kSamples ? 0 : 1;
}
