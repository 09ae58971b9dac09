#include "experiment/run/environment.h"

#include <zlib.h>

#include <array>
#include <chrono>
#include <fstream>

#include "base/build_config.h"
#include "base/name_text.h"
#include "device/devices.h"
#include "device/instruction_set.h"
#include "experiment/run/build_info.h"
#include "experiment/run/cuda_math.h"
#include "experiment/run/plain_text.h"
#include "experiment/run/process_environment.h"
#include "experiment/run/revision.h"
#if QMSE_ONEDNN
#include <dnnl.h>
#endif
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

namespace qmse {
namespace {

#if QMSE_ONEDNN
std::string dnnl_text(int major, int minor, int patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

std::string dnnl_isa() {
  switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
      return "SSE4.1";
    case dnnl_cpu_isa_avx:
      return "AVX";
    case dnnl_cpu_isa_avx2:
      return "AVX2";
    case dnnl_cpu_isa_avx512_core:
      return "AVX-512";
    case dnnl_cpu_isa_avx512_core_vnni:
      return "AVX-512 with VNNI";
    case dnnl_cpu_isa_avx512_core_bf16:
      return "AVX-512 with bfloat16";
    case dnnl_cpu_isa_avx512_core_amx:
      return "AVX-512 with AMX";
    default:
      return "an instruction set numbered " + std::to_string(dnnl_get_effective_cpu_isa());
  }
}
#endif

}  // namespace

std::vector<Library> libraries() {
  std::vector<Library> all;
#if QMSE_ONEDNN
  const dnnl_version_t* loaded = dnnl_version();
  all.push_back({"oneDNN", dnnl_text(DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH),
                 dnnl_text(loaded->major, loaded->minor, loaded->patch)});
#endif
#ifdef __GLIBC__  // whose exp, log, pow, cos and tanh reach the weights of some runs
  all.push_back(
      {"glibc", std::to_string(__GLIBC__) + "." + std::to_string(__GLIBC_MINOR__), gnu_get_libc_version()});
#endif
  all.push_back({"zlib", ZLIB_VERSION, zlibVersion()});
  const std::string json = std::to_string(NLOHMANN_JSON_VERSION_MAJOR) + "." +
                           std::to_string(NLOHMANN_JSON_VERSION_MINOR) + "." +
                           std::to_string(NLOHMANN_JSON_VERSION_PATCH);
  all.push_back({"nlohmann-json", json, json});  // header only
  for (const LibraryVersion& library : cuda_library_versions()) {
    all.push_back({library.name, library.compiled, library.loaded});
  }
  return all;
}

std::string git_revision() { return QMSE_GIT_REVISION; }

std::string compiler() {
  std::string text = QMSE_COMPILER ", " QMSE_BUILD_TYPE;
  if (QMSE_CUDA) text += ", CUDA " QMSE_CUDA_COMPILER_VERSION;
  return text;
}

std::string cuda_architectures() { return QMSE_CUDA ? QMSE_CUDA_ARCHITECTURES : ""; }

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.find(": ") + 2, line.size()));
  }
  return "unknown";
}

std::string onednn_isa() {
#if QMSE_ONEDNN
  return dnnl_isa();
#else
  return "";
#endif
}

std::string simd_level() {
  std::string level = name(InstructionSet::baseline);
  const InstructionSet best = best_instruction_set();
  if (best != InstructionSet::baseline) level += "; own loops use " + name(best);
  if (QMSE_ONEDNN) level += "; oneDNN uses " + onednn_isa();
  return level;
}

std::span<const std::string_view> start_keys() {
  static constexpr std::array<std::string_view, 4> kKeys = {"started", "host", "command", "note"};
  return kKeys;
}

Json start_record(const TrainConfig& config) {
  const std::string values[] = {utc_text(std::chrono::system_clock::now()), host_name(),
                                escape_name(command_line()), escape_name(config.note)};
  Json json = Json::object();
  std::size_t i = 0;
  for (const std::string_view key : start_keys()) {
    if (const std::string& value = values[i++]; !value.empty()) json[std::string(key)] = value;
  }
  return json;
}

Json environment(Context& context) {
  Json json;
  json["qmse"] = QMSE_VERSION;
  json["git_revision"] = git_revision();
  json["compiler"] = compiler();
  for (const Library& library : libraries()) {
    json["libraries"][library.name] = {{"compiled", library.compiled}, {"loaded", library.loaded}};
  }
  if (QMSE_CUDA) json["cuda_architectures"] = cuda_architectures();
  json["device"] = context.device_name();
  json["processor"] = processor();
  json["simd"] = simd_level();
  if (CpuContext* cpu = context.cpu()) json["threads"] = cpu->threads().size();
  if (context.is_cuda()) {
    for (const auto& [name, value] : cuda_math_variables(process_environment()))
      json["variables"][name] = value;
  }
  return json;
}

}  // namespace qmse
