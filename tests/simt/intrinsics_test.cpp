// The executor's arithmetic intrinsics where the host's own operators would differ from CUDA's.
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/gpu/cuda_names.h"
#include "tests/support/catch.h"

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr int int_max = std::numeric_limits<int>::max();
constexpr int int_min = std::numeric_limits<int>::min();
constexpr unsigned uint_max = std::numeric_limits<unsigned>::max();

}  // namespace

TEST_CASE("intrinsics: conversions to integers round as named") {
  CHECK(__float2int_rn(2.5f) == 2);
  CHECK(__float2int_rn(3.5f) == 4);
  CHECK(__float2int_rn(-2.5f) == -2);
  CHECK(__float2int_rz(-2.9f) == -2);
  CHECK(__float2int_rd(-2.1f) == -3);
  CHECK(__float2int_ru(-2.9f) == -2);
  CHECK(__float2uint_rn(16777217.0f) == 16777216u);
  CHECK(__double2uint_rn(4294967294.5) == 4294967294u);
  CHECK(__double2ll_rn(-0.5) == 0);
}

TEST_CASE("intrinsics: conversions to integers clamp") {
  CHECK(__float2int_rz(2147483648.0f) == int_max);
  CHECK(__float2int_rz(-2147483648.0f) == int_min);
  CHECK(__float2int_rz(-inf) == int_min);
  CHECK(__float2int_rz(not_a_number) == 0);
  CHECK(__float2uint_rz(-1.0f) == 0u);
  CHECK(__float2uint_rz(4294967296.0f) == uint_max);
  CHECK(__float2uint_rz(4294967040.0f) == 4294967040u);
  CHECK(__double2int_rn(2147483647.5) == int_max);
  CHECK(__double2int_rn(2147483646.5) == 2147483646);
  CHECK(__double2ull_rz(1e30) == std::numeric_limits<unsigned long long>::max());
  CHECK(__float2ll_rz(inf) == std::numeric_limits<long long>::max());
}

TEST_CASE("intrinsics: conversions to floats round to nearest even") {
  CHECK(__int2float_rn(16777217) == 16777216.0f);
  CHECK(__uint2float_rn(uint_max) == 4294967296.0f);
  CHECK(__ull2float_rn(0xFFFFFF7FFFFFFFFFull) == 0x1.FFFFFEp63f);
  CHECK(__ull2float_rn(0x8000008000000001ull) == 0x1.000002p63f);  // rounded once: not by way of double
  CHECK(__double2float_rn(1.0 + 0x1p-24) == 1.0f);
}

TEST_CASE("intrinsics: bits") {
  CHECK(__float_as_uint(-0.0f) == 0x80000000u);
  CHECK(__uint_as_float(0x3F800000u) == 1.0f);
  CHECK(__float_as_int(__int_as_float(-5)) == -5);
  CHECK(__longlong_as_double(__double_as_longlong(-1.5)) == -1.5);
  CHECK(__clz(0) == 32);
  CHECK(__clz(1) == 31);
  CHECK(__clz(-1) == 0);
  CHECK(__clzll(1) == 63);
  CHECK(__popc(0xF0F0u) == 8);
  CHECK(__popcll(~0ull) == 64);
  CHECK(__ffs(0) == 0);
  CHECK(__ffs(8) == 4);
  CHECK(__brev(0x80000001u) == 0x80000001u);
  CHECK(__brev(0x0000000Du) == 0xB0000000u);
  CHECK(__umulhi(0xFFFFFFFFu, 0xFFFFFFFFu) == 0xFFFFFFFEu);
}

TEST_CASE("intrinsics: arithmetic is rounded once and never contracted") {
  const float a = 1.0f + 0x1p-12f,
              b = 1.0f - 0x1p-12f;  // a * b is 1 - 2^-24, which f32 holds; its sum with -1 too
  const float c = 1.0f + 0x1p-23f;
  CHECK(__fadd_rn(__fmul_rn(c, c), -c) == 0x1p-23f);  // the product is rounded before the sum
  CHECK(__fmaf_rn(c, c, -c) == 0x1p-23f + 0x1p-46f);  // and here it is not
  CHECK(__fmaf_rn(a, b, -1.0f) == -0x1p-24f);
  CHECK(__fma_rn(1.0 + 0x1p-52, 1.0 + 0x1p-52, -1.0) == 0x1p-51 + 0x1p-104);
  CHECK(__fdiv_rn(1.0f, 3.0f) == 1.0f / 3.0f);
  CHECK(__fsqrt_rn(2.0f) == std::sqrt(2.0f));
  CHECK(std::abs(rsqrtf(2.0f) - static_cast<float>(std::sqrt(0.5))) <= 0x1p-23f);
}

TEST_CASE("intrinsics: min and max drop a NaN") {
  CHECK(min(not_a_number, 1.0f) == 1.0f);
  CHECK(max(1.0f, not_a_number) == 1.0f);
  CHECK(min(-1, 2) == -1);
  CHECK(max(1u, uint_max) == uint_max);
}
