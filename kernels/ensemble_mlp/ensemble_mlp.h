// Descents of many small fully connected f64 networks at once on a GPU: a block is one network for a whole
// number of steps in one launch, its weights in shared memory. A network's bits depend on nothing but itself,
// and are those of Descent (analysis/mlp/descent.h) on the CPU: sums are taken in the same order, from the
// same operations. C++17: included by device code.
#pragma once

#include <cstdint>

#include "kernels/ensemble_mlp/mlp_math.h"

namespace qmse {

constexpr std::int32_t kMaxEnsembleLayers = 9;

// What is added to the gradient before each step, times noise_scale:
//   sphere     uniform on the unit sphere of the parameters (Ge et al. 2015, algorithm 1)
//   gaussian   independent standard normals
enum class StepNoise : std::int32_t { none, sphere, gaussian };

// Sample n's input k is x[k * stride + n], its target o is y[o * stride + n]; the stride is a multiple of 4,
// and what lies between count and stride is 0.
struct EnsembleSamples {
  std::int64_t count, inputs, outputs, stride;
  const double *x, *y;
};

// What a network is and what has become of it.
struct EnsembleMember {
  // Inputs, hidden layers, outputs. The parameters of layer l are its weights, row by row (outputs x inputs),
  // and, where there are biases, its biases.
  std::int32_t widths[kMaxEnsembleLayers + 1];
  std::int32_t layers;
  std::int32_t biases;
  HiddenActivation activation;
  MlpLoss loss;
  StepNoise noise;
  double leak, weight_decay, momentum, noise_scale;
  std::int64_t batch;  // samples a step, drawn with replacement; 0: all
  std::uint64_t seed;

  // Where in the ensemble's numbers its arrays begin; none: kNone.
  static constexpr std::int64_t kNone = -1;
  std::int64_t weights;   // as many as parameters
  std::int64_t velocity;  // the same; none without momentum
  std::int64_t factors;   // on the hidden units' outputs, unit i and sample n at i * stride + n; or none
  std::int64_t scratch;   // ensemble_scratch() of them

  // Where the random sequences are: numbers taken so far for batches, normals for the noise.
  std::uint64_t words, normals;
  std::int64_t steps;
  double last_loss;           // of the last step's batch, before it
  std::int32_t done, finite;  // as Descent's
};

// Doubles that a launch keeps for the member: its parameters, their gradient and velocity, and what a chunk of
// samples leaves in the layers.
QMSE_HOST_DEVICE inline std::int64_t ensemble_parameters(const EnsembleMember& m) {
  std::int64_t parameters = 0;
  for (std::int32_t l = 1; l <= m.layers; ++l)
    parameters += std::int64_t{m.widths[l]} * (m.widths[l - 1] + (m.biases != 0 ? 1 : 0));
  return parameters;
}
QMSE_HOST_DEVICE inline std::int64_t ensemble_hidden_units(const EnsembleMember& m) {
  std::int64_t units = 0;
  for (std::int32_t l = 1; l < m.layers; ++l) units += m.widths[l];
  return units;
}
// The room of a row of a chunk.
QMSE_HOST_DEVICE inline std::int64_t ensemble_room(const EnsembleSamples& samples) {
  return samples.stride < kMlpChunk ? samples.stride : kMlpChunk;
}
QMSE_HOST_DEVICE inline std::int64_t ensemble_state_doubles(const EnsembleMember& m) {
  return ensemble_parameters(m) *
         (2 + (m.velocity != EnsembleMember::kNone ? 1 : 0) + (m.noise != StepNoise::none ? 1 : 0));
}
QMSE_HOST_DEVICE inline std::int64_t ensemble_tile_doubles(const EnsembleMember& m,
                                                           const EnsembleSamples& samples) {
  const std::int64_t units = ensemble_hidden_units(m), outputs = samples.outputs;
  std::int64_t rows = 3 * units + 2 * outputs + 1;  // value, slope, delta; value, delta; losses
  if (m.batch > 0) rows += samples.inputs + outputs + (m.factors != EnsembleMember::kNone ? units : 0);
  return rows * ensemble_room(samples) + (m.batch + 1) / 2;  // and the batch's indices
}
QMSE_HOST_DEVICE inline std::int64_t ensemble_scratch(const EnsembleMember& m,
                                                      const EnsembleSamples& samples) {
  return ensemble_state_doubles(m) + ensemble_tile_doubles(m, samples);
}

// Each of `count` members takes `steps` steps, member k of the lengths lr[k][0 .. steps), or stops when it is
// done. All is on the device: the members, their `numbers`, and lr. `scratch` is the largest
// ensemble_scratch(). Throws ShapeError where there is no member.
template <class Gpu>
void ensemble_descent(Gpu& gpu, std::int64_t count, EnsembleMember* members, double* numbers,
                      const EnsembleSamples& samples, const double* lr, std::int64_t steps,
                      std::int64_t scratch);

}  // namespace qmse
