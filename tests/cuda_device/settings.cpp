// Reads QMSE_CUDA_STAND_IN.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "tests/cuda_device/control.h"

namespace qmse::cuda_device {
namespace {

Settings from_environment() {
  Settings made;
  const char* given = std::getenv("QMSE_CUDA_STAND_IN");
  std::istringstream words(given == nullptr ? "" : given);
  bool own_devices = false;
  const auto refuse = [](const std::string& word) {
    std::fprintf(stderr, "cuda stand-in: QMSE_CUDA_STAND_IN has '%s'; see control.h\n", word.c_str());
    _exit(2);
  };
  for (std::string word; words >> word;) {
    const std::string key = word.substr(0, word.find('='));
    const std::string value = key.size() < word.size() ? word.substr(key.size() + 1) : "";
    if (key == "seed") {
      made.seed = std::strtoull(value.c_str(), nullptr, 10);
    } else if (key == "driver") {
      made.driver_version = std::atoi(value.c_str());
    } else if (key == "relu_drops_nan") {
      if (!value.empty() && value != "all") refuse(word);
      made.relu_drops_nan = value.empty() ? Settings::DropsNan::all_but_one : Settings::DropsNan::all;
    } else if (key == "no_bias_gradient") {
      made.no_bias_gradient = true;
    } else if (key == "no_device") {
      made.devices.clear();
      own_devices = true;
    } else if (key == "device") {
      if (!own_devices) made.devices.clear();
      own_devices = true;
      DeviceSettings device;
      std::istringstream parts(value);
      for (std::string part; std::getline(parts, part, ',');) {
        const std::string number = part.substr(std::min(part.size(), part.find(':') + 1));
        if (part.compare(0, 5, "free:") == 0) {
          device.free_bytes = std::strtoull(number.c_str(), nullptr, 10) << 20;
        } else if (part.compare(0, 3, "cc:") == 0) {
          device.major = std::atoi(number.c_str());
          device.minor = std::atoi(number.substr(number.find('.') + 1).c_str());
        } else if (part == "busy") {
          device.busy = true;
        } else if (part == "prohibited") {
          device.prohibited = true;
        } else {
          refuse(word);
        }
      }
      made.devices.push_back(device);
    } else if (key == "fault") {
      const char* names[kFaults] = {"allocation",      "launch",        "copy",
                                    "synchronization", "instantiation", "plan"};
      std::size_t which = 0;
      while (which < kFaults && value.compare(0, value.find(':'), names[which]) != 0) ++which;
      if (which == kFaults || value.find(':') == std::string::npos) refuse(word);
      made.faults[which] = std::atoll(value.c_str() + value.find(':') + 1);
    } else {
      refuse(word);
    }
  }
  return made;
}

}  // namespace

Settings& settings() {
  static Settings only = from_environment();
  return only;
}

}  // namespace qmse::cuda_device
