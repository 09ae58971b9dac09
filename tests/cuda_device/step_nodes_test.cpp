// How many pieces a captured step has: each costs a GPU one to two microseconds, however little it does.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "bench/step_timeline/timeline.h"
#include "engine/training_loop.h"
#include "losses/residual_loss.h"
#include "models/simple_cnn.h"
#include "optim/optimizers.h"
#include "tests/cuda_device/in_child.h"
#include "tests/cuda_device/tiny_training.h"
#include "tests/support/catch.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr std::int64_t kBatch = 4, kSamples = 2 * kBatch;
constexpr std::size_t kStepNodes = 18;  // of a step of the network below

Ending nodes_of(
    const std::function<void(Context&, const Sequential&, ParameterStore&, const ToyData<float>&)>& capture) {
  return in_child([&] {
    Context context(std::make_unique<CudaContext>(CudaOptions{}));
    const Sequential model = make_simple_cnn({1, 12, 12}, 10, {.conv_channels = {16, 48}, .fc_width = 20});
    ParameterStore store(context, DType::f32, model.parameters());
    store.initialize(Initialization::pytorch, 4);
    const ToyData<float> data(context, kSamples, {1, 12, 12}, 10, 3);
    capture(context, model, store, data);
    for (const std::string& node : cuda_device::last_graph()) std::fprintf(stderr, "%s\n", node.c_str());
  });
}

// `count` lines, of which the last begin so.
void check_nodes(const Ending& ending, std::size_t count, const std::vector<std::string>& last) {
  CAPTURE(ending.text);
  CHECK(ending.status == 0);
  CHECK(static_cast<std::size_t>(std::count(ending.text.begin(), ending.text.end(), '\n')) == count);
  std::string tail;
  std::size_t at = ending.text.size() - 1;
  for (std::size_t i = 0; i < last.size(); ++i) at = ending.text.rfind('\n', at - 1);
  for (const std::string& node : last) {
    CHECK(ending.text.compare(at + 1, node.size(), node) == 0);
    at = ending.text.find('\n', at + 1);
  }
}

}  // namespace

TEST_CASE("step: what follows the gradients is two kernels, whatever the optimizer") {
  for (const bool adam : {false, true}) {
    for (const bool halts : {false, true}) {
      CAPTURE(adam, halts);
      check_nodes(nodes_of([&](Context& context, const Sequential& model, ParameterStore& store,
                               const ToyData<float>& data) {
                    const MseLoss loss;
                    Sgd sgd(store, {.momentum = 0.9});
                    Adam adam_optimizer(store, {});
                    TrainingLoop<float> loop(context, network_of(model, store), data.resident, loss,
                                             adam ? static_cast<Optimizer&>(adam_optimizer) : sgd, kBatch,
                                             {.halt_on_non_finite = halts});
                    std::vector<std::uint32_t> order(kSamples);
                    std::iota(order.begin(), order.end(), 0u);
                    loop.begin_epoch(order, std::vector<double>(2, 0.01), 0);
                    loop.step(2);
                    synchronize(context);
                  }),
                  kStepNodes, {"kernel step_totals_kernel", "kernel optimizer_step_kernel"});
    }
  }
}

TEST_CASE("step: what follows the loss in an evaluation is one kernel") {
  check_nodes(nodes_of([](Context& context, const Sequential& model, ParameterStore& store,
                          const ToyData<float>& data) {
                const MseLoss loss;
                Evaluator<float> evaluator(context, network_of(model, store), data.resident, loss, kBatch);
                evaluator.run();
              }),
              8, {"kernel row_loss", "kernel step_totals_kernel"});
}

TEST_CASE("step: events between the nodes give each its time, and the steps are those without events") {
  const auto train = [](bool recorded) {
    return in_child([recorded] {
      TinyTraining training({.branches = false}, 6, false);
      TrainingLoop<float>& loop = training.loop;
      loop.step(2);
      if (recorded) {  // once more than it is asked for
        for (const bench::StepPiece& piece : bench::record_by_events(
                 *training.context.cuda(), [&] { loop.step(); }, 3)) {
          std::fprintf(stderr, "%s:", piece.name.c_str());
          for (const double seconds : piece.seconds) std::fprintf(stderr, " %g", seconds);
          std::fprintf(stderr, "\n");
        }
      } else {
        loop.step(4);
      }
      training.print_weights();
    });
  };
  const Ending plain = train(false), recorded = train(true);
  CAPTURE(plain.text, recorded.text);
  CHECK(plain.status == 0);
  CHECK(recorded.status == 0);
  CHECK(recorded.text.substr(recorded.text.find("\nweights ") + 1) == plain.text);
  std::istringstream lines(recorded.text);
  std::vector<std::string> pieces;
  for (std::string line; std::getline(lines, line) && line.compare(0, 7, "weights") != 0;)
    pieces.push_back(line);
  CHECK(pieces.size() == kStepNodes);
  for (const std::string& piece : pieces) {
    CAPTURE(piece);
    CHECK(piece.substr(piece.rfind(": ")) == ": 0.001 0.001 0.001");  // each is one piece of work
  }
  CHECK(std::count(pieces.begin(), pieces.end(), "a kernel: 0.001 0.001 0.001") > 0);  // a library's
  CHECK(pieces.back().compare(0, 21, "optimizer_step_kernel") == 0);
}
