// What an expected exception says.
#pragma once

#include <initializer_list>
#include <stdexcept>
#include <string>

namespace qmse::test {

// The message of the E that `function` throws; any other exception passes through,
// and none at all is an error.
template <class E, class Function>
std::string message_of(const Function& function) {
  try {
    function();
  } catch (const E& error) {
    return error.what();
  }
  throw std::logic_error("nothing was thrown");
}

// `message` is one line and has this part.
inline bool mentions(const std::string& message, const std::string& part) {
  return message.find(part) != std::string::npos && message.find('\n') == std::string::npos;
}

// The first of `parts` that `message` lacks, with the message; "more than one line" for such; empty where all
// is well.
inline std::string missing(const std::string& message, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    if (message.find(part) == std::string::npos) return "no '" + std::string(part) + "' in '" + message + "'";
  }
  return message.find('\n') == std::string::npos ? "" : "more than one line: " + message;
}

}  // namespace qmse::test
