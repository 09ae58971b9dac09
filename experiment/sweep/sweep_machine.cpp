#include "experiment/sweep/sweep_machine.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "experiment/run/setup.h"

namespace qmse {
namespace {

constexpr std::int64_t kJobsOnGpu = 4;

}  // namespace

SweepMachine::SweepMachine(const SweepSpec& spec, std::int64_t wanted) {
  TrainConfig base;
  apply_layer(base, spec.base);
  cuda = takes_cuda(base);
  threads = base.threads > 0 ? base.threads : available_processors();
  const auto most = std::max<std::int64_t>(static_cast<std::int64_t>(spec.members.size()), 1);
  jobs = std::clamp<std::int64_t>(wanted > 0 ? wanted : cuda ? kJobsOnGpu : threads, 1, most);
}

}  // namespace qmse
