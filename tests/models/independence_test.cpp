// What a network says of an image is the same bits whatever else is in the batch, in f32 and f64, and with
// whatever kernels this build has: the preset `plain` runs these tests without oneDNN.
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/batch_pass.h"
#include "losses/residual_loss.h"
#include "models/mlp.h"
#include "models/simple_cnn.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr std::int64_t kSamples = 37;
constexpr std::int64_t kClasses = 7;
const Shape kImages = {2, 13, 12};

// Every sample's outputs [samples, classes], its batches being cut from `order`; samples in no whole batch
// stay NaN.
template <class T>
std::vector<T> outputs(Context& context, const Sequential& model, ParameterStore& store,
                       const ToyData<T>& data, std::int64_t batch, const std::vector<std::uint32_t>& order) {
  const MseLoss loss;
  BatchPass<T> pass(context, network_of(model, store), data.resident, loss, batch, {.gradients = false});
  std::vector<T> all(kSamples * kClasses, std::numeric_limits<T>::quiet_NaN());
  for (std::uint64_t first = 0; first + static_cast<std::uint64_t>(batch) <= order.size();
       first += static_cast<std::uint64_t>(batch)) {
    pass.evaluate(order.data(), &first);
    const std::vector<T> rows = values<T>(pass.tape(), pass.output());
    for (std::size_t row = 0; row < static_cast<std::size_t>(batch); ++row) {
      std::memcpy(all.data() + order[first + row] * kClasses, rows.data() + row * kClasses,
                  kClasses * sizeof(T));
    }
  }
  return all;
}

template <class T>
void check_independent_in(const Sequential& model) {
  CAPTURE(sizeof(T));
  Context context = cpu(2);
  const ToyData<T> data(context, kSamples, kImages, kClasses, 3);
  ParameterStore store(context, dtype_of<T>(), model.parameters());
  store.initialize(Initialization::pytorch, 4);
  std::vector<std::uint32_t> order;
  for (std::uint32_t i = 0; i < kSamples; ++i)
    order.push_back(static_cast<std::uint32_t>(i * 10 % kSamples));  // 10 and 37: each once
  const std::vector<T> alone = outputs(context, model, store, data, 1, order);
  for (const std::int64_t batch : {2, 3, 5, 8, 16, 17, 32, 37}) {
    std::vector<std::uint32_t> other = order;
    for (int turn = 0; turn < 2; ++turn) {
      CAPTURE(batch, turn);
      const std::vector<T> together = outputs(context, model, store, data, batch, other);
      int seen = 0, different = 0;
      for (std::size_t i = 0; i < together.size(); ++i) {
        if (together[i] != together[i]) continue;
        ++seen;
        different += std::memcmp(&together[i], &alone[i], sizeof(T)) != 0 ? 1 : 0;
      }
      CHECK(seen == static_cast<int>(kSamples / batch * batch * kClasses));
      CHECK(different == 0);
      other.assign(order.rbegin(), order.rend());
    }
  }
}

void check_independent(const Sequential& model) {
  check_independent_in<float>(model);
  check_independent_in<double>(model);
}

}  // namespace

TEST_CASE("independence: a CNN's outputs for an image do not depend on the images beside it") {
  for (const std::vector<std::int64_t>& channels :
       {std::vector<std::int64_t>{32, 64}, std::vector<std::int64_t>{8, 16}, std::vector<std::int64_t>{5, 7},
        std::vector<std::int64_t>{4, 6}}) {
    CAPTURE(channels);
    check_independent(make_simple_cnn(kImages, kClasses, {.conv_channels = channels, .fc_width = 33}));
  }
}

TEST_CASE("independence: an MLP's outputs for an image do not depend on the images beside it") {
  check_independent(make_mlp(kImages, kClasses, {.widths = {65, 20}}));
  check_independent(make_mlp(kImages, kClasses, {.widths = {128}, .activation = Activation::tanh}));
  check_independent(make_mlp(kImages, kClasses, {.widths = {}}));
}
