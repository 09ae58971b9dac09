#include "apps/sweep_options.h"

#include "apps/json_events.h"
#include "apps/options.h"
#include "experiment/run/config_fields.h"

namespace qmse::app {

SweepOptions::SweepOptions(CLI::App& command) {
  jobs_ = add_text_option(
      command, "--jobs", "N", "Machine",
      "members trained at a time; without it as many as CPU threads, or 4 on a GPU. Results do "
      "not depend on it");
  shard_ = add_text_option(
      command, "--shard", "I/N", "Machine",
      "begin with share I (from 0) of N; without it the rank that an MPI launcher or Slurm gave "
      "this process. What others leave unfinished is taken over");
  device_ = add_text_option(command, "--device", "auto|cpu|cuda[:N]", "Machine", "as for qmse train [auto]");
  threads_ = add_text_option(command, "--threads", "N", "Machine",
                             "CPU threads of all members together; 0: all [0]");
  log_format_ = add_log_format(command, "notice, member and end");
}

void SweepOptions::apply(SweepRequest& request) const {
  for (const auto& [option, key] : {std::pair{device_, "device"}, {threads_, "threads"}}) {
    if (option->count() > 0)
      request.spec.base[key] = value_from_text(*find_field(key), option->results().front());
  }
  if (jobs_->count() > 0) request.jobs = static_cast<std::int64_t>(whole_number(*jobs_, 1, 1024));
  if (shard_->count() > 0) {
    request.shard = parse_shard(shard_->results().front());
  } else if (const std::optional<Shard> shard = shard_from_environment()) {
    request.shard = *shard;
  }
}

bool SweepOptions::json() const { return wants_json(*log_format_); }

std::unique_ptr<SweepDisplay> SweepOptions::make_display() const {
  return json() ? make_json_sweep_display() : make_text_sweep_display();
}

}  // namespace qmse::app
