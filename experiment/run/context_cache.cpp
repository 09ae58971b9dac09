#include "experiment/run/context_cache.h"

#include "experiment/run/setup.h"

namespace qmse {

std::shared_ptr<Context> ContextCache::get(const TrainConfig& config) {
  if (kept_ && config.device == config_.device && config.math == config_.math &&
      config.kernels == config_.kernels && config.workspace_mib == config_.workspace_mib) {
    return kept_;
  }
  kept_.reset();
  std::shared_ptr<Context> made = make_context(config);
  if (made->is_cuda()) {
    kept_ = made;
    config_ = config;
  }
  return made;
}

void ContextCache::run_ended(bool failed) noexcept {
  if (failed) kept_.reset();
  if (kept_) kept_->cuda()->release_unused();
}

}  // namespace qmse
