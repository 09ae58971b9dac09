#include "experiment/run/weights_file.h"

#include <cstring>
#include <limits>
#include <random>

#include "base/error.h"
#include "experiment/run/checkpoint.h"
#include "optim/optimizers.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using qmse::test::message_of;
using qmse::test::missing;
using qmse::test::TempDirectory;

namespace {

ModelCard small_card(const std::string& model = "mlp") {
  TrainConfig config;
  config.model = model;
  config.mlp_widths = {5};
  config.activation = Activation::tanh;
  config.conv_channels = {2, 3};
  config.fc_width = 4;
  Normalization normalization;
  normalization.kind = NormalizationKind::standard;
  normalization.mean = {0.1 + 1.0 / 3.0};
  normalization.stddev = {0.25};
  return {describe_model(config, Shape{1, 8, 8}, 3), normalization, {"a", "b", "\"c\""}, "mnist"};
}

struct Fixture {
  explicit Fixture(const ModelCard& made, DType dtype = DType::f32)
      : card(made), model(make_model(made.model)), store(context, dtype, model.parameters()) {}
  Context context{std::make_unique<CpuContext>(1)};
  ModelCard card;
  Sequential model;
  ParameterStore store;
};

}  // namespace

TEST_CASE("model description: text and back, for both architectures") {
  for (const char* name : {"cnn", "mlp"}) {
    const ModelDescription description = small_card(name).model;
    const std::string text = to_text(description);
    CAPTURE(text);
    CHECK(parse_model_description(text, "f") == description);
    CHECK(describe_model(config_of(description), description.input, description.classes) == description);
  }
  CHECK(
      to_text(small_card("cnn").model) ==
      R"({"model":"cnn","input_shape":[1,8,8],"classes":3,"conv_channels":[2,3],"kernel_size":3,"fc_width":4})");
}

TEST_CASE("model description: anything else is a DataError that names the file") {
  for (const char* text :
       {"", "[]", "{}", R"({"model":"cnn"})", R"({"model":"mlp","input_shape":[1,8,8],"classes":3})",
        R"({"model":"mlp","input_shape":[1,8],"classes":3,"mlp_widths":[5],"activation":"tanh"})",
        R"({"model":"mlp","input_shape":"wide","classes":3,"mlp_widths":[5],"activation":"tanh"})",
        R"({"model":"mlp","input_shape":[1,8,0],"classes":3,"mlp_widths":[5],"activation":"tanh"})",
        R"({"model":"mlp","input_shape":[1,8,8],"classes":0,"mlp_widths":[5],"activation":"tanh"})",
        R"({"model":"mlp","input_shape":[1,8,8],"classes":"3","mlp_widths":[5],"activation":"tanh"})",
        R"({"model":"mlp","input_shape":[1,8,8],"classes":3,"mlp_widths":[0],"activation":"tanh"})",
        R"({"model":"mlp","input_shape":[1,8,8],"classes":3,"mlp_widths":[5],"activation":"step"})",
        R"({"model":"mlp","input_shape":[1,8,8],"classes":3,"mlp_widths":[5],"activation":"tanh","lr":1})",
        R"({"model":"rnn","input_shape":[1,8,8],"classes":3,"mlp_widths":[5],"activation":"tanh"})",
        R"({"model":["cnn"],"input_shape":[1,8,8],"classes":3})"}) {
    CAPTURE(text);
    CHECK(missing(message_of<DataError>([&] { parse_model_description(text, "weights.st"); }),
                  {"weights.st"}) == "");
  }
}

TEST_CASE("weights file: what is written is read back bit for bit, with its card") {
  const TempDirectory folder;
  for (const char* name : {"cnn", "mlp"}) {
    Fixture saved(small_card(name));
    saved.store.initialize(Initialization::pytorch, 5);
    write_weights(folder / "w", saved.store, saved.card, 12);
    const SafetensorsFile file(folder / "w");
    CHECK(read_step(file) == 12);
    const ModelCard card = read_card(file);
    CHECK(card.model == saved.card.model);
    CHECK(card.class_names == saved.card.class_names);
    CHECK(card.dataset == "mnist");
    CHECK(card.normalization.mean == saved.card.normalization.mean);
    CHECK(card.normalization.stddev == saved.card.normalization.stddev);

    Fixture loaded(card), wide(card, DType::f64);
    read_weights(file, loaded.store);
    read_weights(file, wide.store);
    for (std::size_t i = 0; i < saved.store.size(); ++i) {
      const auto values = saved.store.read<float>(saved.store.weights(), i);
      CHECK(loaded.store.read<float>(loaded.store.weights(), i) == values);
      CHECK(wide.store.read<double>(wide.store.weights(), i) ==
            std::vector<double>(values.begin(), values.end()));
    }
    write_weights(folder / "again", loaded.store, card, 12);
    CHECK(test::read_bytes(folder / "again") == test::read_bytes(folder / "w"));
  }
}

TEST_CASE("weights file: PyTorch's names and shapes") {
  const TempDirectory folder;
  Fixture cnn(small_card("cnn"));
  write_weights(folder / "w", cnn.store, cnn.card, 0);
  const SafetensorsFile file(folder / "w");
  CHECK(file.info("conv1.weight").shape == std::vector<std::int64_t>{2, 1, 3, 3});
  CHECK(file.info("conv1.bias").shape == std::vector<std::int64_t>{2});
  CHECK(file.info("conv2.weight").shape == std::vector<std::int64_t>{3, 2, 3, 3});
  CHECK(file.info("fc1.weight").shape == std::vector<std::int64_t>{4, 12});
  CHECK(file.info("fc2.weight").shape == std::vector<std::int64_t>{3, 4});
  CHECK(file.names().size() == 8);
}

TEST_CASE("weights file: foreign and unfitting files are refused with the file and the reason") {
  const TempDirectory folder;
  Fixture mlp(small_card("mlp"));
  const std::vector<float> values(1000, 0.5f);

  write_safetensors(folder / "foreign",
                    std::vector<TensorToWrite>{{"layer.weight", DType::f32, {2}, values.data()}}, {});
  const SafetensorsFile foreign(folder / "foreign");
  CHECK(missing(message_of<DataError>([&] { read_card(foreign); }),
                {"foreign", "qmse.model", "qmse has not written it"}) == "");
  CHECK(missing(message_of<DataError>([&] { read_weights(foreign, mlp.store); }),
                {"foreign", "layer.weight"}) == "");

  HostTensors tensors;
  tensors.add(mlp.store, mlp.store.weights(), "");
  std::vector<TensorToWrite> short_of_one = tensors.to_write();
  short_of_one.pop_back();
  write_safetensors(folder / "short", short_of_one, {});
  CHECK(missing(message_of<DataError>([&] { read_weights(SafetensorsFile(folder / "short"), mlp.store); }),
                {"short", "fc2.bias"}) == "");

  std::vector<TensorToWrite> other_shape = tensors.to_write();
  other_shape[0].shape = {64, 5};
  write_safetensors(folder / "shape", other_shape, {});
  CHECK(missing(message_of<ShapeError>([&] { read_weights(SafetensorsFile(folder / "shape"), mlp.store); }),
                {"shape", "fc1.weight"}) == "");

  SafetensorsMetadata metadata = to_metadata(mlp.card);
  for (const char* key : {"qmse.model", "qmse.normalization", "qmse.class_names"}) {
    for (const char* wrong : {"", "[1]", "{\"kind\":1}", "[\"a\"]"}) {
      CAPTURE(key, wrong);
      SafetensorsMetadata damaged = metadata;
      damaged[key] = wrong;
      write_safetensors(folder / "damaged", tensors.to_write(), damaged);
      CHECK(missing(message_of<DataError>([&] { read_card(SafetensorsFile(folder / "damaged")); }),
                    {"damaged"}) == "");
    }
  }
}

TEST_CASE("checkpoint: position, weights and optimizer state are read back bit for bit") {
  const TempDirectory folder;
  for (const std::string_view name : optimizer_names()) {
    CAPTURE(name);
    Fixture saved(small_card()), loaded(small_card());
    const auto optimizer = [&](ParameterStore& store) -> std::unique_ptr<Optimizer> {
      if (name == "adam") return std::make_unique<Adam>(store, AdamHyper{});
      if (name == "rmsprop")
        return std::make_unique<Rmsprop>(store, RmspropHyper{.momentum = 0.9, .centered = true});
      return std::make_unique<Sgd>(store, SgdHyper{.momentum = 0.9});
    };
    const auto from = optimizer(saved.store), to = optimizer(loaded.store);
    saved.store.initialize(Initialization::pytorch, 3);
    std::uint64_t seed = 40;
    for (const Optimizer::State& state : from->state()) {
      for (std::size_t i = 0; i < saved.store.size(); ++i) {
        std::vector<float> values(static_cast<std::size_t>(saved.store.spec(i).shape.count()));
        for (std::size_t j = 0; j < values.size(); ++j)
          values[j] = static_cast<float>(seed) + 0.1f * static_cast<float>(j);
        saved.store.write<float>(state.flat, i, values);
        ++seed;
      }
    }
    TrainingPosition position;
    position.epoch = 3;
    position.counter = {.step = 17, .index = 2, .first = 128};
    position.metrics = {{1.0 / 3.0, std::numeric_limits<double>::infinity(), 5},
                        std::numeric_limits<double>::quiet_NaN(),
                        128,
                        2,
                        1,
                        0.7,
                        1,
                        4};
    position.seconds = 1.5;
    position.step_seconds = 1.25;
    write_checkpoint(folder / "c", saved.store, *from, position, saved.card, TrainConfig{});

    const SafetensorsFile file(folder / "c");
    const TrainingPosition read = read_position(file);
    CHECK(read.epoch == 3);
    CHECK(read.counter.step == 17);
    CHECK(read.counter.index == 2);
    CHECK(read.counter.first == 128);
    CHECK(read.metrics.loss == 1.0 / 3.0);
    CHECK(read.metrics.residual_sq == std::numeric_limits<double>::infinity());
    CHECK(std::isnan(read.metrics.gradient_norm_sq));
    CHECK(read.metrics.correct == 5);
    CHECK(read.metrics.samples == 128);
    CHECK(read.metrics.steps == 2);
    CHECK(read.metrics.first_non_finite_step == 1);
    CHECK(read.metrics.last_loss == 0.7);
    CHECK(read.metrics.null_steps == 1);
    CHECK(read.metrics.redraws == 4);
    CHECK(read.seconds == 1.5);
    CHECK(read.step_seconds == 1.25);
    read_checkpoint(file, loaded.store, *to);
    for (std::size_t i = 0; i < saved.store.size(); ++i) {
      CHECK(loaded.store.read<float>(loaded.store.weights(), i) ==
            saved.store.read<float>(saved.store.weights(), i));
      for (std::size_t s = 0; s < from->state().size(); ++s) {
        CHECK(loaded.store.read<float>(to->state()[s].flat, i) ==
              saved.store.read<float>(from->state()[s].flat, i));
      }
    }
    CHECK(from->state().size() == (name == "sgd" ? 1 : name == "adam" ? 2 : 3));

    // A weights file is no checkpoint; a checkpoint of another optimizer is not this one's.
    write_weights(folder / "w", saved.store, saved.card, 17);
    CHECK(missing(message_of<DataError>([&] { read_position(SafetensorsFile(folder / "w")); }),
                  {"not a checkpoint"}) == "");
    CHECK_THROWS_AS(read_checkpoint(SafetensorsFile(folder / "w"), loaded.store, *to), DataError);
    read_weights(file, loaded.store);  // but a checkpoint has weights
    write_weights_of(file, folder / "of", 17);
    CHECK(test::read_bytes(folder / "of") == test::read_bytes(folder / "w"));
  }
}

namespace {

struct SavedCheckpoint {
  SavedCheckpoint() {
    Fixture saved(small_card());
    const Sgd optimizer(saved.store, SgdHyper{.momentum = 0.9});
    saved.store.initialize(Initialization::pytorch, 3);
    TrainingPosition position;
    position.epoch = 3;
    position.counter = {.step = 17, .index = 2, .first = 128};
    position.metrics.correct = 5;
    position.metrics.samples = 128;
    position.metrics.steps = 2;
    position.seconds = 1.5;
    position.step_seconds = 1.25;
    write_checkpoint(path, saved.store, optimizer, position, saved.card, TrainConfig{});
  }
  // What is read from the same with another number, which has no checksum, as one of an earlier qmse.
  template <class T>
  TrainingPosition read_with(const std::string& number, T value) const {
    return read_changed(number, std::optional<T>(value));
  }
  TrainingPosition read_without(const std::string& number) const {
    return read_changed(number, std::optional<std::int64_t>());
  }

  TempDirectory folder;
  std::filesystem::path path = folder / "c";

 private:
  template <class T>
  TrainingPosition read_changed(const std::string& number, const std::optional<T>& value) const {
    const SafetensorsFile file(path);
    SafetensorsMetadata metadata = file.metadata();
    metadata.erase("qmse.crc32");
    HostTensors tensors;
    for (const std::string& name : file.names()) {
      const TensorInfo& info = file.info(name);
      if (name == "training." + number) {
        if (value) tensors.add(name, info.shape, std::vector<T>{*value});
      } else if (info.dtype == DType::f32) {
        tensors.add(name, info.shape, file.read<float>(name));
      } else if (info.dtype == DType::f64) {
        tensors.add(name, info.shape, file.read<double>(name));
      } else {
        tensors.add(name, info.shape, file.read<std::int64_t>(name));
      }
    }
    write_safetensors(folder / "unchecked", tensors.to_write(), metadata);
    return read_position(SafetensorsFile(folder / "unchecked"));
  }
};

}  // namespace

TEST_CASE("checkpoint: counts that an earlier one of the same format lacks are 0") {
  const SavedCheckpoint saved;
  const SafetensorsFile file(saved.path);
  for (const char* number : {"null_steps", "redraws"}) {
    CAPTURE(number);
    REQUIRE(file.contains(std::string("training.") + number));
    const TrainingPosition read = saved.read_without(number);
    CHECK(read.counter.step == 17);
    CHECK(read.metrics.null_steps == 0);
    CHECK(read.metrics.redraws == 0);
  }
}

TEST_CASE("checkpoint: a flipped bit anywhere is found by the checksum") {
  const SavedCheckpoint saved;
  const std::string good = test::read_bytes(saved.path);
  const unsigned seed = std::random_device()();
  std::mt19937 generator(seed);
  std::uint64_t header = 0;
  std::memcpy(&header, good.data(), sizeof(header));
  for (int trial = 0; trial < 400; ++trial) {
    std::string bad = good;
    const std::size_t bit = generator() % (8 * good.size());
    CAPTURE(seed, bit);
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    test::write_bytes(saved.folder / "bad", bad);
    try {
      const std::uint64_t step = read_position(SafetensorsFile(saved.folder / "bad")).counter.step;
      CHECK(step == 17);
      // In the name of the checksum, or the spaces that fill up the header.
      CHECK(bit / 8 < sizeof(header) + header);
    } catch (const DataError&) {
    }
  }
}

TEST_CASE("checkpoint: without a checksum, as earlier ones, it is read where its numbers fit each other") {
  const SavedCheckpoint saved;
  CHECK(saved.read_with("epoch", std::int64_t{3}).counter.step == 17);
  CHECK(saved.read_with("first_non_finite_step", std::int64_t{1}).metrics.first_non_finite_step == 1);
  struct Wrong {
    const char* number;
    std::vector<std::int64_t> values;
  };
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  for (const Wrong& wrong : std::vector<Wrong>{{"epoch", {-3, 16, kLargest}},
                                               {"step", {-1, 1, kLargest}},
                                               {"step_of_epoch", {-1, 3, kLargest}},
                                               {"samples_of_epoch", {-1, 1, 127, kLargest}},
                                               {"correct", {129, -5}},
                                               {"samples", {-1, 127, kLargest}},
                                               {"steps", {-1, 1, kLargest}},
                                               {"first_non_finite_step", {-2, 2, kLargest, -kLargest}},
                                               {"null_steps", {-1, 3, kLargest}},
                                               {"redraws", {-1}}}) {
    for (const std::int64_t value : wrong.values) {
      CAPTURE(wrong.number, value);
      CHECK(missing(message_of<DataError>([&] { saved.read_with(wrong.number, value); }),
                    {"unchecked", "place in the training", "damaged"}) == "");
    }
  }
  for (const double seconds :
       {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (const char* number : {"seconds", "step_seconds"}) {
      CAPTURE(seconds, number);
      CHECK(missing(message_of<DataError>([&] { saved.read_with(number, seconds); }),
                    {"times that cannot be"}) == "");
    }
  }
}

TEST_CASE("checkpoint: its position has to be one of the data's epochs and batches") {
  TrainingPosition position;
  position.epoch = 2;
  position.counter = {.step = 12, .index = 2, .first = 32};
  CHECK_NOTHROW(check_position(position, 70, 16, "c"));  // 5 steps an epoch
  for (const std::int64_t samples : {20, 64, 81, 1000}) {
    CAPTURE(samples);
    CHECK(missing(message_of<DataError>([&] { check_position(position, samples, 16, "c"); }),
                  {"'c'", "images have changed", "--data"}) == "");
  }
  position.counter = {.step = 15, .index = 5, .first = 70};
  CHECK_NOTHROW(check_position(position, 70, 16, "c"));
  CHECK_THROWS_AS(check_position(position, 71, 16, "c"), DataError);
}
