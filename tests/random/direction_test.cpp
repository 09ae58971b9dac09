#include "random/direction.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

constexpr std::uint64_t kSeed = 77001;

const std::int64_t kSizes[] = {1,  2,  3,  4,  5,   7,   8,   10,  31,   32,   33,   63,    64,
                               65, 95, 96, 97, 127, 128, 129, 255, 1000, 1023, 4097, 100003};

std::vector<float> draw(DirectionDistribution distribution, std::uint64_t seed, std::uint32_t step,
                        std::uint32_t sample, std::int64_t c) {
  std::vector<float> v(static_cast<std::size_t>(c), 99.0f);
  draw_direction(distribution, seed, step, sample, c, v.data());
  return v;
}

double norm(const std::vector<float>& v) {
  double sum = 0.0;
  for (float x : v) sum += static_cast<double>(x) * x;
  return std::sqrt(sum);
}

// The normals of an attempt as a kernel gets them, one component at a time.
std::vector<float> attempt_normals(std::uint32_t attempt, std::uint32_t step, std::uint32_t sample,
                                   std::int64_t c) {
  std::vector<float> n;
  for (std::int64_t i = 0; i < c; ++i) {
    n.push_back(direction_normals(kSeed, attempt, step, sample, static_cast<std::uint32_t>(i / 4)).v[i % 4]);
  }
  return n;
}

// Rejected if the squared length, known to an f64's precision, is below c/16 (never within the tests within
// 2^-23 of it).
std::uint32_t accepted_attempt(std::uint32_t step, std::uint32_t sample, std::int64_t c) {
  for (std::uint32_t attempt = 0;; ++attempt) {
    const double length = norm(attempt_normals(attempt, step, sample, c));
    if (c == 1 || length * length >= static_cast<double>(c) / 16.0) return attempt;
  }
}

// Mean of `f(v)` over `draws` samples.
template <class F>
double mean_over_draws(DirectionDistribution distribution, std::int64_t c, int draws, const F& f) {
  std::vector<float> v(static_cast<std::size_t>(c));
  double sum = 0.0;
  for (int k = 0; k < draws; ++k) {
    draw_direction(distribution, kSeed, 3, static_cast<std::uint32_t>(k), c, v.data());
    sum += f(v);
  }
  return sum / draws;
}

double dot(const std::vector<float>& v, const std::vector<double>& r) {
  double sum = 0.0;
  for (std::size_t i = 0; i < v.size(); ++i) sum += v[i] * r[i];
  return sum;
}

}  // namespace

TEST_CASE("direction: a v that is wanted again is another one, of attempts that no first v has") {
  for (const DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    for (const std::int64_t c : {2, 10, 129}) {
      CAPTURE(static_cast<int>(distribution), c);
      int different = 0;
      for (std::uint32_t sample = 0; sample < 50; ++sample) {
        const std::vector<float> first = draw(distribution, kSeed, 4, sample, c);
        std::vector<float> again(first.size());
        draw_direction(distribution, kSeed, 4, sample, c, again.data(), 0);
        CHECK(again == first);
        draw_direction(distribution, kSeed, 4, sample, c, again.data(), kMaxRedraws);
        CHECK(norm(again) == Approx(1).epsilon(1e-6));
        different += again != first ? 1 : 0;
      }
      CHECK(different > 20);  // Rademacher's of c = 2 is the same in a quarter of the samples
    }
  }
  // As a kernel makes it: attempts count from first_attempt().
  std::vector<float> v(3);
  draw_direction(DirectionDistribution::rademacher, kSeed, 4, 9, 3, v.data(), 5);
  const PhiloxBlock bits = rademacher_bits(kSeed, first_attempt(5), 4, 9, 0);
  for (std::uint32_t i = 0; i < 3; ++i)
    CHECK(v[i] == rademacher_component(bits.x[0], i, rademacher_magnitude(3)));
}

TEST_CASE("direction: unit length at every size") {
  INFO("seed " << kSeed);
  for (std::int64_t c : kSizes) {
    const std::uint32_t draws = c <= 128 ? 2000 : c <= 4097 ? 20 : 2;
    double worst_sphere = 0.0, worst_rademacher = 0.0;
    for (std::uint32_t sample = 0; sample < draws; ++sample) {
      worst_sphere = std::max(
          worst_sphere, std::fabs(norm(draw(DirectionDistribution::sphere, kSeed, 1, sample, c)) - 1.0));
      worst_rademacher =
          std::max(worst_rademacher,
                   std::fabs(norm(draw(DirectionDistribution::rademacher, kSeed, 1, sample, c)) - 1.0));
    }
    CAPTURE(c);
    CHECK(worst_sphere < 2e-7);                 // see direction.h
    CHECK(worst_rademacher < 0x1p-24 * 1.001);  // one rounding of 1/sqrt(c)
  }
}

TEST_CASE("direction: for one component exactly +1 or -1, equally often") {
  INFO("seed " << kSeed);
  for (DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    int positive = 0;
    const int draws = 10000;
    for (std::uint32_t sample = 0; sample < draws; ++sample) {
      const float v = draw(distribution, kSeed, 1, sample, 1)[0];
      if (v != 1.0f && v != -1.0f) FAIL("v = " << v);
      positive += v > 0.0f;
    }
    CHECK(std::abs(positive - draws / 2) < 5 * 50);  // standard deviation sqrt(10000)/2 = 50
  }
}

TEST_CASE("direction: sphere is the normals over their length") {
  INFO("seed " << kSeed);
  for (std::int64_t c : kSizes) {
    for (std::uint32_t sample = 0; sample < (c <= 128 ? 30u : 1u); ++sample) {
      const std::vector<float> n = attempt_normals(accepted_attempt(2, sample, c), 2, sample, c);
      const std::vector<float> v = draw(DirectionDistribution::sphere, kSeed, 2, sample, c);
      const double length = norm(n);
      double worst = 0.0;
      for (std::size_t i = 0; i < v.size(); ++i)
        worst = std::max(worst, std::fabs(v[i] / (n[i] / length) - 1.0));
      CAPTURE(c, sample, worst);
      CHECK(worst < 3.3e-7);  // the bound of direction.h for the shortest n
    }
  }
}

TEST_CASE("direction: the same bits in every order of summation") {
  INFO("seed " << kSeed);
  for (std::int64_t c : kSizes) {
    const std::uint32_t sample = 5;
    const std::vector<float> n = attempt_normals(accepted_attempt(2, sample, c), 2, sample, c);
    const std::vector<float> v = draw(DirectionDistribution::sphere, kSeed, 2, sample, c);
    std::uint64_t forward = 0, backward = 0;
    for (float x : n) forward += direction_square(x);
    for (std::size_t i = n.size(); i-- > 0;) backward += direction_square(n[i]);
    // As a block of 32 threads would: strided partial sums, then a tree.
    std::uint64_t partial[32] = {};
    for (std::size_t i = 0; i < n.size(); ++i) partial[i % 32] += direction_square(n[i]);
    for (int width = 16; width > 0; width /= 2) {
      for (int lane = 0; lane < width; ++lane) partial[lane] += partial[lane + width];
    }
    CAPTURE(c);
    CHECK(direction_accept(forward, c));
    CHECK(forward == backward);
    CHECK(forward == partial[0]);
    const float inverse_norm = direction_inverse_norm(partial[0]);
    std::size_t different = 0;
    for (std::size_t i = 0; i < v.size(); ++i)
      different += v[i] != direction_component(n[i], inverse_norm, c);
    CHECK(different == 0);
  }
}

TEST_CASE("direction: squares are fixed-point numbers that cannot overflow") {
  CHECK(direction_square(0.0f) == 0u);
  CHECK(direction_square(1.0f) == 1u << 25);
  CHECK(direction_square(-1.5f) == 75497472u);  // 2.25 * 2^25
  CHECK(direction_square(0x1p-13f) == 1u);      // half a unit is rounded up
  CHECK(direction_square(0x1.6p-14f) == 0u);
  CHECK(direction_square(6.661f) < 1u << 31);
  // The four of a block at most: two pairs whose squares add up to minus_two_log, 44.36 at most.
  const Group<float, 4> quad = normals_from_bits(PhiloxBlock{{0, 0x20000000u, 0, 0x20000000u}});
  std::uint64_t sum = 0;
  for (float x : quad.v) sum += direction_square(x);
  CHECK(sum > 2900000000u);
  CHECK(sum < std::uint64_t{1} << 32);
}

TEST_CASE("direction: short draws are rejected and drawn again") {
  INFO("seed " << kSeed);
  const int draws = 20000;
  // P(chi^2_c < c/16): c = 2 is 1 - exp(-1/16), c = 4 is 1 - exp(-1/8) (1 + 1/8).
  const struct {
    std::int64_t c;
    double probability;
  } cases[] = {{2, 1.0 - std::exp(-1.0 / 16.0)}, {4, 1.0 - std::exp(-0.125) * 1.125}};
  for (const auto& [c, probability] : cases) {
    int rejected = 0;
    for (std::uint32_t sample = 0; sample < draws; ++sample) {
      std::uint64_t sum = 0;
      for (float x : attempt_normals(0, 4, sample, c)) sum += direction_square(x);
      if (direction_accept(sum, c)) continue;
      ++rejected;
      const std::uint32_t attempt = accepted_attempt(4, sample, c);
      REQUIRE(attempt > 0);
      const std::vector<float> n = attempt_normals(attempt, 4, sample, c);
      const std::vector<float> v = draw(DirectionDistribution::sphere, kSeed, 4, sample, c);
      if (std::fabs(v[0] - n[0] / norm(n)) > 1e-6) FAIL("sample " << sample << " is not attempt " << attempt);
    }
    CAPTURE(c);
    CHECK(std::fabs(rejected - draws * probability) <
          5.0 * std::sqrt(draws * probability * (1.0 - probability)));
  }
  CHECK(direction_accept(std::uint64_t{10} << 21, 10));
  CHECK_FALSE(direction_accept((std::uint64_t{10} << 21) - 1, 10));
  CHECK_FALSE(direction_accept((std::uint64_t{63} << 21) - 1, 63));
  CHECK(direction_accept(1, kDirectionAlwaysAccepted));
  CHECK(direction_accept(0, 1));
}

TEST_CASE("direction: the sphere is covered evenly") {
  INFO("seed " << kSeed);
  const int draws = 40000;
  // c = 2: the angle, in 64 equal sectors; chi^2 with 63 degrees of freedom exceeds 120 with
  // probability 2e-5.
  int sectors[64] = {};
  mean_over_draws(DirectionDistribution::sphere, 2, draws, [&](const std::vector<float>& v) {
    const double turn = std::atan2(v[1], v[0]) / (2.0 * std::acos(-1.0)) + 0.5;
    ++sectors[std::min(63, static_cast<int>(turn * 64.0))];
    return 0.0;
  });
  double chi_squared = 0.0;
  for (int count : sectors) chi_squared += (count - draws / 64.0) * (count - draws / 64.0) / (draws / 64.0);
  CHECK(chi_squared < 120.0);
  // c = 3: each component is uniform in [-1, 1] (Archimedes); Kolmogorov-Smirnov, P(sqrt(n) D > 1.95)
  // = 0.001.
  for (std::size_t component = 0; component < 3; ++component) {
    std::vector<double> values;
    mean_over_draws(DirectionDistribution::sphere, 3, draws, [&](const std::vector<float>& v) {
      values.push_back(v[component]);
      return 0.0;
    });
    std::sort(values.begin(), values.end());
    double distance = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double cdf = 0.5 * (values[i] + 1.0);
      distance = std::max(
          {distance, cdf - static_cast<double>(i) / draws, static_cast<double>(i + 1) / draws - cdf});
    }
    CAPTURE(component);
    CHECK(distance * std::sqrt(draws) < 1.95);
  }
}

TEST_CASE("direction: moments of <v, r> are the closed forms") {
  INFO("seed " << kSeed);
  for (std::int64_t c : {2, 3, 10, 33}) {
    std::vector<double> r;
    for (std::int64_t i = 0; i < c; ++i)
      r.push_back(std::cos(1.7 * static_cast<double>(i)) + (i == 1 ? 1.5 : 0.0));
    double r2 = 0.0, sum_r4 = 0.0;
    for (double x : r) {
      r2 += x * x;
      sum_r4 += x * x * x * x;
    }
    const auto d = static_cast<double>(c);
    const int draws = 60000;
    for (DirectionDistribution distribution :
         {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
      const bool sphere = distribution == DirectionDistribution::sphere;
      const double second = r2 / d;
      const double fourth =
          sphere ? 3.0 * r2 * r2 / (d * (d + 2.0)) : (3.0 * r2 * r2 - 2.0 * sum_r4) / (d * d);
      // On the sphere E x^8 = 105 |r|^8 / (c (c+2) (c+4) (c+6)); for Rademacher 105 |r|^8 / c^4 is
      // Khinchine's bound.
      const double eighth =
          105.0 * std::pow(r2, 4) / (sphere ? d * (d + 2.0) * (d + 4.0) * (d + 6.0) : d * d * d * d);
      double first_mean = 0.0, second_mean = 0.0, fourth_mean = 0.0;
      mean_over_draws(distribution, c, draws, [&](const std::vector<float>& v) {
        const double x = dot(v, r);
        first_mean += x / draws;
        second_mean += x * x / draws;
        fourth_mean += x * x * x * x / draws;
        return 0.0;
      });
      CAPTURE(c, sphere);
      CHECK(std::fabs(first_mean) < 5.0 * std::sqrt(second / draws));
      CHECK(std::fabs(second_mean - second) <
            5.0 * std::sqrt((fourth - second * second) / draws) + 1e-6 * second);
      CHECK(std::fabs(fourth_mean - fourth) <
            5.0 * std::sqrt((eighth - fourth * fourth) / draws) + 1e-6 * fourth);
    }
  }
}

TEST_CASE("direction: seeds, steps and samples give independent directions") {
  INFO("seed " << kSeed);
  const std::int64_t c = 10;
  const int draws = 20000;
  for (DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    double by_sample = 0.0, by_step = 0.0, by_seed = 0.0, by_batch = 0.0;
    for (std::uint32_t k = 0; k < draws; ++k) {
      const std::vector<float> v = draw(distribution, kSeed, k, 9, c);
      const std::vector<double> base(v.begin(), v.end());
      by_sample += dot(draw(distribution, kSeed, k, 10, c), base) / draws;
      by_step += dot(draw(distribution, kSeed, k + 1, 9, c), base) / draws;
      by_seed += dot(draw(distribution, kSeed + 1, k, 9, c), base) / draws;
      by_batch += dot(draw(distribution, kSeed, k, kWholeBatch, c), base) / draws;
      if (draw(distribution, kSeed, k, 9, c) != v) FAIL("two draws of one direction differ");
    }
    // The product of two independent unit vectors has mean 0 and variance 1/c.
    const double bound = 5.0 / std::sqrt(static_cast<double>(c) * draws);
    CHECK(std::fabs(by_sample) < bound);
    CHECK(std::fabs(by_step) < bound);
    CHECK(std::fabs(by_seed) < bound);
    CHECK(std::fabs(by_batch) < bound);
  }
}

TEST_CASE("direction: Rademacher takes the documented bit") {
  const std::int64_t c = 300;
  const std::vector<float> v = draw(DirectionDistribution::rademacher, kSeed, 6, 8, c);
  for (std::int64_t i = 0; i < c; ++i) {
    const PhiloxBlock bits =
        random_bits(kSeed, RandomPurpose::direction, 0, 6, 8, static_cast<std::uint32_t>(i / 128));
    const bool negative = (bits.x[i % 128 / 32] >> (i % 32) & 1u) != 0;
    CAPTURE(i);
    CHECK(v[static_cast<std::size_t>(i)] == (negative ? -1.0f : 1.0f) * rademacher_magnitude(c));
  }
}

TEST_CASE("direction: Rademacher's magnitude is correctly rounded") {
  const auto wrong = [](std::int64_t c) {
    const long double exact = 1.0L / std::sqrt(static_cast<long double>(c));
    const float value = rademacher_magnitude(c);
    const long double error = std::fabs(static_cast<long double>(value) - exact);
    return error > std::fabs(static_cast<long double>(std::nextafter(value, 2.0f)) - exact) ||
           error > std::fabs(static_cast<long double>(std::nextafter(value, 0.0f)) - exact);
  };
  for (std::int64_t c = 1; c < 200000; ++c) {
    if (wrong(c)) FAIL("c = " << c);
  }
  for (std::int64_t c = 1; c < (std::int64_t{1} << 32); c = c * 5 / 4 + 1) CHECK_FALSE(wrong(c));
  CHECK(rademacher_magnitude(1) == 1.0f);
  CHECK(rademacher_magnitude(4) == 0.5f);
}

// The bits are part of the file format: a resumed run, the CPU and a GPU must all draw these. The hash is
// FNV-1a over words.
TEST_CASE("direction: recorded bits") {
  struct Recorded {
    DirectionDistribution distribution;
    std::int64_t c;
    std::uint32_t first, last, hash;
  };
  const Recorded recorded[] = {
      {DirectionDistribution::sphere, 1, 0xbf800000u, 0xbf800000u, 0x558c5d1fu},
      {DirectionDistribution::sphere, 2, 0xbf7265b0u, 0x3ea4ad36u, 0x73ed1e5bu},
      {DirectionDistribution::sphere, 10, 0xbee955d3u, 0xbed313e5u, 0x92f36c44u},
      {DirectionDistribution::sphere, 1000, 0xbd7f79cbu, 0x3d6bbdbfu, 0x484e3eb4u},
      {DirectionDistribution::sphere, 1000003, 0xbb057a90u, 0x3a364078u, 0x352fa543u},
      {DirectionDistribution::rademacher, 1, 0x3f800000u, 0x3f800000u, 0xd58c5d1fu},
      {DirectionDistribution::rademacher, 2, 0x3f3504f3u, 0xbf3504f3u, 0xce3e5763u},
      {DirectionDistribution::rademacher, 10, 0x3ea1e89bu, 0xbea1e89bu, 0xffae8d8bu},
      {DirectionDistribution::rademacher, 1000, 0x3d0186e2u, 0x3d0186e2u, 0x871580c5u},
      {DirectionDistribution::rademacher, 1000003, 0x3a831262u, 0x3a831262u, 0x4fc032a5u},
  };
  for (const Recorded& record : recorded) {
    const std::vector<float> v = draw(record.distribution, 0x0123456789abcdef, 7, 11, record.c);
    std::uint32_t hash = 2166136261u;
    for (float x : v) hash = (hash ^ bits_from_float(x)) * 16777619u;
    CAPTURE(record.c, static_cast<int>(record.distribution));
    CHECK(bits_from_float(v.front()) == record.first);
    CHECK(bits_from_float(v.back()) == record.last);
    CHECK(hash == record.hash);
  }
}

TEST_CASE("direction: refuses sizes it cannot number") {
  float v = 0.0f;
  CHECK_THROWS_AS(draw_direction(DirectionDistribution::sphere, 1, 0, 0, 0, &v), ShapeError);
  CHECK_THROWS_AS(draw_direction(DirectionDistribution::rademacher, 1, 0, 0, -3, &v), ShapeError);
  CHECK_THROWS_AS(draw_direction(DirectionDistribution::sphere, 1, 0, 0, std::int64_t{1} << 32, &v),
                  ShapeError);
}
