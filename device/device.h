// Naming a device: "auto", "cpu", "cuda" or "cuda:N".
#pragma once

#include <array>
#include <string>

#include "base/choice.h"

namespace qmse {

struct Device {
  enum class Kind { automatic, cpu, cuda };
  Kind kind = Kind::automatic;
  int index = -1;  // of a CUDA device; -1: choose_cuda_device() chooses
  bool operator==(const Device&) const = default;
};

constexpr std::array<Choice<Device::Kind>, 3> choices(Device::Kind) {
  return {{{Device::Kind::automatic, "auto"}, {Device::Kind::cpu, "cpu"}, {Device::Kind::cuda, "cuda"}}};
}

// Throws ConfigError naming the accepted forms.
Device parse_device(const std::string& text);
std::string to_string(const Device& device);

}  // namespace qmse
