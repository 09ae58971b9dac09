// Without CUDA there is no context to make an ensemble with.
#include <stdexcept>

#include "analysis/mlp/gpu_ensemble.h"

namespace qmse {
namespace {

[[noreturn]] void none_is_made() { throw std::logic_error("a build without CUDA has no ensemble on a GPU"); }

}  // namespace

GpuEnsemble::GpuEnsemble(CudaContext& gpu, const Samples&, const std::vector<Member>&)
    : gpu_(gpu), count_(0) {
  none_is_made();
}
void GpuEnsemble::advance(const std::vector<std::vector<double>>&) { none_is_made(); }
std::vector<GpuEnsemble::State> GpuEnsemble::states() const { none_is_made(); }
bool GpuEnsemble::all_done() const { none_is_made(); }

}  // namespace qmse
