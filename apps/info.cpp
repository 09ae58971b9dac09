#include <CLI/Version.hpp>
#include <cstdio>
#include <iostream>
#include <thread>

#include "apps/commands.h"
#include "apps/options.h"
#include "base/build_config.h"
#include "base/number_text.h"
#include "device/devices.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/environment.h"

namespace qmse::app {
namespace {

void line(const char* label, const std::string& text) { std::printf("%-14s %s\n", label, text.c_str()); }

int print_info() {
  line("qmse", QMSE_VERSION " (" + git_revision() + ")");
  line("compiler", compiler());
  line("processor", processor());
  line("SIMD", simd_level());
  {
    CpuContext all(0);
    line("threads", std::to_string(all.threads().size()) + " for this process, " +
                        std::to_string(std::thread::hardware_concurrency()) + " in the machine");
  }
  const std::vector<CudaDevice> devices = cuda_devices();
  if (devices.empty()) line("GPUs", "none: " + why_no_cuda_device());
  for (const CudaDevice& device : devices) {
    const auto gib = [](std::uint64_t bytes) {
      return fixed_text(static_cast<double>(bytes) / (1 << 30), 1);
    };
    const std::string total = gib(device.total_bytes) + " GiB",
                      memory = device.free_bytes ? gib(*device.free_bytes) + " of " + total + " free" : total;
    line(("cuda:" + std::to_string(device.index)).c_str(),
         device.name + ", compute capability " + std::to_string(device.compute_major) + "." +
             std::to_string(device.compute_minor) + ", " + memory);
  }
  line("GPU code for", QMSE_CUDA ? "architectures " + cuda_architectures() : "none: built without CUDA");
  for (const Library& library : libraries()) {
    const std::string compiled = library.compiled.empty() ? "" : library.compiled + " compiled against, ";
    line(library.name.c_str(), compiled + library.loaded + " loaded");
  }
  line("CLI11", CLI11_VERSION);
  return 0;
}

// For programs: what results depend on besides settings and data, and which settings there are.
int print_json() {
  Json json = {{"qmse", QMSE_VERSION},     {"git_revision", git_revision()}, {"compiler", compiler()},
               {"processor", processor()}, {"onednn_isa", onednn_isa()},     {"libraries", Json::object()}};
  for (const Library& library : libraries())
    json["libraries"][library.name] = {{"compiled", library.compiled}, {"loaded", library.loaded}};
  for (const ConfigField& field : config_fields()) {
    Json setting = {{"name", field.name}, {"default", get(TrainConfig{}, field)}, {"help", field.help}};
    for (const NamedChoice& choice : field.rule.choices) setting["choices"].push_back(choice.name);
    json["settings"].push_back(setting);
  }
  std::cout << json.dump(2) << '\n';
  return 0;
}

}  // namespace

Command info_command() {
  Command command = make_command("qmse info", "Show devices, libraries and what this build can do");
  const CLI::Option* json = command.parser->add_flag("--json")->description(
      wrap_help("JSON, with every setting of qmse train and its choices"));
  command.action = [json] { return json->count() > 0 ? print_json() : print_info(); };
  return command;
}

}  // namespace qmse::app
