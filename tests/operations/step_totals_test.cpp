#include "kernels/step_totals/step_totals.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "tests/operations/devices.h"
#include "tests/support/step_totals_case.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// What a training keeps between its steps, on a device.
template <class D>
class Epoch {
 public:
  using T = typename D::Number;

  Epoch(const D& device, std::int64_t n, bool halting = false, const std::vector<double>& rates = {},
        const StepCounter& start = {})
      : device_(&device),
        halts_(halting),
        workspace_(device.array(std::vector<double>(step_totals_workspace_bytes(n) / sizeof(double)))),
        rates_(device.array(rates)),
        metrics_(device.number(EpochMetrics{})),
        counter_(device.number(start)) {}

  void step(const StepNumbers<T>& numbers, std::size_t offset = 0) {
    const auto losses = device_->array(numbers.losses), residuals = device_->array(numbers.residuals),
               gradients = device_->array(numbers.gradients, offset);
    const auto hits = device_->array(numbers.hits);
    StepTotalsArgs<T> args = numbers.args();
    args.sample_loss = losses.data();
    args.residual_sq = residuals.data();
    args.correct = hits.data();
    args.gradients = gradients.data();
    args.rates = rates_.data();
    args.halt_on_non_finite = halts_;
    args.redraws = redraws;
    args.metrics = metrics_.data();
    args.counter = counter_.data();
    args.workspace = workspace_.data();
    step_totals(device_->context, args);
  }

  EpochMetrics metrics() const { return metrics_.values()[0]; }
  StepCounter counter() const { return counter_.values()[0]; }

  std::uint32_t redraws = 0;

 private:
  template <class E>
  using On = decltype(std::declval<D>().array(std::vector<E>()));

  const D* device_;
  bool halts_;
  On<double> workspace_, rates_;
  On<EpochMetrics> metrics_;
  On<StepCounter> counter_;
};

double in_a_tree(std::vector<double> x) {
  for (std::size_t half = x.size() / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) x[i] += x[i + half];
  }
  return x[0];
}

// The sums in the order that is documented to be the kernel's: threads' strides, then a warp's tree, then
// that of the warps.
template <class Part>
double in_kernel_order(unsigned threads, const Part& part) {
  std::vector<double> warps;
  for (unsigned warp = 0; warp < threads / 32; ++warp) {
    std::vector<double> lanes;
    for (unsigned lane = 0; lane < 32; ++lane) lanes.push_back(part(32 * warp + lane));
    warps.push_back(in_a_tree(lanes));
  }
  return in_a_tree(warps);
}

[[maybe_unused]] double norm_in_kernel_order(const std::vector<float>& x) {
  const auto square = [&](std::size_t i) {
    return i < x.size() ? static_cast<double>(x[i]) * static_cast<double>(x[i]) : 0;
  };
  std::vector<double> partials;
  for (std::size_t begin = 0; begin < x.size(); begin += kFlatChunk) {
    partials.push_back(in_kernel_order(512, [&](unsigned thread) {
      double sum = 0;
      for (std::size_t group = 0; group < 2; ++group) {
        for (std::size_t k = 0; k < 4; ++k) sum += square(begin + 4 * (512 * group + thread) + k);
      }
      return sum;
    }));
  }
  return in_kernel_order(512, [&](unsigned thread) {
    double sum = 0;
    for (std::size_t i = thread; i < partials.size(); i += 512) sum += partials[i];
    return sum;
  });
}

[[maybe_unused]] double batch_in_kernel_order(const std::vector<float>& x) {
  return in_kernel_order(256, [&](unsigned thread) {
    double sum = 0;
    for (std::size_t i = thread; i < x.size(); i += 256) sum += static_cast<double>(x[i]);
    return sum;
  });
}

}  // namespace

TEST_CASE("step_totals: sums over steps, in the stated order, whichever block is done last") {
  Devices devices;
  devices.each(1, [](auto& device) {
    using D = std::decay_t<decltype(device)>;
    using T = typename D::Number;
    Epoch epoch(device, 20000);
    double loss = 0, residual_sq = 0, norm_sq = 0;
    std::int64_t correct = 0, samples = 0, steps = 0;
    // Around a chunk of the norm and around a range of work.
    for (const std::int64_t n :
         {0, 1, 3, 4, 5, 15, 16, 17, 4095, 4096, 4097, 9001, 16383, 16384, 16385, 20000}) {
      for (const std::size_t offset : {0u, 1u}) {
        // Fewer samples than a block has threads, and more.
        constexpr std::int64_t kBatches[] = {64, 17, 1, 256, 1003};
        const std::int64_t batch = kBatches[steps % 5];
        CAPTURE(n, offset, batch);
        const StepNumbers<T> numbers(batch, n, static_cast<std::uint64_t>(steps));
        epoch.step(numbers, offset);
        const double mean = numbers.loss() / static_cast<double>(batch);
        const StepCounter counter = epoch.counter();
        const EpochMetrics metrics = epoch.metrics();
        // At most 512 or 16 partial sums side by side: rounding grows far slower than 1e-13.
        check_close(std::vector<double>{counter.gradient_norm_sq, metrics.last_loss},
                    {numbers.norm_sq(), mean}, 1e-13);
        if constexpr (D::kIsCpu) {
          CHECK(metrics.last_loss == mean);  // index order in f64
        } else if constexpr (D::kIsExecutor) {
          CHECK(counter.gradient_norm_sq == norm_in_kernel_order(numbers.gradients));
          CHECK(metrics.last_loss == batch_in_kernel_order(numbers.losses) / static_cast<double>(batch));
        }
        loss += numbers.loss();
        residual_sq += numbers.residual_sq();
        norm_sq += numbers.norm_sq();
        correct += numbers.correct();
        samples += batch;
        ++steps;
      }
    }
    const EpochMetrics metrics = epoch.metrics();
    check_close(std::vector<double>{metrics.loss, metrics.residual_sq, metrics.gradient_norm_sq},
                {loss, residual_sq, norm_sq}, 1e-13);
    if constexpr (D::kIsCpu) CHECK(metrics.loss == loss);
    CHECK(metrics.correct == correct);
    CHECK(metrics.samples == samples);
    CHECK(metrics.steps == steps);
    CHECK(metrics.first_non_finite_step == -1);
    // The same numbers again have the same bits.
    epoch.step(StepNumbers<T>(1003, 20000, static_cast<std::uint64_t>(steps - 1)));
    const double again = epoch.counter().gradient_norm_sq;
    epoch.step(StepNumbers<T>(1003, 20000, static_cast<std::uint64_t>(steps - 1)));
    CHECK(epoch.counter().gradient_norm_sq == again);
  });
}

TEST_CASE("step_totals: more chunks than the last block has threads are all added") {
  const std::int64_t n = 600 * kFlatChunk - 5;
  Devices devices;
  devices.each_gpu(n, [&](auto& device) {
    StepNumbers<float> numbers(3, 0, 1);
    numbers.gradients.assign(static_cast<std::size_t>(n), 2.0f);
    Epoch epoch(device, n);
    epoch.step(numbers);
    CHECK(epoch.counter().gradient_norm_sq == 4.0 * static_cast<double>(n));
  });
}

TEST_CASE("step_totals: the counter moves on by one step and one batch, and the update has its step's rate") {
  Devices devices;
  devices.each(1, [](auto& device) {
    using T = typename std::decay_t<decltype(device)>::Number;
    Epoch epoch(device, 5, false, {0.5, 0.25, 0.125},
                {.step = 41, .index = 0, .first = 100, .learning_rate = 0.5});
    epoch.step(StepNumbers<T>(64, 5, 1));
    CHECK(epoch.counter().learning_rate == 0.25);
    CHECK(epoch.counter().update_rate == 0.5);
    CHECK(epoch.counter().update_step == 41);
    epoch.step(StepNumbers<T>(10, 5, 2));
    const StepCounter counter = epoch.counter();
    CHECK(counter.step == 43);
    CHECK(counter.index == 2);
    CHECK(counter.first == 174);
    CHECK(counter.learning_rate == 0.125);
    CHECK(counter.update_rate == 0.25);
    CHECK(counter.update_step == 42);
  });
}

TEST_CASE("step_totals: evaluating there is no gradient and no learning rate") {
  Devices devices;
  devices.each(1, [](auto& device) {
    using T = typename std::decay_t<decltype(device)>::Number;
    Epoch epoch(device, 0, false, {}, {.learning_rate = 0.5});
    epoch.step(StepNumbers<T>(8, 0, 1));
    CHECK(epoch.counter().first == 8);
    CHECK(epoch.counter().learning_rate == 0.5);
    CHECK(epoch.counter().gradient_norm_sq == 0);
    CHECK(epoch.metrics().gradient_norm_sq == 0);
  });
}

TEST_CASE("step_totals: remembers the first step whose loss or gradient was not finite, and halts at it") {
  Devices devices;
  devices.each(1, [](auto& device) {
    using T = typename std::decay_t<decltype(device)>::Number;
    const StepNumbers<T> good(2, 4097, 1);
    for (const T bad : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
      for (const bool in_gradient : {false, true}) {
        for (const bool halts : {false, true}) {
          CAPTURE(bad, in_gradient, halts);
          StepNumbers<T> broken(2, 4097, 2);
          (in_gradient ? broken.gradients : broken.losses).back() = bad;
          Epoch epoch(device, 4097, halts, std::vector<double>(9, 0.5));
          const StepNumbers<T>* const steps[] = {&good, &good, &broken, &good, &broken};
          for (const StepNumbers<T>* step : steps) epoch.step(*step);
          const EpochMetrics metrics = epoch.metrics();
          const StepCounter counter = epoch.counter();
          CHECK(metrics.first_non_finite_step == 2);
          CHECK(metrics.steps == (halts ? 3 : 5));  // the broken one is counted
          CHECK(metrics.samples == (halts ? 6 : 10));
          CHECK(counter.step == (halts ? 2u : 5u));  // and not left
          CHECK(counter.index == (halts ? 2u : 5u));
          CHECK(counter.first == (halts ? 4u : 10u));
          CHECK(counter.held == (halts ? 0 : -1));  // what the optimizer looks at
          if (halts) CHECK(metrics.gradient_norm_sq == Approx(2 * good.norm_sq()).epsilon(1e-13));
        }
      }
    }
  });
}

TEST_CASE("step_totals: counts steps whose gradient is zero although a residual is not") {
  Devices devices;
  devices.each(1, [](auto& device) {
    using T = typename std::decay_t<decltype(device)>::Number;
    StepNumbers<T> numbers(2, 4097, 1);
    Epoch epoch(device, 4097, false, std::vector<double>(9, 0.5));
    epoch.step(numbers);
    CHECK(epoch.metrics().null_steps == 0);
    numbers.gradients.assign(4097, T(0));
    numbers.gradients.back() = T(1e-45f);  // the smallest there is in f32
    epoch.step(numbers);
    CHECK(epoch.metrics().null_steps == 0);
    numbers.gradients.back() = T(-0.0f);
    epoch.step(numbers);
    CHECK(epoch.metrics().null_steps == 1);
    numbers.residuals = {0, 0};  // there is nothing left to learn
    epoch.step(numbers);
    CHECK(epoch.metrics().null_steps == 1);
    CHECK(epoch.counter().step == 4);
  });
}

TEST_CASE("step_totals: a step with a zero gradient is taken again so often, and then left") {
  Devices devices;
  devices.each(1, [](auto& device) {
    using T = typename std::decay_t<decltype(device)>::Number;
    const StepNumbers<T> good(2, 4097, 1);
    StepNumbers<T> null(2, 4097, 2);
    null.gradients.assign(4097, T(0));
    Epoch epoch(device, 4097, false, std::vector<double>(9, 0.5));
    epoch.redraws = 2;
    epoch.step(good);
    CHECK(epoch.counter().held == -1);
    const double loss = epoch.metrics().loss;
    for (const std::uint32_t redraw : {1u, 2u}) {
      epoch.step(null);
      CHECK(epoch.counter().redraw == redraw);
      CHECK(epoch.counter().held == 0);  // the optimizer does nothing
      CHECK(epoch.counter().step == 1);
      CHECK(epoch.metrics().steps == 1);  // and nothing of it counts
      CHECK(epoch.metrics().loss == loss);
    }
    epoch.step(null);
    CHECK(epoch.counter().redraw == 0);
    CHECK(epoch.counter().held == -1);
    CHECK(epoch.counter().step == 2);
    CHECK(epoch.metrics().null_steps == 1);
    CHECK(epoch.metrics().redraws == 2);
    epoch.step(null);  // another step has its own
    CHECK(epoch.counter().redraw == 1);
    epoch.step(good);
    CHECK(epoch.counter().redraw == 0);
    CHECK(epoch.metrics().null_steps == 1);
    CHECK(epoch.metrics().redraws == 3);
  });
}

TEST_CASE("step_totals: squares of f32 numbers do not overflow") {
  Devices devices;
  devices.each_f32(1, [](auto& device) {
    StepNumbers<float> numbers(1, 3, 1);
    numbers.gradients.assign(3, 3e38f);
    Epoch epoch(device, 3);
    epoch.step(numbers);
    CHECK(epoch.counter().gradient_norm_sq == Approx(27e76));
  });
}

TEST_CASE("step_totals: the number of threads changes no bit") {
  const StepNumbers<float> numbers(64, 100003, 3);
  const auto norm_with = [&](int threads) {
    CpuContext context(threads);
    const Device<CpuContext, float> device{context};
    Epoch epoch(device, 100003);
    epoch.step(numbers);
    return epoch.counter().gradient_norm_sq;
  };
  const double expected = norm_with(1);
  for (const int threads : {2, 3, 5}) {
    CAPTURE(threads);
    CHECK(norm_with(threads) == expected);
  }
}
