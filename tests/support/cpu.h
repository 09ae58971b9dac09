// Short ways to a CPU context and to tensors' values in tests.
#pragma once

#include <memory>
#include <vector>

#include "engine/context.h"
#include "engine/tape.h"

namespace qmse::test {

inline Context cpu(int threads = 1) { return Context(std::make_unique<CpuContext>(threads)); }

template <class T>
std::vector<T> values(Tape& tape, Value value) {
  const T* data = tape.data_as<T>(value);
  return {data, data + tape.shape(value).count()};
}

template <class T>
std::vector<T> gradients(Tape& tape, Value value) {
  const T* data = static_cast<const T*>(tape.gradient(value));
  return {data, data + tape.shape(value).count()};
}

}  // namespace qmse::test
