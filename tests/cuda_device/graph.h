// Graphs of the stand-in.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "tests/cuda_device/stand_in.h"

// CUDA's own names of the types behind its handles.
struct CUgraphNode_st {
  CUgraph_st* graph;
  qmse::cuda_device::Operation operation;
};
struct CUgraph_st {
  int device = 0;
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
  std::vector<std::pair<CUgraphNode_st*, CUgraphNode_st*>> edges;
};

namespace qmse::cuda_device {
struct Capture;
}

struct CUevent_st {
  std::int64_t at = -1;  // work done before it was recorded, by a graph's node
  // Recorded on a stream: after so many of its operations; in a capture: behind these nodes.
  cudaStream_t stream = nullptr;
  std::int64_t operations = 0;
  std::shared_ptr<qmse::cuda_device::Capture> capture;
  std::vector<CUgraphNode_st*> behind;
};

namespace qmse::cuda_device {

inline constexpr const char* kEvent = "event";
inline constexpr const char* kGraph = "graph";

// Its nodes, each after all that lead to it.
std::vector<Operation> in_order(const CUgraph_st& graph);

}  // namespace qmse::cuda_device
