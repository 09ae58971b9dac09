// What is chosen where a library or a machine is not as it should be: epilogues, algorithms, devices.
#include <cmath>
#include <cstdio>
#include <vector>

#include "base/error.h"
#include "device/cuda_context.h"
#include "device/devices.h"
#include "kernels/linear/linear.h"
#include "tests/cuda_device/in_child.h"
#include "tests/support/catch.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;
using cuda_device::Settings;

namespace {

// y = relu(w x + b) and its gradients by the library, of a batch that has one NaN in its first sample where
// asked for; says which algorithm and which outputs on standard error.
void run_linear(const LinearShape& shape, bool with_nan) {
  CudaContext context(CudaOptions{.kernels = KernelChoice::library});
  const auto plan = make_linear(context, Precision<float>(), shape);
  std::fprintf(stderr, "algorithm %s\n", plan->algorithm());
  const auto put = [&](std::vector<float> values) {
    Buffer buffer(context.memory(), values.size() * sizeof(float), "test values");
    host_to_device(context, buffer.data(), values.data(), buffer.bytes());
    return buffer;
  };
  const auto get = [&](const Buffer& from) {
    std::vector<float> values(from.bytes() / sizeof(float));
    device_to_host(context, values.data(), from.data(), from.bytes());
    return values;
  };
  const auto inputs = static_cast<std::size_t>(shape.batch * shape.in_features),
             outputs = static_cast<std::size_t>(shape.batch * shape.out_features),
             weights = static_cast<std::size_t>(shape.in_features * shape.out_features),
             biases = static_cast<std::size_t>(shape.out_features);
  std::vector<float> x(inputs, 0.5f);
  if (with_nan) x[0] = std::nanf("");
  const Buffer x_there = put(x), w = put(std::vector<float>(weights, 1)),
               b = put(std::vector<float>(biases, 2)), y = put(std::vector<float>(outputs)),
               dy = put(std::vector<float>(outputs, 1)), dx = put(x), dw = put(std::vector<float>(weights)),
               db = put(std::vector<float>(biases));
  plan->forward(x_there.as<float>(), w.as<float>(), b.as<float>(), y.as<float>());
  plan->backward(x_there.as<float>(), w.as<float>(), y.as<float>(), dy.as<float>(), dx.as<float>(),
                 dw.as<float>(), db.as<float>());
  std::fprintf(stderr, "y %g %g\n", static_cast<double>(get(y).front()), static_cast<double>(get(y).back()));
  std::fprintf(stderr, "db %g\n", static_cast<double>(get(db).back()));
}

constexpr LinearShape kShape{.batch = 3, .in_features = 8, .out_features = 4, .activation = Activation::relu};

}  // namespace

TEST_CASE("choices: where most of the library's ReLUs make a number of a NaN, one that does not is taken") {
  for (const bool drop : {false, true}) {
    CAPTURE(drop);
    Settings settings;
    if (drop) settings.relu_drops_nan = Settings::DropsNan::all_but_one;
    const Ending ending = in_child([] { run_linear(kShape, true); }, settings);
    CAPTURE(ending.text);
    CHECK(ending.status == 0);
    CHECK(ending.says("y nan 6\n"));
    CHECK(ending.says("forward 3 (") == drop);  // the one that lets it pass is not the first
  }
}

TEST_CASE("choices: where all of the library's ReLUs make a number of a NaN, bias and ReLU are ours") {
  int told = 0;
  for (const std::uint64_t seed : {0, 1, 2, 3}) {
    CAPTURE(seed);
    Settings settings;
    settings.seed = seed;
    settings.relu_drops_nan = Settings::DropsNan::all;
    const Ending ending = in_child([] { run_linear(kShape, true); }, settings);
    CAPTURE(ending.text);
    CHECK(ending.status == 0);
    CHECK(ending.says("bias by bias_activation (in the epilogue: "));
    told +=
        ending.says("its epilogue turns NaN into a number") ? 1 : 0;  // where no candidate was refused before
    CHECK(ending.says("y nan 6\n"));
  }
  CHECK(told > 0);
  // Without ReLU nothing turns a NaN into a number: the bias stays in the epilogue.
  Settings settings;
  settings.relu_drops_nan = Settings::DropsNan::all;
  LinearShape linear = kShape;
  linear.activation = Activation::identity;
  const Ending ending = in_child([&] { run_linear(linear, true); }, settings);
  CAPTURE(ending.text);
  CHECK(ending.says("y nan 6\n"));
  CHECK(!ending.says("bias by bias_activation"));
}

TEST_CASE("choices: a bias gradient that the library's epilogue does not have is summed by ours") {
  for (const bool without : {false, true}) {
    int in_epilogue = 0;
    for (std::uint64_t seed = 0; seed < 8;
         ++seed) {  // whether the product is split differs, and with it the way
      CAPTURE(without, seed);
      Settings settings;
      settings.seed = seed;
      settings.no_bias_gradient = without;
      const Ending ending = in_child([] { run_linear(kShape, false); }, settings);
      CAPTURE(ending.text);
      CHECK(ending.status == 0);
      CHECK(ending.says("db 3\n"));
      in_epilogue += ending.says("bias in its epilogue") ? 1 : 0;
    }
    CHECK((in_epilogue > 0) == !without);
  }
}

TEST_CASE("choices: heuristics that fail are an error with their status and what to do") {
  Settings settings;
  settings.faults[static_cast<std::size_t>(cuda_device::Fault::plan)] = 2;  // the gradient of data
  const Ending ending = in_child([] { run_linear(kShape, false); }, settings);
  CAPTURE(ending.text);
  CHECK(ending.says("linear: cuBLASLt has no fp32 algorithm"));
  CHECK(ending.says("CUBLAS_STATUS_INTERNAL_ERROR"));
  CHECK(ending.says("raise --workspace-mib or change the sizes"));
}

TEST_CASE("choices: looking at devices makes no context on them, taking one makes one") {
  Settings settings;
  settings.devices.resize(4);
  settings.devices[0].busy = true;
  settings.devices[1].prohibited = true;
  const Ending ending = in_child(
      [] {
        std::fprintf(stderr, "devices %zu contexts %d\n", cuda_devices().size(),
                     cuda_device::contexts_made());
        const int chosen = choose_cuda_device(std::nullopt, std::nullopt);
        const CudaContext context(CudaOptions{.device = chosen});
        std::fprintf(stderr, "chosen %d contexts %d\n", chosen, cuda_device::contexts_made());
      },
      settings);
  CAPTURE(ending.text);
  CHECK(ending.status == 0);
  CHECK(ending.says("devices 3 contexts 0\n"));
  CHECK(ending.says("chosen 2 contexts 1\n"));
}
