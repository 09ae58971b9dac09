// How long something takes, for people.
#pragma once

#include <string>

namespace qmse::app {

// "2 h 5 min", "12 min", "40 s", "3.2 s"
std::string duration_text(double seconds);

// `value` by a printf format for one double; "nan" whatever its sign.
std::string number_text(const char* format, double value);

}  // namespace qmse::app
