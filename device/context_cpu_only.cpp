#include <stdexcept>

#include "base/error.h"
#include "device/branches.h"
#include "device/cuda_context.h"
#include "device/cuda_graph.h"
#include "device/devices.h"

// A build without CUDA has the types, so that nothing above needs to know; none is ever made.

namespace qmse {
namespace {

[[noreturn]] void none_is_made() { throw std::logic_error("there is no CUDA context in this build"); }

}  // namespace

struct CudaContext::Impl {};
CudaContext::CudaContext(const CudaOptions&) {
  throw ConfigError("no GPU to run on: " + why_no_cuda_device());
}
CudaContext::~CudaContext() = default;
MemoryResource& CudaContext::memory() { none_is_made(); }
void CudaContext::release_unused() noexcept {}
const CudaOptions& CudaContext::options() const { none_is_made(); }
const std::string& CudaContext::device_name() const { none_is_made(); }

Branches::Branches(CudaContext*) : context_(nullptr) {}
Branches::~Branches() = default;
void Branches::join() {}

struct CudaGraph::Impl {};
CudaGraph::CudaGraph(CudaContext&, const std::function<void()>&) { none_is_made(); }
CudaGraph::~CudaGraph() = default;
CudaGraph::CudaGraph(CudaGraph&&) noexcept = default;
CudaGraph& CudaGraph::operator=(CudaGraph&&) noexcept = default;
void CudaGraph::launch() { none_is_made(); }

}  // namespace qmse
