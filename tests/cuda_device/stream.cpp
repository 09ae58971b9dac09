// Streams, what is queued on them, capture and graphs; devices and their contexts.
#include <algorithm>
#include <exception>
#include <map>
#include <set>

#include "tests/cuda_device/graph.h"
#include "tests/cuda_device/stand_in.h"

// CUDA's own names of the types behind its handles.
struct CUstream_st {
  int device = 0;
  std::deque<qmse::cuda_device::Operation> queue;
  std::int64_t queued = 0, done = 0;  // of the operations so far
  // While it is captured: by which capture, and the nodes that its next one comes behind.
  std::shared_ptr<qmse::cuda_device::Capture> capture;
  std::vector<CUgraphNode_st*> behind;
};
struct CUgraphExec_st {
  int device = 0;
  bool launched = false;
  std::shared_ptr<std::vector<qmse::cuda_device::Operation>> nodes;
};

namespace qmse::cuda_device {

// From a cudaStreamBeginCapture to its end. Streams that wait for its events join it.
struct Capture {
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode{};
  std::thread::id thread;
  bool is_void = false;
  std::unique_ptr<CUgraph_st> graph;
};

thread_local const Operation* running = nullptr;
std::int64_t work_done = 0;

namespace {

constexpr const char* kStream = "stream";
constexpr const char* kExecutable = "executable graph";

struct Devices {
  std::map<int, cudaError_t> sticky;
  std::set<int> contexts;
  std::vector<cudaStream_t> streams;
  std::set<std::pair<int, std::string>> used_before;
  std::vector<std::string> last_graph;
};
Devices& devices() {
  static Devices* const only = new Devices;
  return *only;
}

thread_local int device_of_thread = 0;
thread_local cudaError_t last_error = cudaSuccess;

// Runs one piece of work, if all that it uses is still there.
void execute(const Operation& operation, int device, OpenMemory& open) {
  for (const Range& range : operation.uses) {
    const std::string fault = fault_of(range, device);
    if (fault.empty()) continue;
    report("device work (" + operation.what + ") runs on what is gone: " + fault + "; it was queued",
           operation.place);
    fail_device(device, cudaErrorIllegalAddress);
    return;
  }
  for (const Range& range : operation.uses) open.open(range.begin);
  running = &operation;
  ++work_done;
  try {
    operation.run();
  } catch (const std::exception& error) {
    report("device work (" + operation.what + ") fails: " + error.what(), operation.place);
    fail_device(device, cudaErrorLaunchFailure);
  }
  running = nullptr;
}

void run_some(cudaStream_t stream, std::size_t count) {
  OpenMemory open;
  for (; count > 0 && !stream->queue.empty(); --count) {
    const Operation operation = std::move(stream->queue.front());
    stream->queue.pop_front();
    // A device that failed does nothing more.
    if (sticky_error(stream->device) == cudaSuccess) execute(operation, stream->device, open);
    ++stream->done;
  }
}

void invalidate(Capture& capture, const std::string& why) {
  if (!capture.is_void) note("the capture is void: " + why);
  capture.is_void = true;
}

void add_new(std::vector<CUgraphNode_st*>& to, const std::vector<CUgraphNode_st*>& from) {
  for (CUgraphNode_st* const node : from) {
    if (std::find(to.begin(), to.end(), node) == to.end()) to.push_back(node);
  }
}

// Whether all of `nodes` are among `ends` or lead to one of them.
bool lead_to(const CUgraph_st& graph, const std::vector<CUgraphNode_st*>& nodes,
             const std::vector<CUgraphNode_st*>& ends) {
  std::vector<CUgraphNode_st*> reached = ends;
  for (std::size_t i = 0; i < reached.size(); ++i) {
    for (const auto& [from, to] : graph.edges) {
      if (to == reached[i]) add_new(reached, {from});
    }
  }
  return std::all_of(nodes.begin(), nodes.end(), [&](CUgraphNode_st* node) {
    return std::find(reached.begin(), reached.end(), node) != reached.end();
  });
}

}  // namespace

int current_device() { return device_of_thread; }

bool set_current_device(int device) {
  if (device < 0 || device >= static_cast<int>(settings().devices.size())) return false;
  device_of_thread = device;
  return true;
}

cudaError_t make_context(int device) {
  if (settings().driver_version == 0) return cudaErrorInsufficientDriver;
  if (settings().driver_version < CUDART_VERSION / 1000 * 1000) return cudaErrorInsufficientDriver;
  if (settings().devices.empty()) return cudaErrorNoDevice;
  if (settings().devices[static_cast<std::size_t>(device)].busy) return cudaErrorDevicesUnavailable;
  devices().contexts.insert(device);
  return sticky_error(device);
}

int contexts_made() {
  const auto lock = locked();
  return static_cast<int>(devices().contexts.size());
}

std::vector<std::string> last_graph() {
  const auto lock = locked();
  return devices().last_graph;
}

cudaError_t sticky_error(int device) {
  const auto found = devices().sticky.find(device);
  return found == devices().sticky.end() ? cudaSuccess : found->second;
}

void fail_device(int device, cudaError_t status) { devices().sticky.emplace(device, status); }

bool valid(cudaStream_t stream, const char* call) {
  if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread) {
    report(std::string(call) +
           " on the legacy or the thread's default stream, on which nothing of a context is");
    for (const cudaStream_t other : devices().streams) {
      if (other->capture) invalidate(*other->capture, "the legacy stream is used");
    }
    return false;
  }
  if (alive(stream, kStream)) return true;
  report(std::string(call) + " on a stream that is none, or is no longer");
  return false;
}

int device_of(cudaStream_t stream) { return stream->device; }
bool capturing(cudaStream_t stream) { return stream->capture != nullptr; }

cudaError_t enqueue(cudaStream_t stream, Operation operation) {
  if (stream->capture) {
    if (stream->capture->is_void) return cudaErrorStreamCaptureInvalidated;
    CUgraph_st& graph = *stream->capture->graph;
    graph.nodes.push_back(std::make_unique<CUgraphNode_st>(CUgraphNode_st{&graph, std::move(operation)}));
    for (CUgraphNode_st* const before : stream->behind)
      graph.edges.emplace_back(before, graph.nodes.back().get());
    stream->behind = {graph.nodes.back().get()};
    return cudaSuccess;
  }
  stream->queue.push_back(std::move(operation));
  ++stream->queued;
  if (settings().seed != 0 && random_below(8) == 0) run_some(stream, random_below(stream->queue.size() + 1));
  return cudaSuccess;
}

void drain(cudaStream_t stream) { run_some(stream, stream->queue.size()); }

void drain_device(int device) {
  for (const cudaStream_t stream : devices().streams) {
    if (stream->device == device) drain(stream);
  }
}

void run_everything() {
  const auto lock = locked();
  for (const cudaStream_t stream : devices().streams) drain(stream);
}

bool breaks_capture(const char* call) {
  bool broken = false;
  for (const cudaStream_t stream : devices().streams) {
    Capture* const capture = stream->capture.get();
    if (capture == nullptr || capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread != std::this_thread::get_id())
      continue;
    invalidate(*capture, std::string(call) + " is not allowed while a stream is captured");
    broken = true;
  }
  return broken;
}

bool first_use(int device, const std::string& what) {
  return devices().used_before.emplace(device, what).second;
}

void report_pending_streams_at_exit() {
  for (const cudaStream_t stream : devices().streams) {
    if (!stream->queue.empty()) {
      report("work (" + stream->queue.front().what +
                 ") is left on a stream that nobody waits for; it was queued",
             stream->queue.front().place);
    }
  }
}

cudaError_t remember(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

}  // namespace qmse::cuda_device

using namespace qmse::cuda_device;

extern "C" {

cudaError_t cudaGetLastError() {
  const cudaError_t status = last_error;
  last_error = cudaSuccess;
  return status;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  const auto lock = locked();
  if (const cudaError_t status = make_context(current_device())) return remember(status);
  if (flags != cudaStreamNonBlocking) report("a stream that waits for the legacy stream");
  auto made = new CUstream_st;
  made->device = current_device();
  devices().streams.push_back(made);
  born(made, kStream);
  *stream = made;
  return cudaSuccess;
}

// What is queued is done first; the stream goes at once (CUDA: "the function will return immediately").
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const auto lock = locked();
  if (!died(stream, kStream)) return remember(cudaErrorInvalidResourceHandle);
  if (stream->capture) report("a stream is destroyed while it is captured");
  for (const Operation& operation : stream->queue) {
    if (operation.what != kCopyToHost) continue;
    report("a copy to the host that nobody waits for: its stream is destroyed; queued", operation.place);
  }
  drain(stream);
  std::erase(devices().streams, stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const auto lock = locked();
  if (!valid(stream, "cudaStreamSynchronize")) return remember(cudaErrorInvalidResourceHandle);
  if (stream->capture) {
    invalidate(*stream->capture, "cudaStreamSynchronize of the stream that is captured");
    return remember(cudaErrorStreamCaptureUnsupported);
  }
  drain(stream);
  if (fails(Fault::synchronization)) fail_device(stream->device, cudaErrorIllegalAddress);
  return remember(sticky_error(stream->device));
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const auto lock = locked();
  if (!valid(stream, "cudaStreamBeginCapture")) return remember(cudaErrorInvalidResourceHandle);
  if (stream->capture) return remember(cudaErrorIllegalState);
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture->thread = std::this_thread::get_id();
  stream->capture->graph = std::make_unique<CUgraph_st>(CUgraph_st{stream->device, {}, {}});
  stream->behind.clear();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const auto lock = locked();
  *graph = nullptr;
  if (!valid(stream, "cudaStreamEndCapture")) return remember(cudaErrorInvalidResourceHandle);
  if (!stream->capture) return remember(cudaErrorIllegalState);
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture->origin != stream) return remember(cudaErrorStreamCaptureUnmatched);
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
    return remember(cudaErrorStreamCaptureWrongThread);
  }
  bool joined = true;
  for (const cudaStream_t other : devices().streams) {
    if (other->capture != capture) continue;
    joined = joined && lead_to(*capture->graph, other->behind, stream->behind);
    other->capture.reset();
  }
  if (capture->is_void) return remember(cudaErrorStreamCaptureInvalidated);
  if (!joined) {
    note("the capture is void: its first stream does not wait for all of another's work");
    return remember(cudaErrorStreamCaptureUnjoined);
  }
  *graph = capture->graph.release();
  born(*graph, kGraph);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto lock = locked();
  if (!alive(event, kEvent) || !valid(stream, "cudaEventRecord")) {
    return remember(cudaErrorInvalidResourceHandle);
  }
  if (stream->capture && stream->capture->is_void) return remember(cudaErrorStreamCaptureInvalidated);
  event->stream = stream;
  event->operations = stream->queued;
  event->capture = stream->capture;
  event->behind = stream->capture ? stream->behind : std::vector<CUgraphNode_st*>();
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
  const auto lock = locked();
  if (!alive(event, kEvent) || !valid(stream, "cudaStreamWaitEvent") || flags != 0) {
    return remember(cudaErrorInvalidValue);
  }
  if (event->stream == nullptr) {
    report("a stream waits for an event that was not recorded: it would not wait");
    return remember(cudaErrorInvalidValue);
  }
  if (event->capture) {
    const cudaStream_t origin = event->capture->origin;
    if (!alive(origin, kStream) || origin->capture != event->capture) {
      report("a stream waits for an event of a capture that has ended");
      return remember(cudaErrorCapturedEvent);
    }
    if (event->capture->is_void) return remember(cudaErrorStreamCaptureInvalidated);
    if (stream->capture && stream->capture != event->capture) {
      invalidate(*stream->capture, "it waits for an event of another capture");
      return remember(cudaErrorStreamCaptureMerge);
    }
    if (!stream->capture) stream->behind.clear();
    stream->capture = event->capture;
    add_new(stream->behind, event->behind);
    return cudaSuccess;
  }
  if (stream->capture) {
    invalidate(*stream->capture, "it waits for an event from outside");
    return remember(cudaErrorStreamCaptureIsolation);
  }
  const auto wait = [source = event->stream, operations = event->operations] {
    const Operation* const waiting = running;
    --work_done;  // it is no work itself
    const auto& streams = devices().streams;
    while (std::find(streams.begin(), streams.end(), source) != streams.end() && source->done < operations &&
           !source->queue.empty()) {
      run_some(source, static_cast<std::size_t>(operations - source->done));
    }
    running = waiting;
  };
  return remember(enqueue(stream, {"wait", here(), {}, wait, {}}));
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  const auto lock = locked();
  if (!alive(graph, kGraph)) {
    report("cudaGraphInstantiate of a graph that is none, or is no longer");
    return remember(cudaErrorInvalidValue);
  }
  if (breaks_capture("cudaGraphInstantiate")) return remember(cudaErrorStreamCaptureUnsupported);
  if (fails(Fault::instantiation)) return remember(cudaErrorMemoryAllocation);
  auto made =
      new CUgraphExec_st{graph->device, false, std::make_shared<std::vector<Operation>>(in_order(*graph))};
  devices().last_graph.clear();
  for (const Operation& node : *made->nodes) devices().last_graph.push_back(node.what);
  born(made, kExecutable);
  *executable = made;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const auto lock = locked();
  if (!died(graph, kGraph)) return remember(cudaErrorInvalidValue);
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const auto lock = locked();
  if (!died(executable, kExecutable)) return remember(cudaErrorInvalidValue);
  delete executable;
  return cudaSuccess;
}

// The nodes run on the memory as it then is, with the arguments of the capture.
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const auto lock = locked();
  if (!alive(executable, kExecutable)) {
    report("cudaGraphLaunch of a graph that is none, or is no longer");
    return remember(cudaErrorInvalidValue);
  }
  if (!valid(stream, "cudaGraphLaunch")) return remember(cudaErrorInvalidResourceHandle);
  if (stream->device != executable->device) {
    report("a graph is launched on another device's stream");
    return remember(cudaErrorInvalidValue);
  }
  if (stream->capture) {
    invalidate(*stream->capture, "a graph is launched");
    return remember(cudaErrorStreamCaptureUnsupported);
  }
  if (fails(Fault::launch)) return remember(cudaErrorLaunchOutOfResources);
  for (const Operation& node : *executable->nodes) {
    for (const Range& range : node.uses) {
      const std::string fault = fault_of(range, executable->device);
      if (fault.empty()) continue;
      report("a live graph holds (" + node.what + "): " + fault + "; captured", node.place);
      return remember(cudaErrorInvalidValue);
    }
  }
  executable->launched = true;
  return remember(
      enqueue(stream, {"graph", here(), {}, [nodes = executable->nodes, device = executable->device] {
                         OpenMemory open;
                         const Operation* const graph = running;
                         for (const Operation& node : *nodes) {
                           if (sticky_error(device) == cudaSuccess) execute(node, device, open);
                         }
                         running = graph;
                       }}));
}

}  // extern "C"
