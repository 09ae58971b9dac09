// NVTX's spans, seen by a tool that is linked in.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

// The types alone: NVTX itself is in device/range_cuda.cpp.
#define NVTX_NO_IMPL
#include <nvtx3/nvToolsExt.h>

#include "engine/training_loop.h"
#include "losses/residual_loss.h"
#include "models/simple_cnn.h"
#include "optim/optimizers.h"
#include "tests/support/catch.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// The spans that were begun: "backward/conv1" for one within another. A thread's, as NVTX's are: the tool sees
// all tests of this program, and some train in several threads.
thread_local std::vector<std::string> spans;
thread_local std::vector<std::string> open_spans;

int push(nvtxDomainHandle_t, const nvtxEventAttributes_t* span) {
  open_spans.emplace_back(span->message.ascii);
  std::string path;
  for (const std::string& name : open_spans) path += (path.empty() ? "" : "/") + name;
  spans.push_back(path);
  return static_cast<int>(open_spans.size()) - 1;
}

int pop(nvtxDomainHandle_t) {
  open_spans.pop_back();
  return static_cast<int>(open_spans.size());
}

int attach(NvtxGetExportTableFunc_t get_table) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) == 0) return 0;
  *table[NVTX_CBID_CORE2_DomainRangePushEx] = reinterpret_cast<NvtxFunctionPointer>(push);
  *table[NVTX_CBID_CORE2_DomainRangePop] = reinterpret_cast<NvtxFunctionPointer>(pop);
  return 1;
}

}  // namespace

extern "C" {
NvtxInitializeInjectionNvtxFunc_t InitializeInjectionNvtx2_fnptr = attach;
}

TEST_CASE("ranges: a step has one for each phase, and within it one for each operation") {
  Context context(std::make_unique<CudaContext>(CudaOptions{}));
  const Sequential model = make_simple_cnn({1, 12, 12}, 10, {.conv_channels = {4}, .fc_width = 5});
  ParameterStore store(context, DType::f32, model.parameters());
  store.initialize(Initialization::pytorch, 4);
  const ToyData<float> data(context, 4, {1, 12, 12}, 10, 3);
  const MseLoss loss;
  Sgd sgd(store, {});
  TrainingLoop<float> loop(context, network_of(model, store), data.resident, loss, sgd, 4,
                           {.capture = false});
  const std::vector<std::uint32_t> order{0, 1, 2, 3};
  const std::vector<double> rates{0.1};
  loop.begin_epoch(order, rates, 0);
  spans.clear();
  loop.step();
  CHECK(spans == std::vector<std::string>{"gather", "forward", "forward/conv1", "forward/fc1", "forward/fc2",
                                          "loss", "backward", "backward/fc2", "backward/fc1",
                                          "backward/conv1", "totals", "optimizer"});
  CHECK(open_spans.empty());
}
