#include "device/device.h"

#include <charconv>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/parse_choice.h"

namespace qmse {

Device parse_device(const std::string& text) {
  if (const auto kind = find_choice<Device::Kind>(text)) return {*kind, -1};
  const std::string numbered = std::string(name(Device::Kind::cuda)) + ":";
  if (text.starts_with(numbered)) {
    Device device{Device::Kind::cuda, -1};
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + numbered.size(), end, device.index);
    if (error == std::errc() && rest == end && device.index >= 0) return device;
  }
  throw ConfigError("unknown device " + in_quotes(text) + ": use " + choice_names<Device::Kind>(", ", ", ") +
                    " or " + numbered + "N");
}

std::string to_string(const Device& device) {
  const std::string kind(name(device.kind));
  return device.index < 0 ? kind : kind + ":" + std::to_string(device.index);
}

}  // namespace qmse
