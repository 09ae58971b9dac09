// Inputs and targets of a small problem, in f64.
#pragma once

#include <cstdint>
#include <vector>

namespace qmse {

// Sample n's input k is x[k * stride + n], its target o is y[o * stride + n]. The stride is `count` rounded
// up to a multiple of 4; what lies between is 0.
struct Samples {
  std::int64_t count = 0, inputs = 0, outputs = 0, stride = 0;
  std::vector<double> x, y;

  double& input(std::int64_t n, std::int64_t k) { return x[static_cast<std::size_t>(k * stride + n)]; }
  double& target(std::int64_t n, std::int64_t o) { return y[static_cast<std::size_t>(o * stride + n)]; }
  double input(std::int64_t n, std::int64_t k) const { return x[static_cast<std::size_t>(k * stride + n)]; }
  double target(std::int64_t n, std::int64_t o) const { return y[static_cast<std::size_t>(o * stride + n)]; }
};

// All zeros. ShapeError unless all three are at least 1.
Samples make_samples(std::int64_t count, std::int64_t inputs, std::int64_t outputs);

// Of one output.
double mean_target(const Samples& samples, std::int64_t output);

}  // namespace qmse
