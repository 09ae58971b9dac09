// How the library says something to a person: it prints nothing itself,
// the application installs one of these.
#pragma once

#include <functional>
#include <string>

namespace qmse {

// Takes one line, without a line break, at a time: what was chosen automatically, or what is out of the
// ordinary. May be empty.
using Logger = std::function<void(const std::string& line)>;

}  // namespace qmse
