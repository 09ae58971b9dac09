// Naming a device: "auto", "cpu", "cuda" or "cuda:N".
#pragma once

#include <string>

namespace qmse {

struct Device {
  enum class Kind { automatic, cpu, cuda };
  Kind kind = Kind::automatic;
  int index = -1;  // of a CUDA device; -1: choose_cuda_device() chooses
  bool operator==(const Device&) const = default;
};

// Throws ConfigError naming the accepted forms.
Device parse_device(const std::string& text);
std::string to_string(const Device& device);

}  // namespace qmse
