#include "experiment/run/cuda_math.h"

#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse {
namespace {

constexpr const char* kTf32 = "NVIDIA_TF32_OVERRIDE";  // 0: never TF32; anything else: wherever there is TF32
constexpr const char* kEmulation = "CUBLAS_EMULATE_SINGLE_PRECISION";  // products of f32 from parts in bf16
constexpr const char* kAll[] = {kTf32, kEmulation, "CUBLAS_EMULATION_STRATEGY"};

std::string value_of(const Environment& environment, const char* name) {
  return environment(name).value_or("");
}

[[noreturn]] void refuse(const char* name, const std::string& value, MathMode math) {
  throw ConfigError("--math " + std::string(qmse::name(math)) +
                    " cannot be kept to: the environment variable " + name + " is " + in_quotes(value) +
                    "; unset it");
}

}  // namespace

std::vector<std::pair<std::string, std::string>> cuda_math_variables(const Environment& environment) {
  std::vector<std::pair<std::string, std::string>> set;
  for (const char* name : kAll) {
    const std::string value = value_of(environment, name);
    if (!value.empty()) set.emplace_back(name, value);
  }
  return set;
}

void check_cuda_math(MathMode math, const Environment& environment) {
  const std::string tf32 = value_of(environment, kTf32);
  if (!tf32.empty() && (tf32 == "0") == (math == MathMode::tf32)) refuse(kTf32, tf32, math);
  const std::string emulation = value_of(environment, kEmulation);
  if (!emulation.empty() && emulation != "0") refuse(kEmulation, emulation, math);
}

}  // namespace qmse
