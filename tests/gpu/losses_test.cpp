// The losses against long double, at the shapes of the SIMT tests, and v bit for bit.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/mse/mse.h"
#include "kernels/qmse/qmse.h"
#include "tests/gpu/device.h"
#include "tests/support/row_loss_reference.h"
#include "tests/support/row_shapes.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// exp and log of either backend, and differences of outputs up to 30 apart; see cross_entropy_simt_test.cpp.
constexpr long double kCrossEntropyTolerance = 6e-6L;

// A problem and its results in device memory.
class ProblemOnDevice {
 public:
  ProblemOnDevice(Backend& device, const RowProblem<float>& problem, bool with_residual)
      : output_(device, problem.output),
        labels_(device, problem.labels),
        targets_(device, problem.targets),
        gradient_(unwritten<float>(device, problem.batch * problem.classes)),
        sample_loss_(unwritten<float>(device, problem.batch)),
        residual_sq_(unwritten<float>(device, problem.batch)),
        residual_(unwritten<float>(device, with_residual ? problem.batch * problem.classes : 0)),
        correct_(unwritten<std::int32_t>(device, problem.batch)),
        workspace_(device, std::vector<unsigned char>(
                               row_loss_workspace_bytes(problem.batch, problem.classes), 0xFF)) {
    args_.batch = problem.batch;
    args_.classes = problem.classes;
    args_.scale = problem.scale;
    args_.output = output_.data();
    args_.labels = labels_.data();
    args_.targets = targets_.data();
    args_.gradient = gradient_.data();
    args_.sample_loss = sample_loss_.data();
    args_.residual_sq = residual_sq_.data();
    args_.correct = correct_.data();
    args_.residual = residual_.data();
    args_.workspace = workspace_.data();
  }
  const RowLossArgs<float>& args() const { return args_; }
  RowResults<float> results() const {
    RowResults<float> results;
    results.gradient = gradient_.values();
    results.sample_loss = sample_loss_.values();
    results.residual_sq = residual_sq_.values();
    results.residual = residual_.values();
    results.correct = correct_.values();
    return results;
  }

 private:
  OnDevice<float> output_;
  OnDevice<std::int32_t> labels_;
  OnDevice<float> targets_, gradient_, sample_loss_, residual_sq_, residual_;
  OnDevice<std::int32_t> correct_;
  OnDevice<unsigned char> workspace_;
  RowLossArgs<float> args_;
};

std::vector<RowShape> all_shapes() {
  std::vector<RowShape> shapes = row_shapes();
  for (const RowShape& shape : large_batches()) shapes.push_back(shape);
  shapes.push_back({1, 100003});
  shapes.push_back({3, 100000});
  return shapes;
}

// loss(device, args) at every shape, with labels and dense targets, against reference(problem, row).
template <class Loss, class Reference>
void check_loss(double spread, const Loss& loss, const Reference& reference) {
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  for (const RowShape& shape : all_shapes()) {
    for (const bool dense : {false, true}) {
      CAPTURE(shape.batch, shape.classes, dense);
      const auto problem = random_problem<float>(shape.batch, shape.classes, dense, 3, spread, 1.25);
      const ProblemOnDevice there(device, problem, shape.classes % 2 == 0);
      loss(device, there.args());
      check_rows(problem, there.results(), [&](std::int64_t row) { return reference(problem, row); });
    }
  }
}

void check_qmse(Direction distribution, DirectionScope scope, QGradient q_gradient) {
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  const std::uint64_t step = 0x100000007u;  // the counter takes the low 32 bits
  const auto step_there = number_on_device(device, step);
  for (const RowShape& shape : all_shapes()) {
    for (const bool dense : {false, true}) {
      CAPTURE(shape.batch, shape.classes, dense);
      const auto problem = random_problem<float>(shape.batch, shape.classes, dense, 2, 0.5, 1.5);
      std::vector<std::uint32_t> ids(static_cast<std::size_t>(shape.batch));
      std::iota(ids.begin(), ids.end(), 40u);
      const ProblemOnDevice there(device, problem, false);
      const OnDevice<std::uint32_t> ids_there(device, ids);
      const auto v_there = unwritten<float>(device, shape.batch * shape.classes);
      QmseArgs<float> args;
      args.row = there.args();
      args.options.distribution = distribution;
      args.options.scope = scope;
      args.options.q_gradient = q_gradient;
      args.options.seed = 0x123456789ABCDEFu;
      args.step = step_there.data();
      args.sample_ids = ids_there.data();
      args.v = v_there.data();
      qmse_loss(device, args);

      args.step = &step;  // for the reference, which draws on the host
      args.sample_ids = ids.data();
      const std::vector<float> v = directions(args), drawn = v_there.values();
      CHECK(std::memcmp(v.data(), drawn.data(), v.size() * sizeof(float)) == 0);
      check_rows(problem, there.results(), [&](std::int64_t row) {
        return qmse_reference(problem, row, v.data() + row * shape.classes, q_gradient == QGradient::full,
                              kKernelTolerance);
      });
    }
  }
}

}  // namespace

TEST_CASE("losses: mse agrees with the reference", "[kernels]") {
  check_loss(
      0.8, [](Backend& device, const RowLossArgs<float>& args) { mse_loss(device, args); },
      [](const auto& problem, std::int64_t row) { return mse_reference(problem, row, kKernelTolerance); });
}

TEST_CASE("losses: cross_entropy agrees with the reference", "[kernels]") {
  check_loss(
      3.0, [](Backend& device, const RowLossArgs<float>& args) { cross_entropy_loss(device, args); },
      [](const auto& problem, std::int64_t row) {
        return cross_entropy_reference(problem, row, kCrossEntropyTolerance);
      });
}

TEST_CASE("losses: the expected qmse agrees with the reference", "[kernels]") {
  check_loss(
      0.5, [](Backend& device, const RowLossArgs<float>& args) { qmse_expected_loss(device, args); },
      [](const auto& problem, std::int64_t row) {
        return qmse_expected_reference(problem, row, kKernelTolerance);
      });
}

TEST_CASE("losses: qmse agrees with the reference and v with the host's, bit for bit: sphere", "[kernels]") {
  check_qmse(Direction::sphere, DirectionScope::per_sample, QGradient::constant);
}

TEST_CASE("losses: qmse agrees with the reference and v with the host's, bit for bit: rademacher",
          "[kernels]") {
  check_qmse(Direction::rademacher, DirectionScope::per_sample, QGradient::full);
}

TEST_CASE("losses: qmse agrees with the reference and v with the host's, bit for bit: one v a batch",
          "[kernels]") {
  check_qmse(Direction::sphere, DirectionScope::per_batch, QGradient::full);
}
