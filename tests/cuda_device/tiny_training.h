// A few steps of a small CNN on the stand-in, for what they leave: nodes, times, weights.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <numeric>
#include <vector>

#include "engine/training_loop.h"
#include "losses/residual_loss.h"
#include "models/simple_cnn.h"
#include "optim/optimizers.h"
#include "tests/support/toy_data.h"

namespace qmse::test {

struct TinyTraining {
  static constexpr std::int64_t kBatch = 4;

  TinyTraining(const CudaOptions& options, std::int64_t steps, bool capture)
      : context(std::make_unique<CudaContext>(options)),
        store(context, DType::f32, model.parameters()),
        data(context, steps * kBatch, {1, 12, 12}, 10, 3),
        sgd((store.initialize(Initialization::pytorch, 4), store), {.momentum = 0.9}),
        loop(context, network_of(model, store), data.resident, loss, sgd, kBatch, {.capture = capture}) {
    std::vector<std::uint32_t> order(static_cast<std::size_t>(steps * kBatch));
    std::iota(order.begin(), order.end(), 0u);
    loop.begin_epoch(order, std::vector<double>(static_cast<std::size_t>(steps), 0.05), 0);
  }

  // One number that any other weights would change, on standard error.
  void print_weights() {
    std::vector<float> weights(static_cast<std::size_t>(store.flat_size()));
    device_to_host(context, weights.data(), store.weights(), weights.size() * sizeof(float));
    double sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i)
      sum += static_cast<double>(i + 1) * static_cast<double>(weights[i]);
    std::fprintf(stderr, "weights %.17g\n", sum);
  }

  Context context;
  const Sequential model = make_simple_cnn({1, 12, 12}, 10, {.conv_channels = {16, 48}, .fc_width = 20});
  ParameterStore store;
  ToyData<float> data;
  MseLoss loss;
  Sgd sgd;
  TrainingLoop<float> loop;
};

}  // namespace qmse::test
