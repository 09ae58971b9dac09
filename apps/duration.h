// How long something takes, for people.
#pragma once

#include <string>

namespace qmse::app {

// "2 h 5 min", "12 min", "40 s", "3.2 s"
std::string duration_text(double seconds);

}  // namespace qmse::app
