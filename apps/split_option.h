// The option --split of what looks at images.
#pragma once

#include <CLI/CLI.hpp>

#include "data/image_dataset.h"

namespace qmse::app {

CLI::Option* add_split(CLI::App& command);
// "train" or "test", which it is where not given; else ConfigError.
Split split_from(const CLI::Option& option);

}  // namespace qmse::app
