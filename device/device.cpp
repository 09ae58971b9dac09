#include "device/device.h"

#include <charconv>

#include "base/error.h"

namespace qmse {

Device parse_device(const std::string& text) {
  if (text == "auto") return {Device::Kind::automatic, -1};
  if (text == "cpu") return {Device::Kind::cpu, -1};
  if (text == "cuda") return {Device::Kind::cuda, -1};
  if (text.starts_with("cuda:")) {
    Device device{Device::Kind::cuda, -1};
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + 5, end, device.index);
    if (error == std::errc() && rest == end && device.index >= 0) return device;
  }
  throw ConfigError("unknown device '" + text + "': use auto, cpu, cuda or cuda:N");
}

std::string to_string(const Device& device) {
  switch (device.kind) {
    case Device::Kind::automatic:
      return "auto";
    case Device::Kind::cpu:
      return "cpu";
    case Device::Kind::cuda:
      return device.index < 0 ? "cuda" : "cuda:" + std::to_string(device.index);
  }
  return "";
}

}  // namespace qmse
