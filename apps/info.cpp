#include <CLI/Version.hpp>
#include <cstdio>
#include <thread>

#include "apps/commands.h"
#include "experiment/environment.h"
#include "kernels/core/devices.h"

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
    char memory[64];
    std::snprintf(memory, sizeof(memory), "%.1f of %.1f GiB free",
                  static_cast<double>(device.free_bytes) / (1 << 30),
                  static_cast<double>(device.total_bytes) / (1 << 30));
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

}  // namespace

Command add_info(CLI::App& program) {
  CLI::App* parser = program.add_subcommand("info", "Show devices, libraries and what this build can do");
  return {parser, print_info};
}

}  // namespace qmse::app
