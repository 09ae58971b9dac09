#include <algorithm>
#include <numeric>
#include <random>

#include "bench/kernels/cases.h"

namespace qmse::bench {
namespace {

constexpr std::int64_t kPart = 1 << 20;  // random numbers that are drawn; longer arrays repeat them

}  // namespace

void* Arrays::take(std::int64_t bytes) {
  Buffer& buffer =
      buffers_.emplace_back(context_->memory(), static_cast<std::size_t>(bytes), "benchmark data");
  fill_zero(*context_, buffer.data(), buffer.bytes());
  return buffer.data();
}

void* Arrays::repeat(const void* part, std::int64_t part_bytes, std::int64_t bytes) {
  auto* data = static_cast<char*>(take(bytes));
  std::int64_t filled = std::min(part_bytes, bytes);
  host_to_device(*context_, data, part, static_cast<std::size_t>(filled));
  while (filled < bytes) {
    const std::int64_t more = std::min(filled, bytes - filled);
    device_to_device(*context_, data + filled, data, static_cast<std::size_t>(more));
    filled += more;
  }
  return data;
}

float* Arrays::floats(std::int64_t count) {
  std::vector<float> part(static_cast<std::size_t>(std::min(count, kPart)));
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  for (float& value : part) value = uniform(generator);
  const auto size = static_cast<std::int64_t>(sizeof(float));
  return static_cast<float*>(
      repeat(part.data(), static_cast<std::int64_t>(part.size()) * size, count * size));
}

std::uint8_t* Arrays::bytes(std::int64_t count, unsigned below) {
  std::vector<std::uint8_t> part(static_cast<std::size_t>(std::min(count, kPart)));
  std::mt19937 generator(2);
  for (std::uint8_t& value : part) value = static_cast<std::uint8_t>(generator() % below);
  return static_cast<std::uint8_t*>(repeat(part.data(), static_cast<std::int64_t>(part.size()), count));
}

std::int32_t* Arrays::labels(std::int64_t count, std::int64_t classes) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(count));
  std::mt19937 generator(3);
  for (std::int32_t& value : values)
    value = static_cast<std::int32_t>(generator() % static_cast<std::uint32_t>(classes));
  const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(std::int32_t));
  return static_cast<std::int32_t*>(repeat(values.data(), bytes, bytes));
}

std::uint32_t* Arrays::indices(std::int64_t count) {
  std::vector<std::uint32_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0U);
  const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(std::uint32_t));
  return static_cast<std::uint32_t*>(repeat(values.data(), bytes, bytes));
}

double* Arrays::number(double value) {
  return static_cast<double*>(repeat(&value, sizeof(value), sizeof(value)));
}

}  // namespace qmse::bench
