// --diagnose: what theory says of a training (docs/theory.md 7), measured beside it after an epoch. `qmse
// inspect` has more, exactly and in f64; this costs a few percent of an epoch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/batch_pass.h"
#include "engine/parameters.h"
#include "experiment/run/config.h"
#include "experiment/run/epoch_record.h"
#include "losses/qmse.h"
#include "losses/residual_loss.h"
#include "models/sequential.h"

namespace qmse {

// Works in f32 on the training's device, with weights, gradients and activations of its own: nothing that the
// training computes with is written to.
class Diagnoser {
 public:
  static constexpr std::int64_t kImages = 128;  // or all there are
  static constexpr std::uint32_t kDraws = 8;    // of every image's v
  static constexpr std::int64_t kLanczosSteps = 6;

  // Of the training of `config` on `data`; its seed_data says which images are looked at. `context`, `model`
  // and what `data` points to must outlive it.
  Diagnoser(const TrainConfig& config, Context& context, const Sequential& model,
            const ResidentData<float>& data);
  Diagnoser(const Diagnoser&) = delete;
  Diagnoser& operator=(const Diagnoser&) = delete;

  // At these weights, after so many steps of the training; a function of the two. Waits for the device.
  Diagnosis run(const ParameterStore& weights, std::int64_t steps);

 private:
  // What a pass reads of the device's memory.
  struct Numbers {
    std::uint64_t first = 0, step = 0;
    std::uint32_t redraw = 0;
  };
  // A hidden unit: where in a flat buffer its weights begin, how many they are, and its bias.
  struct Unit {
    std::int64_t weights, count, bias;
  };

  void find_units();
  void set_numbers(const Numbers& numbers);
  void forward(std::span<const float> weights);
  // Of the loss, in expectation where it draws, at the weights that went forward last; laid out as the store.
  std::vector<float> gradient(const Loss& loss);
  std::vector<float> gradient_of_draw(std::int64_t steps, std::uint32_t draw);
  std::vector<float> read(const void* device, std::int64_t count) const;
  void note_moving(const std::vector<float>& gradient);
  double sharpness(const std::vector<float>& weights);

  Context* context_;
  std::int64_t batch_size_;  // of the training
  std::uint64_t seed_;
  MseLoss mse_;
  QmseExpectedLoss expected_;
  QmseLoss qmse_;
  std::unique_ptr<Loss> trained_;
  ParameterStore store_;
  BatchPass<float> pass_;
  Buffer order_, numbers_;
  std::vector<Unit> units_;
  std::vector<char> moving_;  // by unit: whether a gradient at this diagnosis' weights was not all zeros
};

}  // namespace qmse
