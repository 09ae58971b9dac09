// Environment variables by which NVIDIA's libraries calculate in another precision than they are asked to.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "device/math_mode.h"
#include "experiment/run/process_environment.h"

namespace qmse {

// Those that are set, with their values, for the record.
std::vector<std::pair<std::string, std::string>> cuda_math_variables(const Environment& environment);

// Throws ConfigError, naming the variable, where one makes `math` (--math) something else.
void check_cuda_math(MathMode math, const Environment& environment);

}  // namespace qmse
