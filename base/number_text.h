// Numbers as text, with a point in every language.
#pragma once

#include <string>

namespace qmse {

std::string shortest_text(double value);                 // the fewest digits that are this value: "0.1"
std::string significant_text(double value, int digits);  // "1.235e-05", "0.1": of at most so many digits
std::string fixed_text(double value, int decimals);      // "0.10"
// With its sign, a minus as long as the plus: "+1.50", "−1.50".
std::string signed_fixed_text(double value, int decimals);

}  // namespace qmse
