// What this program was built from and what it runs on, for records and for `qmse info`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/context.h"
#include "experiment/run/config.h"

namespace qmse {

struct Library {
  std::string name;
  std::string compiled;  // the version compiled against
  std::string loaded;    // the version in use now
};
std::vector<Library> libraries();

std::string git_revision();        // of the sources at build time; "unknown" outside a checkout
std::string compiler();            // "GNU 12.2.0, Release, CUDA 13.0"
std::string cuda_architectures();  // compiled for; empty in builds without CUDA
std::string processor();           // model name
std::string onednn_isa();          // "AVX2": what oneDNN uses; empty in builds without it
std::string simd_level();          // "x86-64-v3 (AVX2, FMA); own loops use AVX-512; oneDNN uses AVX-512"

// What tells one start of a run from another: when, where, by which command, and the note. The keys of
// environment.json that are no property of program or machine.
Json start_record(const TrainConfig& config);
std::span<const std::string_view> start_keys();

// Everything above and the device and threads of `context`: the content
// of environment.json, but for its data.
Json environment(Context& context);

}  // namespace qmse
