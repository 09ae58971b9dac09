#include "base/number_text.h"

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
