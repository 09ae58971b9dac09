// The options that `qmse sweep` and `qmse reproduce` share.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "apps/sweep_display.h"
#include "experiment/sweep/sweep.h"

namespace qmse::app {

// --jobs, --shard, --device, --threads and --log-format.
class SweepOptions {
 public:
  explicit SweepOptions(CLI::App& command);
  // ConfigError for wrong values, of the environment's ranks too.
  void apply(SweepRequest& request) const;
  bool json() const;
  std::unique_ptr<SweepDisplay> make_display() const;

 private:
  CLI::Option *jobs_, *shard_, *device_, *threads_, *log_format_;
};

}  // namespace qmse::app
