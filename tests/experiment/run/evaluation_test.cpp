// What weights are evaluated on and with, where the user does not say, and what outputs that are no numbers
// count as.
#include "experiment/run/evaluation.h"

#include <limits>

#include "engine/safetensors.h"
#include "experiment/run/weights_file.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// A run of one epoch on a data set with MNIST's format, in `folder`/run.
struct World {
  World() {
    write_mnist(root.path(), 40, 20);
    std::filesystem::rename(root / "mnist", root / "fashion-mnist");
    write_mnist(root.path(), 30, 10);
    Json given = {{"dataset", "fashion-mnist"},
                  {"data", root.path().string()},
                  {"out", (root / "run").string()},
                  {"model", "mlp"},
                  {"mlp_widths", {3}},
                  {"epochs", 1},
                  {"loss", "mse"},
                  {"reduction", "element_mean"},
                  {"device", "cpu"},
                  {"threads", 1}};
    train(given);
  }
  EvaluationReport report(const Json& given, const std::string& weights = "run") const {
    return evaluate({.given = given, .weights = root / weights});
  }
  Json data() const { return {{"data", root.path().string()}, {"device", "cpu"}}; }

  TempDirectory root;
};

}  // namespace

TEST_CASE("evaluation: weights say data set, loss and reduction, a run directory its data too") {
  const World world;
  const auto last = json_lines(world.root / "run/metrics.jsonl").back();
  for (const EvaluationReport& report :
       {world.report({{"device", "cpu"}}), world.report(world.data(), "run/model.safetensors")}) {
    CHECK(report.dataset == "fashion-mnist");
    CHECK(report.trained_on == "fashion-mnist");
    CHECK(report.loss == "mse");
    CHECK(report.reduction == "element_mean");
    CHECK(report.samples == 20);
    CHECK(report.scores.loss == last["test_loss"].get<double>());
  }
  Json other = world.data();
  other["loss"] = "cross_entropy";
  CHECK(world.report(other).loss == "cross_entropy");
  CHECK(world.report(other).reduction == "batch_mean");
}

TEST_CASE("evaluation: another data set has to be asked for, and classes of other names are said") {
  const World world;
  Json other = world.data();
  other["dataset"] = "mnist";
  const EvaluationReport report = world.report(other);
  CHECK(report.dataset == "mnist");
  CHECK(report.trained_on == "fashion-mnist");
  CHECK(report.samples == 10);
  CHECK(missing(report.difference, {"trained on fashion-mnist", "class 0", "'0' in mnist"}) == "");
}

TEST_CASE("evaluation: what cannot be known is asked for") {
  const World world;
  // A file of an earlier version does not say its loss.
  const SafetensorsFile file(world.root / "run/model.safetensors");
  SafetensorsMetadata metadata = file.metadata();
  for (const char* key : {"qmse.loss", "qmse.reduction", "qmse.labels"}) metadata.erase(key);
  std::vector<std::vector<float>> values;
  std::vector<TensorToWrite> tensors;
  for (const std::string& name : file.names()) values.push_back(file.read<float>(name));
  for (std::size_t i = 0; i < values.size(); ++i)
    tensors.push_back({file.names()[i], DType::f32, file.info(file.names()[i]).shape, values[i].data()});
  write_safetensors(world.root / "old", tensors, metadata);
  CHECK(missing(message_of<ConfigError>([&] { world.report(world.data(), "old"); }), {"old", "--loss"}) ==
        "");
  Json told = world.data();
  told["loss"] = "mse";
  CHECK(world.report(told, "old").samples == 20);
  metadata["qmse.loss"] = "l2";
  write_safetensors(world.root / "wrong", tensors, metadata);
  CHECK(missing(message_of<DataError>([&] { world.report(world.data(), "wrong"); }),
                {"wrong", "qmse.loss", "l2"}) == "");

  std::filesystem::remove(world.root / "run/model.safetensors");
  CHECK(missing(message_of<DataError>([&] { world.report(world.data()); }),
                {"run'", "not finished", "run/checkpoint.safetensors"}) == "");
  CHECK(missing(message_of<DataError>([&] { world.report(world.data(), "mnist"); }),
                {"mnist'", "no model.safetensors"}) == "");
  Json unused = told;
  unused["labels"] = "fine";
  CHECK(missing(message_of<ConfigError>([&] { world.report(unused, "old"); }), {"--labels", "cifar100"}) ==
        "");
}

TEST_CASE("evaluation: outputs that are no numbers are no prediction of any class") {
  const World world;
  const SafetensorsFile file(world.root / "run/model.safetensors");
  std::vector<std::vector<float>> values;
  std::vector<TensorToWrite> tensors;
  const std::vector<std::string> names = file.names();
  for (const std::string& name : names) values.push_back(file.read<float>(name));
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == "fc2.bias") values[i][3] = std::numeric_limits<float>::quiet_NaN();
    tensors.push_back({names[i], DType::f32, file.info(names[i]).shape, values[i].data()});
  }
  write_safetensors(world.root / "nan", tensors, file.metadata());
  const EvaluationReport report = world.report(world.data(), "nan");
  CHECK(report.no_prediction == 20);
  CHECK(report.scores.accuracy == 0);
  for (const auto& row : report.confusion) {
    for (const std::int64_t count : row) CHECK(count == 0);
  }
  for (const double accuracy : report.per_class_accuracy) CHECK(accuracy == 0);
  CHECK(to_json(report)["no_prediction"] == 20);
}

TEST_CASE("evaluation: weights that are older than their run's checkpoint are said to be so") {
  const World world;
  CHECK(world.report(world.data()).stale == "");
  CHECK(world.report(world.data()).step == 1);
  CHECK(to_json(world.report(world.data()))["step"] == 1);
  Json longer = {{"out", (world.root / "run").string()}, {"resume", true}, {"epochs", 4}};
  int asked = 0;
  REQUIRE(train(longer, {.stop = [&] { return ++asked == 3; }}) == TrainingOutcome::stopped);
  for (const char* weights : {"run", "run/model.safetensors"}) {
    CAPTURE(weights);
    const EvaluationReport report = world.report(world.data(), weights);
    CHECK(report.step == 1);
    CHECK(missing(report.stale, {"run/model.safetensors'", "of step 1", "is at step 3", "--resume",
                                 "run/checkpoint.safetensors'"}) == "");
  }
  CHECK(world.report(world.data(), "run/checkpoint.safetensors").stale == "");
  REQUIRE(train(longer) == TrainingOutcome::finished);
  CHECK(world.report(world.data()).stale == "");
  CHECK(world.report(world.data()).step == 4);
  std::filesystem::resize_file(world.root / "run/checkpoint.safetensors", 100);
  CHECK(missing(world.report(world.data()).stale, {"cannot be said", "checkpoint.safetensors"}) == "");
}

TEST_CASE("evaluation: weights that say nothing of themselves, with the model and data set given") {
  const TinyData data;
  const TempDirectory folder;
  train(data.settings(folder / "run", "mlp"));
  const SafetensorsFile ours(folder / "run/model.safetensors");
  // As PyTorch's save_file() writes them: tensors and nothing else.
  const auto write = [&](const std::string& name, const std::function<void(HostTensors&)>& fill) {
    HostTensors tensors;
    fill(tensors);
    write_safetensors(folder / name, tensors.to_write(), {});
  };
  const auto add = [&](HostTensors& tensors, const std::string& from, const std::string& to,
                       bool turned = false) {
    std::vector<float> values = ours.read<float>(from);
    std::vector<std::int64_t> shape = ours.info(from).shape;
    if (turned) {
      std::vector<float> transposed;
      for (std::int64_t k = 0; k < shape[1]; ++k) {
        for (std::int64_t i = 0; i < shape[0]; ++i)
          transposed.push_back(values[static_cast<std::size_t>(i * shape[1] + k)]);
      }
      values = transposed;
      std::swap(shape[0], shape[1]);
    }
    tensors.add(to, shape, values);
  };
  const std::vector<std::string> names = ours.names();
  write("plain", [&](HostTensors& tensors) {
    for (const std::string& name : names) add(tensors, name, name);
  });
  const Json given = {{"dataset", "mnist"}, {"data", data.root.path().string()},
                      {"model", "mlp"},     {"mlp_widths", {12}},
                      {"loss", "qmse"},     {"device", "cpu"}};
  const auto of = [&](const std::string& file, const Json& settings) {
    return evaluate({.given = settings, .weights = folder / file});
  };
  const EvaluationReport plain = of("plain", given), whole = of("run", {{"device", "cpu"}});
  CHECK(plain.scores.loss == whole.scores.loss);
  CHECK(plain.confusion == whole.confusion);

  const auto data_error = [&](const std::string& file, const Json& changes = Json::object()) {
    Json settings = given;
    settings.update(changes);
    return message_of<DataError>([&] { of(file, settings); });
  };
  write("turned", [&](HostTensors& tensors) {
    for (const std::string& name : names) add(tensors, name, name, name == "fc1.weight");
  });
  CHECK(missing(data_error("turned"), {"'fc1.weight' is [12, 64]", "in the file it is [64, 12]",
                                       "its transpose", "[outputs, inputs]"}) == "");
  write("renamed", [&](HostTensors& tensors) {
    for (const std::string& name : names) add(tensors, name, "net." + name);
  });
  CHECK(missing(data_error("renamed"), {"mlp with mlp_widths [12]", "has 'fc1.", "no tensor of that name",
                                        "net.fc1.weight [12, 64]", "rename them"}) == "");
  CHECK(missing(data_error("plain", {{"mlp_widths", {16}}}),
                {"mlp_widths [16]", "'fc1.", "[16", "in the file it is [12", "give the widths"}) == "");
  write("more", [&](HostTensors& tensors) {
    for (const std::string& name : names) add(tensors, name, name);
    add(tensors, "fc1.bias", "fc9.bias");
  });
  CHECK(missing(data_error("more"), {"which has no 'fc9.bias' [12]"}) == "");
  for (const char* key : {"model", "loss", "dataset"}) {
    Json less = given;
    less.erase(key);
    if (std::string(key) == "model") less.erase("mlp_widths");
    CHECK(missing(message_of<ConfigError>([&] { of("plain", less); }),
                  {"says nothing of its model", "--model"}) == "");
  }
  CHECK(missing(message_of<ConfigError>([&] {
                  of("run", {{"model", "cnn"}});
                }),
                {"--model has no effect", "says what model it is of"}) == "");
}
