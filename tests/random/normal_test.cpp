#include "random/normal.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "tests/support/catch.h"

using namespace qmse;

namespace {

constexpr std::uint64_t kSeed = 20240229;
constexpr double kUnit = 0x1p-24;  // half a unit in the last place of an f32 just above a power of two

// The definitions of normal.h in f64.
double reference_minus_two_log(std::uint32_t bits) {
  const double u = (2.0 * (bits & 0x7fffffffu) + 1.0) / 4294967296.0;
  return -2.0 * std::log(u);
}

std::pair<double, double> reference_normals(std::uint32_t bits_r, std::uint32_t bits_angle) {
  double j = bits_angle & 0x7fffffffu;
  if (j >= 1073741824.0) j -= 2147483648.0;
  const double theta = std::acos(-1.0) / 4.0 * (2.0 * j + 1.0) / 2147483648.0;
  const double r = std::sqrt(reference_minus_two_log(bits_r));
  double a = r * std::cos(theta);
  const double b = r * std::sin(theta);
  if (bits_r >> 31 != 0) a = -a;
  if (bits_angle >> 31 != 0) return {b, a};
  return {a, b};
}

double relative_error(double value, double reference) {
  return std::fabs(value - reference) / std::fabs(reference);
}

// Bits to scan: both ends densely, both sides of every power of two, and an even spread (a stride prime
// to 2^32).
std::vector<std::uint32_t> scan() {
  std::vector<std::uint32_t> bits;
  for (std::uint32_t i = 0; i < 20000; ++i) {
    bits.push_back(i);
    bits.push_back(0x7fffffffu - i);
    bits.push_back(0x80000000u + i);
    bits.push_back(0xffffffffu - i);
  }
  for (int power = 15; power < 31; ++power) {
    for (std::uint32_t i = 0; i < 2000; ++i) {
      bits.push_back((1u << power) - i);
      bits.push_back((1u << power) + i);
      bits.push_back((3u << (power - 1)) + i);
    }
  }
  for (std::uint32_t i = 0; i < 400000; ++i) bits.push_back(i * 2654435761u);
  return bits;
}

// Draws 4 * blocks normals.
std::vector<float> draw(std::uint32_t stream, std::uint32_t blocks) {
  std::vector<float> normals;
  normals.reserve(4 * blocks);
  for (std::uint32_t block = 0; block < blocks; ++block) {
    const Group<float, 4> quad =
        normals_from_bits(random_bits(kSeed, RandomPurpose::test, 0, stream, 0, block));
    normals.insert(normals.end(), quad.v, quad.v + 4);
  }
  return normals;
}

[[gnu::noinline]] float multiply_then_add(float a, float b, float c) { return a * b + c; }

}  // namespace

TEST_CASE("normal: this build does not contract a*b+c") {
  // (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24 exactly, and 0 where the product is rounded first.
  const float a = 1.0f + 0x1p-12f;
  const float c = -(1.0f + 0x1p-11f);
  CHECK(multiply_then_add(a, a, c) == 0.0f);
  CHECK(fma_rn(a, a, c) == 0x1p-24f);
  CHECK(add_rn(mul_rn(a, a), c) == 0.0f);
}

TEST_CASE("normal: leading zeros of every odd length") {
  for (int top = 0; top < 32; ++top) {
    const std::uint32_t lowest = (1u << top) | 1u;
    const std::uint32_t highest = top == 31 ? 0xffffffffu : (2u << top) - 1u;
    CAPTURE(top);
    CHECK(detail::leading_zeros(lowest) == 31 - top);
    CHECK(detail::leading_zeros(highest) == 31 - top);
    for (std::uint32_t i = 0; i < 2000; ++i) {
      const std::uint32_t value = lowest | (i * 2654435761u & (highest >> 1)) | 1u;
      if (detail::leading_zeros(value) != __builtin_clz(value)) FAIL("leading_zeros of " << value);
    }
  }
}

TEST_CASE("normal: the logarithm is within 3.5 * 2^-24 of f64") {
  double worst = 0.0;
  std::uint32_t worst_bits = 0;
  for (std::uint32_t bits : scan()) {
    const double error = relative_error(minus_two_log(bits), reference_minus_two_log(bits));
    if (error > worst) {
      worst = error;
      worst_bits = bits;
    }
  }
  CAPTURE(worst_bits, worst / kUnit);
  CHECK(worst < 3.5 * kUnit);
}

TEST_CASE("normal: both numbers are within 5.5 * 2^-24 of f64") {
  double worst = 0.0;
  std::uint32_t worst_r = 0, worst_angle = 0;
  const std::vector<std::uint32_t> bits = scan();
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const std::uint32_t bits_r = bits[i];
    const std::uint32_t bits_angle = bits[(i * 40503) % bits.size()];
    const NormalPair pair = normals_from_bits(bits_r, bits_angle);
    const auto [a, b] = reference_normals(bits_r, bits_angle);
    const double error = std::max(relative_error(pair.a, a), relative_error(pair.b, b));
    if (error > worst) {
      worst = error;
      worst_r = bits_r;
      worst_angle = bits_angle;
    }
  }
  CAPTURE(worst_r, worst_angle, worst / kUnit);
  CHECK(worst < 5.5 * kUnit);
}

TEST_CASE("normal: the largest value is 6.661 and none is zero") {
  // k = 0 is the smallest u, 2^-32; theta is smallest for j = 0 and j = -1.
  CHECK(normals_from_bits(0, 0).a == Approx(std::sqrt(64.0 * std::log(2.0))).epsilon(1e-6));
  CHECK(normals_from_bits(0x80000000u, 0).a == Approx(-std::sqrt(64.0 * std::log(2.0))).epsilon(1e-6));
  CHECK(normals_from_bits(0, 0x80000000u).b == Approx(std::sqrt(64.0 * std::log(2.0))).epsilon(1e-6));
  for (std::uint32_t bits_r : {0u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    for (std::uint32_t bits_angle : {0u, 0x3fffffffu, 0x40000000u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
      const NormalPair pair = normals_from_bits(bits_r, bits_angle);
      CAPTURE(bits_r, bits_angle);
      CHECK(std::fabs(pair.a) <= 6.661f);
      CHECK(std::fabs(pair.b) <= 6.661f);
      CHECK(std::fabs(pair.a) > 0.0f);
      CHECK(std::fabs(pair.b) > 0.0f);
    }
  }
}

TEST_CASE("normal: moments are those of N(0, 1)") {
  INFO("seed " << kSeed);
  const std::vector<float> normals = draw(1, 100000);
  const double n = static_cast<double>(normals.size());
  double moments[7] = {};
  for (float x : normals) {
    double power = 1.0;
    for (int k = 1; k <= 6; ++k) moments[k] += (power *= x) / n;
  }
  // E x^k is 0, 1, 0, 3, 0, 15, its variance E x^(2k) - (E x^k)^2; five standard deviations.
  const double expected[7] = {1, 0, 1, 0, 3, 0, 15};
  const double even[7] = {1, 1, 3, 15, 105, 945, 10395};
  for (int k = 1; k <= 6; ++k) {
    CAPTURE(k);
    CHECK(std::fabs(moments[k] - expected[k]) < 5.0 * std::sqrt((even[k] - expected[k] * expected[k]) / n));
  }
}

TEST_CASE("normal: Kolmogorov-Smirnov distance to N(0, 1)") {
  INFO("seed " << kSeed);
  for (std::uint32_t stream : {2u, 3u, 4u}) {
    std::vector<float> normals = draw(stream, 25000);
    std::sort(normals.begin(), normals.end());
    const double n = static_cast<double>(normals.size());
    double distance = 0.0;
    for (std::size_t i = 0; i < normals.size(); ++i) {
      const double cdf = 0.5 * std::erfc(-normals[i] / std::sqrt(2.0));
      distance = std::max({distance, cdf - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - cdf});
    }
    // P(sqrt(n) D > 1.95) is 0.001 (2 exp(-2 x^2)).
    CAPTURE(stream);
    CHECK(distance * std::sqrt(n) < 1.95);
  }
}

TEST_CASE("normal: tails have the right weight") {
  INFO("seed " << kSeed);
  const std::vector<float> normals = draw(5, 250000);
  const double n = static_cast<double>(normals.size());
  for (float bound : {2.0f, 3.0f, 4.0f}) {
    for (float sign : {1.0f, -1.0f}) {
      const auto count =
          std::count_if(normals.begin(), normals.end(), [&](float x) { return sign * x > bound; });
      const double expected = n * 0.5 * std::erfc(bound / std::sqrt(2.0));
      CAPTURE(bound, sign);
      CHECK(std::fabs(static_cast<double>(count) - expected) < 5.0 * std::sqrt(expected));
    }
  }
}

TEST_CASE("normal: the numbers of a block are independent") {
  INFO("seed " << kSeed);
  const std::vector<float> normals = draw(6, 100000);
  const double n = static_cast<double>(normals.size() / 4);
  for (int i = 0; i < 4; ++i) {
    for (int j = i + 1; j < 4; ++j) {
      double product = 0.0, squares = 0.0;
      std::uint32_t quadrants[4] = {};
      for (std::size_t k = 0; k < normals.size(); k += 4) {
        const double x = normals[k + static_cast<std::size_t>(i)];
        const double y = normals[k + static_cast<std::size_t>(j)];
        product += x * y / n;
        squares += (x * x - 1.0) * (y * y - 1.0) / n;
        ++quadrants[(x > 0.0 ? 1 : 0) + (y > 0.0 ? 2 : 0)];
      }
      CAPTURE(i, j);
      CHECK(std::fabs(product) < 5.0 / std::sqrt(n));        // Var xy = 1
      CHECK(std::fabs(squares) < 5.0 * 2.0 / std::sqrt(n));  // Var (x^2-1)(y^2-1) = 4
      for (std::uint32_t count : quadrants) {
        CHECK(std::fabs(count - n / 4.0) < 5.0 * std::sqrt(n * 3.0 / 16.0));
      }
    }
  }
}

// The bits are part of the file format: a resumed run, the CPU and a GPU must all draw these.
TEST_CASE("normal: recorded bits") {
  struct Recorded {
    PhiloxBlock bits;
    std::uint32_t normals[4];
  };
  const Recorded recorded[] = {
      {{{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
       {0xbe7c1fe7u, 0x3f1ff637u, 0x3ecc499eu, 0xbf946f69u}},
      {{{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
       {0x3f585f88u, 0xbf4f1c2au, 0xbfcadf00u, 0xbebd40d0u}},
      {{{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
       {0x3e782207u, 0xbf6b7571u, 0x3f604197u, 0x3ed49da1u}},
      {{{0x00000000u, 0x00000000u, 0xffffffffu, 0xffffffffu}},
       {0x40d5224du, 0x31276522u, 0xa80e2c19u, 0xb7b504f3u}},
      {{{0x80000000u, 0x7fffffffu, 0x00000001u, 0x40000000u}},
       {0xc0d5224du, 0xb1276522u, 0x4092edc5u, 0xc092edc5u}},
  };
  for (const Recorded& record : recorded) {
    const Group<float, 4> quad = normals_from_bits(record.bits);
    for (int i = 0; i < 4; ++i) {
      CAPTURE(i);
      CHECK(bits_from_float(quad.v[i]) == record.normals[i]);
    }
  }
}
