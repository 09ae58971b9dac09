// What an expected exception says.
#pragma once

#include <string>

namespace qmse::test {

// The message of the `Exception` that `action` throws; other exceptions pass through.
template <class Exception, class Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// `message` is one line and has this part.
inline bool mentions(const std::string& message, const std::string& part) {
  return message.find(part) != std::string::npos && message.find('\n') == std::string::npos;
}

}  // namespace qmse::test
