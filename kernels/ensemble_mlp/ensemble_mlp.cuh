// A training is one launch: its block goes through the steps, and within a step through chunks of samples and
// through layers, with a barrier after each. Threads share out the elements of a layer; an element is one
// thread's chain of fused multiply-adds, in the order that analysis/mlp/products.h has.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/ensemble_mlp/ensemble_mlp.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"
#include "random/direction.h"
#include "random/philox.h"

namespace qmse::device {

inline constexpr unsigned kEnsembleThreads = 256;
// With what the kernel has beside it within the 48 KiB that every GPU gives a block unasked.
inline constexpr std::int64_t kEnsembleSharedDoubles = 46 * 1024 / 8;

struct EnsembleChunk {
  std::int64_t begin, count, padded;  // padded: a multiple of 4; what lies beyond count counts for nothing
  const double *x, *y, *factors;      // rows `stride` apart; factors null where there are none
  std::int64_t stride;
};

struct EnsembleActivation {
  double u, leak, factor;
  bool with_factor;
  double *value, *slope;

  template <HiddenActivation kActivation>
  QMSE_HOST_DEVICE void at() const {
    const ActivationPoint<Exact64> point = activation_at<kActivation>(Exact64(u), leak);
    *value = with_factor ? (Exact64(factor) * point.value).v : point.value.v;
    *slope = with_factor ? (Exact64(factor) * point.slope).v : point.slope.v;
  }
};

// Component o of the v of one sample, times -1.
struct EnsembleDirection {
  std::uint64_t seed;
  std::uint32_t step, name, attempt;
  std::int64_t c;
  float inverse_norm;

  QMSE_HOST_DEVICE EnsembleDirection(std::uint64_t seed_of, std::uint32_t step_of, std::uint32_t name_of,
                                     std::int64_t components)
      : seed(seed_of), step(step_of), name(name_of), attempt(first_attempt(0)), c(components) {
    for (;; ++attempt) {
      std::uint64_t sum = 0;
      for (std::int64_t o = 0; o < c; o += 4) {
        const Group<float, 4> normals =
            direction_normals(seed, attempt, step, name, static_cast<std::uint32_t>(o / 4));
        for (int k = 0; k < 4; ++k) sum += o + k < c ? direction_square(normals.v[k]) : 0u;
      }
      if (!direction_accept(sum, c)) continue;
      inverse_norm = direction_inverse_norm(sum);
      return;
    }
  }
  QMSE_HOST_DEVICE double minus(std::int64_t o) const {
    const Group<float, 4> normals =
        direction_normals(seed, attempt, step, name, static_cast<std::uint32_t>(o / 4));
    return -static_cast<double>(direction_component(normals.v[o % 4], inverse_norm, c));
  }
};

struct EnsembleSample {
  const double *outputs, *targets;  // of the sample, rows apart
  double* deltas;
  std::int64_t room, target_stride;
  const EnsembleDirection* direction;

  QMSE_HOST_DEVICE Exact64 output(std::int64_t o) const { return outputs[o * room]; }
  QMSE_HOST_DEVICE Exact64 target(std::int64_t o) const { return targets[o * target_stride]; }
  QMSE_HOST_DEVICE Exact64 minus_direction(std::int64_t o) const { return direction->minus(o); }
  QMSE_HOST_DEVICE void set_delta(std::int64_t o, Exact64 value) const { deltas[o * room] = value.v; }
};

// One network in the hands of a block.
class EnsembleBlock {
 public:
  __device__ EnsembleBlock(const EnsembleMember& member, double* numbers, const EnsembleSamples& samples,
                           double* shared)
      : m_(member),
        numbers_(numbers),
        s_(samples),
        parameters_(ensemble_parameters(member)),
        room_(ensemble_room(samples)) {
    const std::int64_t state = ensemble_state_doubles(member), tile = ensemble_tile_doubles(member, samples);
    double* at = state <= kEnsembleSharedDoubles ? shared : numbers + m_.scratch;
    weights_ = at;
    gradient_ = at += parameters_;
    velocity_ = m_.velocity != EnsembleMember::kNone ? at += parameters_ : nullptr;
    noise_ = m_.noise != StepNoise::none ? at += parameters_ : nullptr;
    at = state + tile <= kEnsembleSharedDoubles ? shared + state : numbers + m_.scratch + state;
    layers_ = at;
    at += (3 * ensemble_hidden_units(member) + 2 * s_.outputs) * room_;
    losses_ = at;
    at += room_;
    if (m_.batch > 0) {
      batch_x_ = at;
      at += s_.inputs * room_;
      batch_y_ = at;
      at += s_.outputs * room_;
      batch_factors_ = at;
      if (factors() != nullptr) at += ensemble_hidden_units(member) * room_;
      batch_ = reinterpret_cast<std::int32_t*>(at);
    }
  }

  __device__ void load() const {
    each(parameters_, [&](std::int64_t i) {
      weights_[i] = numbers_[m_.weights + i];
      if (velocity_ != nullptr) velocity_[i] = numbers_[m_.velocity + i];
    });
    __syncthreads();
  }
  __device__ void store() const {
    __syncthreads();
    each(parameters_, [&](std::int64_t i) {
      numbers_[m_.weights + i] = weights_[i];
      if (velocity_ != nullptr) numbers_[m_.velocity + i] = velocity_[i];
    });
  }

  __device__ std::int64_t parameters() const { return parameters_; }

  // The batch of this step, from word `words` of its sequence on. Returns how many words it took.
  __device__ std::uint64_t draw_batch(std::uint64_t words, SharedArray<std::uint64_t, 1>& taken) const {
    const auto limit = static_cast<std::uint64_t>(s_.count);
    const std::uint64_t fair = (std::uint64_t{1} << 32) / limit * limit;
    if (threadIdx.x == 0) taken[0] = static_cast<std::uint64_t>(m_.batch);
    __syncthreads();
    // As if no word were refused, which is rare; where one is, once more and in order.
    each(m_.batch, [&](std::int64_t i) {
      const std::uint64_t bits = word(words + static_cast<std::uint64_t>(i));
      if (bits >= fair) taken[0] = 0;
      batch_[i] = static_cast<std::int32_t>(bits % limit);
    });
    __syncthreads();
    if (threadIdx.x == 0 && taken[0] == 0) {
      std::uint64_t next = words;
      for (std::int64_t i = 0; i < m_.batch; ++i) {
        std::uint64_t bits = word(next++);
        while (bits >= fair) bits = word(next++);
        batch_[i] = static_cast<std::int32_t>(bits % limit);
      }
      taken[0] = next - words;
    }
    __syncthreads();
    return taken[0];
  }

  // The gradient into gradient_, and the loss, which thread 0 alone has.
  __device__ double gradient(std::int64_t step, SharedArray<double, 4>& lane_sums) const {
    each(parameters_, [&](std::int64_t i) { gradient_[i] = 0; });
    const std::int64_t count = m_.batch > 0 ? m_.batch : s_.count;
    double sum = 0;
    for (std::int64_t begin = 0; begin < count; begin += room_) {
      const EnsembleChunk chunk = chunk_at(begin, count);
      forward(chunk);
      losses(chunk, step);
      if (threadIdx.x < 4) {
        double lane = 0;
        for (std::int64_t n = threadIdx.x; n < chunk.padded; n += 4) lane = __dadd_rn(lane, losses_[n]);
        lane_sums[threadIdx.x] = lane;
      }
      backward(chunk);
      add_gradient(chunk);
      if (threadIdx.x == 0) {
        double all = 0;
        for (unsigned lane = 0; lane < 4; ++lane) all = __dadd_rn(all, lane_sums[lane]);
        sum = __dadd_rn(sum, all);
      }
      __syncthreads();
    }
    const auto number = static_cast<double>(count);
    const double decay = m_.weight_decay;
    each(parameters_, [&](std::int64_t i) {
      double value = __ddiv_rn(gradient_[i], number);
      if (decay != 0) value = __dadd_rn(value, __dmul_rn(decay, weights_[i]));
      gradient_[i] = value;
    });
    if (threadIdx.x != 0) return 0;
    double squares = 0;
    for (std::int64_t i = 0; decay != 0 && i < parameters_; ++i)
      squares = __dadd_rn(squares, __dmul_rn(weights_[i], weights_[i]));
    return __dadd_rn(__ddiv_rn(sum, number), __dmul_rn(__dmul_rn(0.5, decay), squares));
  }

  // For this thread's parameters.
  __device__ double gradient_squares() const {
    double squares = 0;
    each(parameters_, [&](std::int64_t i) { squares += gradient_[i] * gradient_[i]; });
    return squares;
  }

  // Normals from number `normals` of their sequence on.
  __device__ void add_noise(std::uint64_t normals, SharedArray<double, 4>& scratch) const {
    each(parameters_, [&](std::int64_t i) {
      const std::uint64_t place = normals + static_cast<std::uint64_t>(i), block = place / 4;
      const PhiloxBlock bits =
          random_bits(m_.seed, RandomPurpose::step_noise, 0, static_cast<std::uint32_t>(block >> 32), 0,
                      static_cast<std::uint32_t>(block));
      noise_[i] = static_cast<double>(normals_from_bits(bits).v[place % 4]);
    });
    __syncthreads();
    if (threadIdx.x == 0) {
      double squares = 0;
      for (std::int64_t i = 0; m_.noise == StepNoise::sphere && i < parameters_; ++i)
        squares = __dadd_rn(squares, __dmul_rn(noise_[i], noise_[i]));
      scratch[0] =
          m_.noise == StepNoise::sphere ? __ddiv_rn(m_.noise_scale, __dsqrt_rn(squares)) : m_.noise_scale;
    }
    __syncthreads();
    each(parameters_,
         [&](std::int64_t i) { gradient_[i] = __dadd_rn(gradient_[i], __dmul_rn(scratch[0], noise_[i])); });
  }

  __device__ void update(double lr) const {
    each(parameters_, [&](std::int64_t i) {
      double step = gradient_[i];
      if (velocity_ != nullptr) velocity_[i] = step = __dadd_rn(__dmul_rn(m_.momentum, velocity_[i]), step);
      weights_[i] = __dsub_rn(weights_[i], __dmul_rn(lr, step));
    });
    __syncthreads();
  }

 private:
  template <class Body>
  static __device__ void each(std::int64_t count, const Body& body) {
    for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) body(i);
  }
  // body(row, n) for the samples of each row.
  template <class Body>
  static __device__ void each(std::int64_t rows, std::int64_t samples, const Body& body) {
    each(rows * samples, [&](std::int64_t i) {
      const Quotient at = divide(i, samples);
      body(at.quotient, at.remainder);
    });
  }

  __device__ const double* factors() const {
    return m_.factors == EnsembleMember::kNone ? nullptr : numbers_ + m_.factors;
  }

  __device__ std::uint32_t word(std::uint64_t place) const {
    const std::uint64_t block = place / 4;
    return random_bits(m_.seed, RandomPurpose::data_order, 0, static_cast<std::uint32_t>(block >> 32), 0,
                       static_cast<std::uint32_t>(block))
        .x[place % 4];
  }

  __device__ EnsembleChunk chunk_at(std::int64_t begin, std::int64_t count) const {
    const std::int64_t number = count - begin < room_ ? count - begin : room_;
    EnsembleChunk chunk{begin,        number,       (number + 3) / 4 * 4,
                        s_.x + begin, s_.y + begin, factors() != nullptr ? factors() + begin : nullptr,
                        s_.stride};
    if (m_.batch == 0) return chunk;
    const auto gather = [&](std::int64_t rows, const double* from, double* to) {
      each(rows, chunk.padded, [&](std::int64_t row, std::int64_t n) {
        to[row * room_ + n] = n < number ? from[row * s_.stride + batch_[begin + n]] : 0.0;
      });
    };
    gather(s_.inputs, s_.x, batch_x_);
    gather(s_.outputs, s_.y, batch_y_);
    if (factors() != nullptr) gather(ensemble_hidden_units(m_), factors(), batch_factors_);
    __syncthreads();
    chunk.x = batch_x_;
    chunk.y = batch_y_;
    if (factors() != nullptr) chunk.factors = batch_factors_;
    chunk.stride = room_;
    return chunk;
  }

  // Rows of layer l: value, slope and delta of each hidden unit; value and delta of each output.
  __device__ double* value(std::int32_t l) const {
    std::int64_t units = 0;
    for (std::int32_t before = 1; before < l; ++before) units += m_.widths[before];
    return layers_ + 3 * units * room_;
  }
  __device__ double* slope(std::int32_t l) const { return value(l) + m_.widths[l] * room_; }
  __device__ double* delta(std::int32_t l) const {
    return value(l) + (l == m_.layers ? 1 : 2) * m_.widths[l] * room_;
  }
  __device__ std::int64_t weight_offset(std::int32_t l) const {
    std::int64_t offset = 0;
    for (std::int32_t before = 1; before < l; ++before)
      offset += std::int64_t{m_.widths[before]} * (m_.widths[before - 1] + (m_.biases != 0 ? 1 : 0));
    return offset;
  }
  __device__ std::int64_t bias_offset(std::int32_t l) const {
    return weight_offset(l) + std::int64_t{m_.widths[l]} * m_.widths[l - 1];
  }

  __device__ void forward(const EnsembleChunk& chunk) const {
    std::int64_t unit = 0;
    for (std::int32_t l = 1; l <= m_.layers; ++l) {
      const std::int64_t in = m_.widths[l - 1];
      const double* w = weights_ + weight_offset(l);
      const double* bias = weights_ + bias_offset(l);
      const double* below = l == 1 ? chunk.x : value(l - 1);
      const std::int64_t below_stride = l == 1 ? chunk.stride : room_;
      double* values = value(l);
      double* slopes = slope(l);
      each(m_.widths[l], chunk.padded, [&](std::int64_t i, std::int64_t n) {
        double sum = m_.biases != 0 ? bias[i] : 0.0;
        for (std::int64_t k = 0; k < in; ++k) sum = __fma_rn(w[i * in + k], below[k * below_stride + n], sum);
        if (l == m_.layers) {
          values[i * room_ + n] = sum;
          return;
        }
        const bool with_factor = chunk.factors != nullptr;
        EnsembleActivation activation{sum,
                                      m_.leak,
                                      with_factor ? chunk.factors[(unit + i) * chunk.stride + n] : 1.0,
                                      with_factor,
                                      values + i * room_ + n,
                                      slopes + i * room_ + n};
        with_hidden_activation(m_.activation, activation);
      });
      unit += m_.widths[l];
      __syncthreads();
    }
  }

  __device__ void losses(const EnsembleChunk& chunk, std::int64_t step) const {
    const double* outputs = value(m_.layers);
    double* deltas = delta(m_.layers);
    each(chunk.padded, [&](std::int64_t n) {
      if (n >= chunk.count) {
        losses_[n] = 0;
        for (std::int64_t o = 0; o < s_.outputs; ++o) deltas[o * room_ + n] = 0;
        return;
      }
      EnsembleSample sample{outputs + n, chunk.y + n, deltas + n, room_, chunk.stride, nullptr};
      if (m_.loss != MlpLoss::qmse) {
        losses_[n] = mlp_sample_loss<Exact64>(m_.loss, s_.outputs, sample).v;
        return;
      }
      // A sample that is twice in the batch has two directions.
      const EnsembleDirection direction(m_.seed, static_cast<std::uint32_t>(step),
                                        static_cast<std::uint32_t>(chunk.begin + n), s_.outputs);
      sample.direction = &direction;
      losses_[n] = mlp_sample_loss<Exact64>(m_.loss, s_.outputs, sample).v;
    });
    __syncthreads();
  }

  __device__ void backward(const EnsembleChunk& chunk) const {
    for (std::int32_t l = m_.layers - 1; l >= 1; --l) {
      const double* w = weights_ + weight_offset(l + 1);
      const double* above = delta(l + 1);
      const double* slopes = slope(l);
      double* deltas = delta(l);
      const std::int64_t in = m_.widths[l], out = m_.widths[l + 1];
      each(in, chunk.padded, [&](std::int64_t i, std::int64_t n) {
        double sum = 0;
        for (std::int64_t k = 0; k < out; ++k) sum = __fma_rn(w[k * in + i], above[k * room_ + n], sum);
        deltas[i * room_ + n] = __dmul_rn(sum, slopes[i * room_ + n]);
      });
      __syncthreads();
    }
  }

  // Sums over samples are taken by lanes of four.
  __device__ void add_gradient(const EnsembleChunk& chunk) const {
    for (std::int32_t l = 1; l <= m_.layers; ++l) {
      const std::int64_t in = m_.widths[l - 1], out = m_.widths[l];
      const double* below = l == 1 ? chunk.x : value(l - 1);
      const std::int64_t below_stride = l == 1 ? chunk.stride : room_;
      const double* deltas = delta(l);
      double* weights = gradient_ + weight_offset(l);
      double* biases = gradient_ + bias_offset(l);
      each(out * in, [&](std::int64_t e) {
        const Quotient at = divide(e, in);
        const double* d = deltas + at.quotient * room_;
        const double* x = below + at.remainder * below_stride;
        double sums[4] = {};
        for (std::int64_t n = 0; n < chunk.padded; n += 4) {
          for (int lane = 0; lane < 4; ++lane) sums[lane] = __fma_rn(d[n + lane], x[n + lane], sums[lane]);
        }
        weights[e] = __dadd_rn(weights[e], folded(sums));
      });
      if (m_.biases == 0) continue;
      each(out, [&](std::int64_t i) {
        const double* d = deltas + i * room_;
        double sums[4] = {};
        for (std::int64_t n = 0; n < chunk.padded; n += 4) {
          for (int lane = 0; lane < 4; ++lane) sums[lane] = __dadd_rn(sums[lane], d[n + lane]);
        }
        biases[i] = __dadd_rn(biases[i], folded(sums));
      });
    }
    __syncthreads();
  }
  static __device__ double folded(const double (&sums)[4]) {
    return __dadd_rn(__dadd_rn(sums[0], sums[1]), __dadd_rn(sums[2], sums[3]));
  }

  const EnsembleMember& m_;
  double* numbers_;
  const EnsembleSamples& s_;
  std::int64_t parameters_, room_;
  double *weights_, *gradient_, *velocity_, *noise_, *layers_, *losses_;
  double *batch_x_ = nullptr, *batch_y_ = nullptr, *batch_factors_ = nullptr;
  std::int32_t* batch_ = nullptr;
};

__global__ void __launch_bounds__(kEnsembleThreads)
    ensemble_descent_kernel(EnsembleMember* members, double* numbers, EnsembleSamples samples,
                            const double* lr, std::int64_t steps) {
  __shared__ SharedArray<double, kMaxWarps> partial;
  __shared__ SharedArray<double, 4> few;
  __shared__ SharedArray<std::uint64_t, 1> taken;
  EnsembleMember& member = members[blockIdx.x];
  if (member.done != 0) return;
  const EnsembleBlock block(member, numbers, samples, dynamic_shared<double>());
  std::uint64_t words = member.words, normals = member.normals;
  std::int64_t step = member.steps;
  const std::int64_t end = step + steps;
  double loss = member.last_loss;  // thread 0's
  bool done = false, finite = true;
  block.load();
  for (; step < end; ++step) {
    if (member.batch > 0) words += block.draw_batch(words, taken);
    loss = block.gradient(step, few);
    const double squares = block_reduce(block.gradient_squares(), Sum(), partial);
    const double known = block_reduce(threadIdx.x == 0 ? loss : 0.0, Sum(), partial);
    finite = isfinite(known) && isfinite(squares);
    // Where nothing is random, and below a loss of 1e-28, where subnormal numbers would only cost time.
    const bool still = member.batch == 0 && member.loss != MlpLoss::qmse && member.noise == StepNoise::none &&
                       (squares == 0 || known < 1e-28);
    done = !finite || still;
    if (done) break;
    if (member.noise != StepNoise::none) {
      block.add_noise(normals, few);
      normals += static_cast<std::uint64_t>(block.parameters());
    }
    block.update(lr[blockIdx.x * steps + step - (end - steps)]);
  }
  block.store();
  if (threadIdx.x != 0) return;
  member.words = words;
  member.normals = normals;
  member.steps = step;
  member.last_loss = loss;
  member.done = done ? 1 : 0;
  member.finite = finite ? 1 : 0;
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void ensemble_descent(Gpu& gpu, std::int64_t count, EnsembleMember* members, double* numbers,
                      const EnsembleSamples& samples, const double* lr, std::int64_t steps,
                      std::int64_t scratch) {
  using namespace device;
  const std::int64_t shared = scratch < kEnsembleSharedDoubles ? scratch : kEnsembleSharedDoubles;
  gpu.launch(
      QMSE_KERNEL(ensemble_descent_kernel),
      LaunchShape{grid_blocks(count, 1), kEnsembleThreads, static_cast<std::size_t>(shared) * sizeof(double)},
      members, numbers, samples, lr, steps);
}

}  // namespace qmse
