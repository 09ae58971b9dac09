// A small random image set in device memory, for tests.
#pragma once

#include <vector>

#include "engine/batch_pass.h"
#include "engine/tensor.h"
#include "random/philox.h"

namespace qmse::test {

// `value(i)` in [0, 1), a function of seed and i.
inline double uniform(std::uint64_t seed, std::uint32_t i) {
  return uniform_from_bits(random_bits(seed, RandomPurpose::test, 0, 0, 0, i).x[0]);
}

template <class T>
struct ToyData {
  ToyData(Context& context, std::int64_t samples, const Shape& sample_shape, std::int64_t classes,
          std::uint64_t seed)
      : images(context, DType::u8, sample_shape.with_batch(samples), "toy images"),
        labels(context, DType::i32, {samples}, "toy labels"),
        scale(context, dtype_of<T>(), {sample_shape[0]}, "toy scale"),
        shift(context, dtype_of<T>(), {sample_shape[0]}, "toy shift") {
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(images.shape().count()));
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      pixels[i] = static_cast<std::uint8_t>(256 * uniform(seed, static_cast<std::uint32_t>(i)));
    }
    std::vector<std::int32_t> answers(static_cast<std::size_t>(samples));
    for (std::size_t i = 0; i < answers.size(); ++i) {
      answers[i] = static_cast<std::int32_t>(static_cast<double>(classes) *
                                             uniform(seed + 1, static_cast<std::uint32_t>(i)));
    }
    images.write<std::uint8_t>(pixels);
    labels.write<std::int32_t>(answers);
    scale.write<T>(std::vector<T>(static_cast<std::size_t>(sample_shape[0]), T(1) / T(64)));
    shift.write<T>(std::vector<T>(static_cast<std::size_t>(sample_shape[0]), T(-2)));
    resident = {samples,
                sample_shape,
                classes,
                images.as<std::uint8_t>(),
                labels.as<std::int32_t>(),
                scale.template as<T>(),
                shift.template as<T>()};
  }

  Tensor images, labels, scale, shift;
  ResidentData<T> resident;
};

inline Network network_of(const auto& model, ParameterStore& store) {
  return [&model, &store](Tape& tape, Value input) { return model.record(tape, store, input); };
}

}  // namespace qmse::test
