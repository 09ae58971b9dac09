#include "experiment/run/cuda_math.h"

#include <map>

#include "base/error.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

Environment set_to(std::map<std::string, std::string> variables) {
  return [variables](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

}  // namespace

TEST_CASE("cuda math: variables that change the arithmetic are refused by name") {
  const auto refused = [](MathMode math, const std::string& name, const std::string& value) {
    return message_of<ConfigError>([&] { check_cuda_math(math, set_to({{name, value}})); });
  };
  CHECK(missing(refused(MathMode::fp32, "NVIDIA_TF32_OVERRIDE", "1"),
                {"--math fp32", "NVIDIA_TF32_OVERRIDE", "unset"}) == "");
  CHECK(missing(refused(MathMode::tf32, "NVIDIA_TF32_OVERRIDE", "0"),
                {"--math tf32", "NVIDIA_TF32_OVERRIDE"}) == "");
  for (const MathMode math : {MathMode::fp32, MathMode::tf32}) {
    CHECK(missing(refused(math, "CUBLAS_EMULATE_SINGLE_PRECISION", "1"),
                  {"CUBLAS_EMULATE_SINGLE_PRECISION"}) == "");
  }
}

TEST_CASE("cuda math: variables that change nothing are let be, and what is set is recorded") {
  for (const MathMode math : {MathMode::fp32, MathMode::tf32}) {
    CHECK_NOTHROW(check_cuda_math(math, set_to({})));
    CHECK_NOTHROW(check_cuda_math(math, set_to({{"CUBLAS_EMULATE_SINGLE_PRECISION", "0"}})));
  }
  CHECK_NOTHROW(check_cuda_math(MathMode::fp32, set_to({{"NVIDIA_TF32_OVERRIDE", "0"}})));
  CHECK_NOTHROW(check_cuda_math(MathMode::tf32, set_to({{"NVIDIA_TF32_OVERRIDE", "1"}})));
  CHECK(cuda_math_variables(set_to({})).empty());
  const auto recorded = cuda_math_variables(set_to({{"NVIDIA_TF32_OVERRIDE", "0"},
                                                    {"CUBLAS_EMULATION_STRATEGY", "eager"},
                                                    {"NVIDIA_TF32_OVERRIDE_", "1"}}));
  REQUIRE(recorded.size() == 2);
  CHECK(recorded[0] == std::pair<std::string, std::string>("NVIDIA_TF32_OVERRIDE", "0"));
  CHECK(recorded[1] == std::pair<std::string, std::string>("CUBLAS_EMULATION_STRATEGY", "eager"));
}
