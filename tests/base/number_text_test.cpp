#include "base/number_text.h"

#include <cmath>
#include <cstdint>

#include "tests/support/catch.h"

using namespace qmse;

TEST_CASE("number text: shortest, significant, fixed and signed") {
  CHECK(shortest_text(0.1) == "0.1");
  CHECK(shortest_text(1e-7) == "1e-07");
  CHECK(significant_text(0.00001234567, 4) == "1.235e-05");
  CHECK(significant_text(0.1, 4) == "0.1");
  CHECK(significant_text(100, 4) == "100");
  CHECK(fixed_text(0.125, 2) == "0.12");     // to even, as printf
  CHECK(fixed_text(99.995, 2) == "100.00");  // the double is above 99.995
  CHECK(fixed_text(1e300, 1).size() == 303);
  CHECK(signed_fixed_text(1.5, 2) == "+1.50");
  CHECK(signed_fixed_text(-1.5, 2) == "−1.50");
  CHECK(signed_fixed_text(-0.0, 1) == "−0.0");
}

TEST_CASE("number text: what is no number has no sign") {
  CHECK(shortest_text(NAN) == "nan");
  CHECK(fixed_text(-NAN, 2) == "nan");
  CHECK(significant_text(std::copysign(NAN, -1.0), 3) == "nan");
}

TEST_CASE("number text: a number is all of its text, and in range") {
  CHECK(number_from<std::int64_t>("-12") == -12);
  CHECK(number_from<double>("1e-3") == 1e-3);
  for (const char* text : {"", " 1", "1 ", "1x", "+1", "0x10", "1.5", "1e3", "99999999999999999999"}) {
    CAPTURE(std::string(text));
    CHECK_FALSE(number_from<std::int64_t>(text).has_value());
  }
  CHECK_FALSE(number_from<std::uint64_t>("-1").has_value());
  CHECK_FALSE(number_from<std::uint8_t>("256").has_value());
  CHECK_FALSE(number_from<double>("1e999").has_value());
}
