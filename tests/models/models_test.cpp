#include <set>
#include <stdexcept>
#include <type_traits>

#include "losses/residual_loss.h"
#include "models/layers.h"
#include "models/mlp.h"
#include "models/operations.h"
#include "models/simple_cnn.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

std::vector<std::string> names(const std::vector<ParameterSpec>& specs) {
  std::vector<std::string> result;
  for (const ParameterSpec& spec : specs) result.push_back(spec.name + " " + to_string(spec.shape));
  return result;
}

}  // namespace

TEST_CASE("models: the CNN's parameters have PyTorch's names and shapes") {
  const Sequential model = make_simple_cnn({1, 28, 28}, 10);
  CHECK(names(model.parameters()) ==
        std::vector<std::string>{"conv1.weight [32, 1, 3, 3]", "conv1.bias [32]",
                                 "conv2.weight [64, 32, 3, 3]", "conv2.bias [64]", "fc1.weight [128, 3136]",
                                 "fc1.bias [128]", "fc2.weight [10, 128]", "fc2.bias [10]"});
  CHECK(model.output_shape() == Shape{10});
  CHECK(names(make_simple_cnn({3, 32, 32}, 100).parameters())[4] == "fc1.weight [128, 4096]");
}

TEST_CASE("models: layers say how many inputs and outputs an element of their weights has") {
  struct Expected {
    const char* name;
    std::int64_t fan_in, fan_out;
  };
  const Expected expected[] = {
      {"conv1.weight", 2 * 25, 6 * 25}, {"conv1.bias", 2 * 25, 6 * 25}, {"fc1.weight", 6 * 4 * 3, 20},
      {"fc1.bias", 6 * 4 * 3, 20},      {"fc2.weight", 20, 7},          {"fc2.bias", 20, 7}};
  const std::vector<ParameterSpec> specs =
      make_simple_cnn({2, 9, 7}, 7, {.conv_channels = {6}, .kernel = 5, .padding = 2, .fc_width = 20})
          .parameters();
  REQUIRE(specs.size() == std::size(expected));
  for (std::size_t i = 0; i < specs.size(); ++i) {
    CAPTURE(specs[i].name);
    CHECK(specs[i].name == expected[i].name);
    CHECK(specs[i].fan_in == expected[i].fan_in);
    CHECK(specs[i].fan_out == expected[i].fan_out);
    CHECK(specs[i].is_bias == (i % 2 == 1));
  }
}

TEST_CASE("models: the MLP takes any widths") {
  CHECK(names(make_mlp({1, 4, 4}, 3, {.widths = {}}).parameters()) ==
        std::vector<std::string>{"fc1.weight [3, 16]", "fc1.bias [3]"});
  CHECK(names(make_mlp({16}, 3, {.widths = {5, 7}}).parameters()) ==
        std::vector<std::string>{"fc1.weight [5, 16]", "fc1.bias [5]", "fc2.weight [7, 5]", "fc2.bias [7]",
                                 "fc3.weight [3, 7]", "fc3.bias [3]"});
}

TEST_CASE("models: layers that do not fit are named with the shapes") {
  CHECK_THROWS_WITH(make_simple_cnn({1, 3, 3}, 10), Catch::Contains("pool2"));
  CHECK_THROWS_WITH(make_simple_cnn({1, 28, 28}, 10, {.conv_channels = {8, 0}}), Catch::Contains("conv2"));
  CHECK_THROWS_WITH(Sequential({1, 8, 8}).emplace<LinearLayer>("fc", 3),
                    Catch::Contains("fc") && Catch::Contains("[1, 8, 8]") && Catch::Contains("FlattenLayer"));
  CHECK_THROWS_WITH(Sequential({8}).emplace<Conv2dLayer>("c", 3, 3, 1), Catch::Contains("[8]"));
  CHECK_THROWS_AS(Sequential({8}).emplace<LinearLayer>("a", 3).emplace<LinearLayer>("a", 3),
                  std::logic_error);
}

TEST_CASE("models: operations refuse shapes that do not fit, naming the node") {
  Context context = cpu();
  Tape tape(context);
  ParameterStore store(context, DType::f32, {{"w4", {5, 2, 3, 3}}, {"w2", {5, 6}}, {"b", {5}}, {"b4", {4}}});
  const Value image = tape.input("image", {3, 2, 8, 8});
  const Value row = tape.input("row", {3, 6});
  const Value w4 = tape.parameter(store, 0), w2 = tape.parameter(store, 1);
  const Value b = tape.parameter(store, 2), b4 = tape.parameter(store, 3);
  CHECK_THROWS_WITH(record_conv2d(tape, "node", row, w4, b, {}),
                    Catch::Contains("'node'") && Catch::Contains("[3, 6]"));
  CHECK_THROWS_AS(record_conv2d(tape, "node", image, w4, b4, {}), ShapeError);
  CHECK_THROWS_WITH(record_conv2d(tape, "node", image, w4, b, {.padding = -1}), Catch::Contains("'node'"));
  CHECK_THROWS_AS(record_linear(tape, "node", image, w2, b), ShapeError);
  CHECK_THROWS_AS(record_linear(tape, "node", row, w2, b4), ShapeError);
  CHECK_THROWS_AS(record_linear(tape, "node", row, w2, b, Activation::tanh), ShapeError);
  CHECK_THROWS_AS(record_max_pool2d(tape, "node", row, 2), ShapeError);
  CHECK_THROWS_AS(record_max_pool2d(tape, "node", image, 9), ShapeError);
}

TEST_CASE("models: a network whose outputs are not the classes is refused") {
  Context context = cpu();
  const ToyData<float> data(context, 5, {1, 4, 4}, 3, 1);
  const Sequential model = make_mlp({1, 4, 4}, 4, {});
  ParameterStore store(context, DType::f32, model.parameters());
  const MseLoss loss;
  CHECK_THROWS_WITH(BatchPass<float>(context, network_of(model, store), data.resident, loss, 5, {}),
                    Catch::Contains("[5, 4]") && Catch::Contains("[5, 3]"));
}

TEST_CASE("models: batches and samples that hold nothing are refused") {
  Context context = cpu();
  ToyData<float> data(context, 5, {1, 4, 4}, 3, 1);
  const Network network = [](Tape& tape, Value) { return tape.input("outputs", {5, 3}); };
  const MseLoss loss;
  CHECK_THROWS_AS(BatchPass<float>(context, network, data.resident, loss, 0, {}), ShapeError);
  for (const Shape& shape : {Shape{}, Shape{0, 4, 4}, Shape{1, 0, 4}}) {
    data.resident.sample_shape = shape;
    CHECK_THROWS_WITH(BatchPass<float>(context, network, data.resident, loss, 5, {}),
                      Catch::Contains(to_string(shape)));
  }
}

TEST_CASE("models: fused and unfused recordings give the same outputs and gradients, bit for bit") {
  Context context = cpu(2);
  for (const Shape& input : {Shape{3, 17, 14}, Shape{1, 28, 28}}) {
    CAPTURE(to_string(input));
    const ToyData<float> data(context, 11, input, 10, 3);
    const Sequential model = make_simple_cnn(input, 10, {.conv_channels = {32, 48}, .fc_width = 20});
    ParameterStore store(context, DType::f32, model.parameters());
    store.initialize(Initialization::pytorch, 4);
    const MseLoss loss;
    std::vector<std::uint32_t> order(11);
    for (std::uint32_t i = 0; i < 11; ++i) order[i] = 10 - i;
    const std::uint64_t zero = 0;
    std::vector<std::vector<float>> outputs, gradients;
    std::vector<int> counts;
    for (const bool fuse : {true, false}) {
      BatchPass<float> pass(context, network_of(model, store), data.resident, loss, 11, {.fuse = fuse});
      pass.train(order.data(), &zero, &zero);
      outputs.push_back(values<float>(pass.tape(), pass.output()));
      const auto* flat = static_cast<const float*>(store.gradients());
      gradients.emplace_back(flat, flat + store.flat_size());
      counts.push_back(pass.tape().value_count());
    }
    CHECK(counts[0] < counts[1]);
    CHECK(outputs[0] == outputs[1]);
    CHECK(gradients[0] == gradients[1]);
  }
}

TEST_CASE("models: what the operations chose is on record") {
  Context context = cpu();
  const Sequential model = make_simple_cnn({1, 12, 12}, 10);
  ParameterStore store(context, DType::f32, model.parameters());
  Tape tape(context);
  model.record(tape, store, tape.input("input", {2, 1, 12, 12}));
  std::vector<std::string> nodes;
  for (const Tape::Choice& choice : tape.choices()) {
    nodes.push_back(choice.node);
    CHECK_FALSE(choice.algorithm.empty());
  }
  CHECK(nodes == std::vector<std::string>{"conv1", "conv2", "fc1", "fc2"});
}
