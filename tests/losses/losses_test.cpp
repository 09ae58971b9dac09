#include <cmath>
#include <memory>

#include "engine/tensor.h"
#include "losses/cross_entropy.h"
#include "losses/qmse.h"
#include "losses/residual_loss.h"
#include "random/direction.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr std::size_t kBatch = 3, kClasses = 4;

// A fixed batch of outputs with labels, and everything a loss writes.
struct Batch {
  std::vector<double> f{0.3, -1.1, 0.8, 0.2, 1.5, 0.1, -0.4, 0.6, -0.2, 0.9, 0.7, 2.0};
  std::vector<std::int32_t> labels{2, 1, 3};
  std::vector<std::uint32_t> ids{17, 4, 40000};
  std::uint64_t step = 12;
  std::vector<double> gradient = std::vector<double>(kBatch * kClasses);
  std::vector<double> v = std::vector<double>(kBatch * kClasses);
  std::vector<LossDetail> details{{"v", v.data()}};
  std::vector<double> loss = std::vector<double>(kBatch), residual_sq = std::vector<double>(kBatch);
  std::vector<std::int32_t> correct = std::vector<std::int32_t>(kBatch);

  LossBatch view() {
    LossBatch batch;
    batch.dtype = DType::f64;
    batch.batch = kBatch;
    batch.classes = kClasses;
    batch.output = f.data();
    batch.labels = labels.data();
    batch.gradient = gradient.data();
    batch.sample_loss = loss.data();
    batch.residual_sq = residual_sq.data();
    batch.correct = correct.data();
    batch.details = details;
    batch.sample_ids = ids.data();
    batch.step = &step;
    return batch;
  }
  double r(std::size_t row, std::size_t i) const {
    return (static_cast<std::int32_t>(i) == labels[row] ? 1.0 : 0.0) - f[row * kClasses + i];
  }
  double norm_sq(std::size_t row) const {
    double sum = 0;
    for (std::size_t i = 0; i < kClasses; ++i) sum += r(row, i) * r(row, i);
    return sum;
  }
};

// Every loss that takes a reduction; a new one belongs here.
std::vector<std::unique_ptr<Loss>> losses(Reduction reduction) {
  std::vector<std::unique_ptr<Loss>> all;
  all.push_back(std::make_unique<MseLoss>(reduction));
  all.push_back(std::make_unique<QmseExpectedLoss>(reduction));
  for (const QGradient gradient : {QGradient::constant, QGradient::full}) {
    for (const DirectionDistribution distribution :
         {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
      for (const DirectionScope scope : {DirectionScope::per_sample, DirectionScope::per_batch}) {
        all.push_back(std::make_unique<QmseLoss>(QmseOptions{distribution, scope, gradient, 5}, reduction));
      }
    }
  }
  return all;
}

}  // namespace

TEST_CASE("losses: element_mean is batch_mean times 2/c, value and gradient") {
  Context context = cpu();
  const auto by_batch = losses(Reduction::batch_mean);
  const auto by_element = losses(Reduction::element_mean);
  for (std::size_t i = 0; i < by_batch.size(); ++i) {
    CAPTURE(i, by_batch[i]->name());
    Batch a, b;
    by_batch[i]->run(context, a.view());
    by_element[i]->run(context, b.view());
    for (std::size_t k = 0; k < a.gradient.size(); ++k)
      CHECK(b.gradient[k] == Approx(0.5 * a.gradient[k]).epsilon(1e-14));
    for (std::size_t k = 0; k < kBatch; ++k) {
      CHECK(b.loss[k] == Approx(0.5 * a.loss[k]).epsilon(1e-14));
      CHECK(b.residual_sq[k] == a.residual_sq[k]);  // a measurement, not a convention
    }
    CHECK(a.correct == std::vector<std::int32_t>{1, 0, 1});
  }
  CHECK_THROWS_AS(CrossEntropyLoss(Reduction::element_mean), ConfigError);
}

TEST_CASE("losses: element_mean of MSE is PyTorch's MSELoss") {
  Context context = cpu();
  Batch batch;
  MseLoss(Reduction::element_mean).run(context, batch.view());
  double mean = 0;
  for (std::size_t row = 0; row < kBatch; ++row) {
    mean += batch.norm_sq(row) / (kBatch * kClasses);
    for (std::size_t i = 0; i < kClasses; ++i) {
      CHECK(batch.gradient[row * kClasses + i] ==
            Approx(-2 * batch.r(row, i) / (kBatch * kClasses)).epsilon(1e-14));
    }
  }
  CHECK((batch.loss[0] + batch.loss[1] + batch.loss[2]) / kBatch == Approx(mean).epsilon(1e-14));
}

TEST_CASE("losses: QMSE draws v by seed, step, sample and scope") {
  Context context = cpu();
  for (const DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    for (const DirectionScope scope : {DirectionScope::per_sample, DirectionScope::per_batch}) {
      Batch batch;
      QmseLoss({distribution, scope, QGradient::constant, 77}).run(context, batch.view());
      for (std::size_t row = 0; row < kBatch; ++row) {
        std::vector<float> v(kClasses);
        const std::uint32_t sample = scope == DirectionScope::per_batch ? kWholeBatch : batch.ids[row];
        draw_direction(distribution, 77, static_cast<std::uint32_t>(batch.step), sample, kClasses, v.data());
        double a = 0;
        for (std::size_t i = 0; i < kClasses; ++i) {
          CHECK(batch.v[row * kClasses + i] == static_cast<double>(v[i]));
          a += batch.r(row, i) * (batch.r(row, i) + v[i]);
        }
        CHECK(batch.loss[row] == Approx(0.5 * a * a).epsilon(1e-13));
        for (std::size_t i = 0; i < kClasses; ++i) {
          CHECK(batch.gradient[row * kClasses + i] ==
                Approx(-a * (batch.r(row, i) + v[i]) / kBatch).epsilon(1e-13));
        }
      }
    }
  }
}

// An f64 loop of its own, and QMSE itself averaged over many steps: the mean of n draws of v is within five
// standard deviations of its expectation, whose variance is in docs/theory.md.
TEST_CASE("losses: qmse_expected is QMSE averaged over v, value and gradient") {
  Context context = cpu();
  Batch expected;
  QmseExpectedLoss().run(context, expected.view());
  for (std::size_t row = 0; row < kBatch; ++row) {
    const double n = expected.norm_sq(row);
    CHECK(expected.loss[row] == Approx(0.5 * (n * n + n / kClasses)).epsilon(1e-14));
    for (std::size_t i = 0; i < kClasses; ++i) {
      CHECK(expected.gradient[row * kClasses + i] ==
            Approx(-(n + 1.0 / kClasses) * expected.r(row, i) / kBatch).epsilon(1e-14));
    }
  }
  Batch evaluated;
  LossBatch view = evaluated.view();
  view.gradient = nullptr;
  QmseExpectedLoss().run(context, view);
  CHECK(evaluated.loss == expected.loss);
  CHECK(QmseExpectedLoss().details() == std::vector<std::string_view>{"residual"});
  CHECK(QmseLoss().details() == std::vector<std::string_view>{"residual", "v"});

  constexpr int kDraws = 20000;
  std::vector<double> mean(kBatch * kClasses), mean_loss(kBatch);
  Batch drawn;
  for (int step = 0; step < kDraws; ++step) {
    drawn.step = static_cast<std::uint64_t>(step);
    QmseLoss({DirectionDistribution::sphere, DirectionScope::per_sample, QGradient::constant, 9})
        .run(context, drawn.view());
    for (std::size_t k = 0; k < mean.size(); ++k) mean[k] += drawn.gradient[k] / kDraws;
    for (std::size_t k = 0; k < kBatch; ++k) mean_loss[k] += drawn.loss[k] / kDraws;
  }
  constexpr double c = kClasses;
  for (std::size_t row = 0; row < kBatch; ++row) {
    const double n = expected.norm_sq(row);
    // E||Qr||^2 - ||E Qr||^2, of the whole vector: no component varies more.
    const double variance = (n + 1) * (n * n + n / c) + 4 * n * n / c - (n + 1 / c) * (n + 1 / c) * n;
    for (std::size_t i = 0; i < kClasses; ++i) {
      const std::size_t k = row * kClasses + i;
      CHECK(std::abs(mean[k] - expected.gradient[k]) <= 5 * std::sqrt(variance / kDraws) / kBatch);
    }
    // a = n + <v,r>: a^2/2 has the variance of n<v,r> + <v,r>^2/2, whose odd moments vanish.
    const double loss_variance = n * n * n / c + 0.25 * (3 * n * n / (c * (c + 2)) - n * n / (c * c));
    CHECK(std::abs(mean_loss[row] - expected.loss[row]) <= 5 * std::sqrt(loss_variance / kDraws));
  }
}

TEST_CASE("losses: evaluation has no randomness, QMSE reports its expectation over v") {
  Context context = cpu();
  Batch batch;
  batch.gradient.assign(batch.gradient.size(), 99.0);
  LossBatch view = batch.view();
  view.gradient = nullptr;
  view.step = nullptr;
  view.sample_ids = nullptr;
  view.details = {};
  QmseLoss().run(context, view);
  for (std::size_t row = 0; row < kBatch; ++row) {
    const double n = batch.norm_sq(row);
    CHECK(batch.loss[row] == Approx(0.5 * (n * n + n / kClasses)).epsilon(1e-14));
    CHECK(batch.residual_sq[row] == Approx(n).epsilon(1e-14));
  }
  MseLoss().run(context, view);
  CHECK(batch.loss[0] == Approx(0.5 * batch.norm_sq(0)).epsilon(1e-14));
  CrossEntropyLoss().run(context, view);
  double sum = 0;
  for (std::size_t i = 0; i < kClasses; ++i) sum += std::exp(batch.f[i]);
  CHECK(batch.loss[0] == Approx(std::log(sum) - batch.f[2]).epsilon(1e-14));
}
