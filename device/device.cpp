#include "device/device.h"

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "base/parse_choice.h"

namespace qmse {

Device parse_device(const std::string& text) {
  if (const auto kind = find_choice<Device::Kind>(text)) return {*kind, -1};
  const std::string numbered = std::string(name(Device::Kind::cuda)) + ":";
  if (text.starts_with(numbered)) {
    const auto index = number_from<int>(std::string_view(text).substr(numbered.size()));
    if (index && *index >= 0) return {Device::Kind::cuda, *index};
  }
  throw ConfigError("unknown device " + in_quotes(text) + ": use " +
                    join(choice_names<Device::Kind>(), ", ") + " or " + numbered + "N");
}

std::string to_string(const Device& device) {
  const std::string kind(name(device.kind));
  return device.index < 0 ? kind : kind + ":" + std::to_string(device.index);
}

}  // namespace qmse
