#include <cuda_runtime_api.h>

#include <map>
#include <memory>

#include "base/error.h"
#include "bench/step_timeline/timeline.h"
#include "device/cuda_check.h"

namespace qmse::bench {
namespace {

template <class Handle, cudaError_t (*destroy)(Handle)>
struct Destroy {
  using pointer = Handle;
  void operator()(Handle handle) const { destroy(handle); }
};
using Graph = std::unique_ptr<CUgraph_st, Destroy<cudaGraph_t, cudaGraphDestroy>>;
using Executable = std::unique_ptr<CUgraphExec_st, Destroy<cudaGraphExec_t, cudaGraphExecDestroy>>;
using Event = std::unique_ptr<CUevent_st, Destroy<cudaEvent_t, cudaEventDestroy>>;

Event make_event() {
  cudaEvent_t event = nullptr;
  QMSE_CUDA_CHECK(cudaEventCreate(&event));
  return Event(event);
}

Graph capture(CudaContext& context, const std::function<void()>& step) {
  cudaGraph_t graph = nullptr;
  QMSE_CUDA_CHECK(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal));
  try {
    step();
  } catch (...) {
    cudaStreamEndCapture(context.stream(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  QMSE_CUDA_CHECK(cudaStreamEndCapture(context.stream(), &graph));
  return Graph(graph);
}

// An edge, with what else the libraries may have said of it.
struct Edge {
  cudaGraphNode_t from, to;
  cudaGraphEdgeData data;
};

// CUDA 13 has these under the plain names.
#if CUDART_VERSION >= 13000
constexpr auto get_edges = cudaGraphGetEdges;
constexpr auto add_edges = cudaGraphAddDependencies;
constexpr auto remove_edges = cudaGraphRemoveDependencies;
#else
constexpr auto get_edges = cudaGraphGetEdges_v2;
constexpr auto add_edges = cudaGraphAddDependencies_v2;
constexpr auto remove_edges = cudaGraphRemoveDependencies_v2;
#endif

struct Chain {
  std::vector<cudaGraphNode_t> nodes;
  std::vector<Edge> edges;  // edges[i] leads from nodes[i] to the next
};

Chain chain_of(cudaGraph_t graph) {
  std::size_t count = 0, edge_count = 0;
  QMSE_CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  QMSE_CUDA_CHECK(cudaGraphGetNodes(graph, nodes.data(), &count));
  QMSE_CUDA_CHECK(get_edges(graph, nullptr, nullptr, nullptr, &edge_count));
  std::vector<cudaGraphNode_t> from(edge_count), to(edge_count);
  std::vector<cudaGraphEdgeData> data(edge_count);
  QMSE_CUDA_CHECK(get_edges(graph, from.data(), to.data(), data.data(), &edge_count));
  std::map<cudaGraphNode_t, Edge> onward;
  std::map<cudaGraphNode_t, int> arriving;
  for (std::size_t i = 0; i < edge_count; ++i) {
    onward.emplace(from[i], Edge{from[i], to[i], data[i]});
    ++arriving[to[i]];
  }
  Chain chain;
  for (const cudaGraphNode_t node : nodes) {
    if (arriving.count(node) == 0) chain.nodes.push_back(node);
  }
  while (chain.nodes.size() == chain.edges.size() + 1 && onward.count(chain.nodes.back()) != 0) {
    chain.edges.push_back(onward.at(chain.nodes.back()));
    chain.nodes.push_back(chain.edges.back().to);
  }
  if (chain.nodes.size() != count || chain.edges.size() != edge_count || edge_count + 1 != count) {
    throw CudaError("a captured step of " + std::to_string(count) + " nodes and " +
                    std::to_string(edge_count) + " edges is not one sequence: events cannot tell its times");
  }
  return chain;
}

StepPiece describe(cudaGraphNode_t node) {
  StepPiece piece;
  cudaGraphNodeType type{};
  QMSE_CUDA_CHECK(cudaGraphNodeGetType(node, &type));
  piece.name = type == cudaGraphNodeTypeMemcpy   ? "a copy"
               : type == cudaGraphNodeTypeMemset ? "a memset"
                                                 : "node of type " + std::to_string(static_cast<int>(type));
  if (type != cudaGraphNodeTypeKernel) return piece;
  piece.name = "a kernel";
  cudaKernelNodeParams launch{};
  // Libraries launch kernels that the runtime does not know.
  if (cudaGraphKernelNodeGetParams(node, &launch) != cudaSuccess) {
    cudaGetLastError();
    return piece;
  }
  piece.grid = {launch.gridDim.x, launch.gridDim.y, launch.gridDim.z};
  piece.block = {launch.blockDim.x, launch.blockDim.y, launch.blockDim.z};
  piece.shared_bytes = launch.sharedMemBytes;
  const char* name = nullptr;
  if (cudaFuncGetName(&name, launch.func) == cudaSuccess && name != nullptr) piece.name = name;
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, launch.func) == cudaSuccess) {
    piece.registers = attributes.numRegs;
    piece.shared_bytes += static_cast<std::int64_t>(attributes.sharedSizeBytes);
  }
  cudaGetLastError();
  return piece;
}

}  // namespace

StepPieces record_by_events(CudaContext& context, const std::function<void()>& step, int repetitions) {
  const Graph graph = capture(context, step);
  const Chain chain = chain_of(graph.get());
  StepPieces pieces;
  for (const cudaGraphNode_t node : chain.nodes) pieces.push_back(describe(node));

  std::vector<Event> events;  // before each piece and after the last
  const auto add_event = [&](const cudaGraphNode_t* after) {
    events.push_back(make_event());
    cudaGraphNode_t node = nullptr;
    QMSE_CUDA_CHECK(cudaGraphAddEventRecordNode(&node, graph.get(), after, after != nullptr ? 1 : 0,
                                                events.back().get()));
    return node;
  };
  const auto lead_to = [&](cudaGraphNode_t event, cudaGraphNode_t node) {
    QMSE_CUDA_CHECK(add_edges(graph.get(), &event, &node, nullptr, 1));
  };
  lead_to(add_event(nullptr), chain.nodes.front());
  for (const Edge& edge : chain.edges) {
    QMSE_CUDA_CHECK(remove_edges(graph.get(), &edge.from, &edge.to, &edge.data, 1));
    lead_to(add_event(&edge.from), edge.to);
  }
  add_event(&chain.nodes.back());

  cudaGraphExec_t made = nullptr;
  QMSE_CUDA_CHECK(cudaGraphInstantiate(&made, graph.get(), 0));
  const Executable executable(made);
  for (int repetition = -1; repetition < repetitions; ++repetition) {  // the first uploads the graph
    QMSE_CUDA_CHECK(cudaGraphLaunch(executable.get(), context.stream()));
    synchronize(context);
    for (std::size_t i = 0; repetition >= 0 && i < pieces.size(); ++i) {
      float milliseconds = 0;
      QMSE_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, events[i].get(), events[i + 1].get()));
      pieces[i].seconds.push_back(static_cast<double>(milliseconds) * 1e-3);
    }
  }
  return pieces;
}

}  // namespace qmse::bench
