// Nodes and edges of graphs, and events between them: what the bench's timeline of a step calls. The time
// between two events is a millisecond for each piece of work.
#include "tests/cuda_device/graph.h"

#include <algorithm>
#include <map>

namespace qmse::cuda_device {
namespace {

bool has(const CUgraph_st& graph, const CUgraphNode_st* node) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(),
                     [node](const auto& own) { return own.get() == node; });
}

// A graph that is there, with these nodes.
bool valid_nodes(cudaGraph_t graph, const cudaGraphNode_t* nodes, std::size_t count, const char* call) {
  if (!alive(graph, kGraph)) {
    report(std::string(call) + " of a graph that is none, or is no longer");
    return false;
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (has(*graph, nodes[i])) continue;
    report(std::string(call) + " with a node that is not the graph's");
    return false;
  }
  return true;
}

}  // namespace

// Of nodes that could run at once any may be first: the one queued last (seed 0), or a random one.
std::vector<Operation> in_order(const CUgraph_st& graph) {
  std::map<const CUgraphNode_st*, std::vector<const CUgraphNode_st*>> next;
  std::map<const CUgraphNode_st*, int> waits_for;
  for (const auto& [from, to] : graph.edges) {
    next[from].push_back(to);
    ++waits_for[to];
  }
  std::vector<const CUgraphNode_st*> ready;
  for (const auto& node : graph.nodes) {
    if (waits_for[node.get()] == 0) ready.push_back(node.get());
  }
  std::vector<Operation> operations;
  while (!ready.empty()) {
    const std::size_t chosen =
        settings().seed == 0 ? ready.size() - 1 : static_cast<std::size_t>(random_below(ready.size()));
    const CUgraphNode_st* const node = ready[chosen];
    ready.erase(ready.begin() + static_cast<std::ptrdiff_t>(chosen));
    operations.push_back(node->operation);
    for (const CUgraphNode_st* const after : next[node]) {
      if (--waits_for[after] == 0) ready.push_back(after);
    }
  }
  if (operations.size() < graph.nodes.size()) report("a graph with a circle is instantiated");
  return operations;
}

}  // namespace qmse::cuda_device

using namespace qmse::cuda_device;

extern "C" {

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  const auto lock = locked();
  if (!valid_nodes(graph, nullptr, 0, "cudaGraphGetNodes")) return remember(cudaErrorInvalidValue);
  // In an order that is not that of execution: no document says that it is.
  for (std::size_t i = 0; nodes != nullptr && i < std::min(*count, graph->nodes.size()); ++i) {
    nodes[i] = graph->nodes[graph->nodes.size() - 1 - i].get();
  }
  *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to,
                              cudaGraphEdgeData* data, std::size_t* count) {
  const auto lock = locked();
  if (!valid_nodes(graph, nullptr, 0, "cudaGraphGetEdges")) return remember(cudaErrorInvalidValue);
  for (std::size_t i = 0; from != nullptr && i < std::min(*count, graph->edges.size()); ++i) {
    const auto& edge = graph->edges[graph->edges.size() - 1 - i];
    from[i] = edge.first;
    to[i] = edge.second;
    if (data != nullptr) data[i] = {};
  }
  *count = graph->edges.size();
  return cudaSuccess;
}

cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                     const cudaGraphNode_t* to, const cudaGraphEdgeData*, std::size_t count) {
  const auto lock = locked();
  if (!valid_nodes(graph, from, count, "cudaGraphAddDependencies") ||
      !valid_nodes(graph, to, count, "cudaGraphAddDependencies")) {
    return remember(cudaErrorInvalidValue);
  }
  for (std::size_t i = 0; i < count; ++i) graph->edges.emplace_back(from[i], to[i]);
  return cudaSuccess;
}

cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                        const cudaGraphNode_t* to, const cudaGraphEdgeData*,
                                        std::size_t count) {
  const auto lock = locked();
  if (!valid_nodes(graph, from, count, "cudaGraphRemoveDependencies") ||
      !valid_nodes(graph, to, count, "cudaGraphRemoveDependencies")) {
    return remember(cudaErrorInvalidValue);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (std::erase(graph->edges, std::pair(from[i], to[i])) == 1) continue;
    report("an edge is removed that is not the graph's");
    return remember(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  const auto lock = locked();
  const std::string& what = node->operation.what;
  *type = what == "memset"                  ? cudaGraphNodeTypeMemset
          : what.compare(0, 4, "copy") == 0 ? cudaGraphNodeTypeMemcpy
          : what == "event"                 ? cudaGraphNodeTypeEventRecord
                                            : cudaGraphNodeTypeKernel;
  return cudaSuccess;
}

// What a library launches is no kernel that the runtime knows.
cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* parameters) {
  const auto lock = locked();
  if (!node->operation.launch) return remember(cudaErrorInvalidDeviceFunction);
  *parameters = {};
  parameters->func = const_cast<void*>(node->operation.launch->function);
  parameters->gridDim = node->operation.launch->grid;
  parameters->blockDim = node->operation.launch->block;
  parameters->sharedMemBytes = static_cast<unsigned>(node->operation.launch->shared_bytes);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  const auto lock = locked();
  if (breaks_capture("cudaEventCreate")) return remember(cudaErrorStreamCaptureUnsupported);
  *event = new CUevent_st;
  born(*event, kEvent);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) { return cudaEventCreate(event); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const auto lock = locked();
  if (!died(event, kEvent)) return remember(cudaErrorInvalidValue);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                        const cudaGraphNode_t* after, std::size_t count, cudaEvent_t event) {
  const auto lock = locked();
  if (!valid_nodes(graph, after, count, "cudaGraphAddEventRecordNode") || !alive(event, kEvent)) {
    return remember(cudaErrorInvalidValue);
  }
  Operation record{"event", here(), {}, [event] { event->at = --work_done; }, {}};  // it takes no time itself
  graph->nodes.push_back(std::make_unique<CUgraphNode_st>(CUgraphNode_st{graph, std::move(record)}));
  *node = graph->nodes.back().get();
  for (std::size_t i = 0; i < count; ++i) graph->edges.emplace_back(after[i], *node);
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  const auto lock = locked();
  if (!alive(begin, kEvent) || !alive(end, kEvent)) {
    report("the time of an event that is none, or is no longer");
    return remember(cudaErrorInvalidResourceHandle);
  }
  if (begin->at < 0 || end->at < 0) {
    report("the time of an event that was not recorded");
    return remember(cudaErrorInvalidResourceHandle);
  }
  *milliseconds = static_cast<float>(end->at - begin->at);
  return cudaSuccess;
}

}  // extern "C"
