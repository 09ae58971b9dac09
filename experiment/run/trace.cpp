#include "experiment/run/trace.h"

#include <span>

#include "base/in_quotes.h"
#include "data/resident_dataset.h"
#include "device/device.h"
#include "engine/batch_pass.h"
#include "engine/with_context.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/run_settings.h"
#include "experiment/run/setup.h"
#include "experiment/run/weights_source.h"
#include "random/shuffle.h"

namespace qmse {
namespace {

std::vector<std::int64_t> sizes(const Shape& shape) { return {shape.sizes().begin(), shape.sizes().end()}; }

// Reads device buffers for the file.
template <class T>
class Collector {
 public:
  Collector(Context& context, HostTensors& tensors) : context_(&context), tensors_(&tensors) {}

  template <class Element = T>
  std::vector<Element> read(const Element* device, std::int64_t count) const {
    std::vector<Element> values(static_cast<std::size_t>(count));
    device_to_host(*context_, values.data(), device, values.size() * sizeof(Element));
    return values;
  }
  void add(const std::string& name, const Shape& shape, const void* device) {
    tensors_->add(name, sizes(shape), read(static_cast<const T*>(device), shape.count()));
  }

 private:
  Context* context_;
  HostTensors* tensors_;
};

// Settings that are not given are those of the weights, or the usual ones.
TrainConfig settle_settings(const TraceRequest& request, const WeightsSource& weights) {
  TrainConfig config;
  Json all = request.given;
  if (!request.weights.empty()) {
    for (const char* key : {"init", "seed_init"}) {
      if (request.given.contains(key))
        throw ConfigError(find_field(key)->option() + " has no effect with --weights, which are not random");
    }
    all = settings_with_weights(request.weights, read_card(SafetensorsFile(weights.file)), request.given);
  }
  apply_layer(config, all);
  // Gradient checks run where f64 does.
  if (request.dtype == DType::f64 && parse_device(config.device).kind == Device::Kind::automatic)
    config.device = name(Device::Kind::cpu);
  validate(config);
  if (request.dtype == DType::f64 && parse_device(config.device).kind != Device::Kind::cpu)
    throw ConfigError("--dtype f64 runs on the CPU only, not on --device " + config.device);
  check_used(request.given, config);
  if (request.step != 1 && !find_loss(config.loss)->draws)
    throw ConfigError("--step has no effect with --loss " + config.loss +
                      ": it is for --loss qmse or mse_noise");
  resolve_defaults(config);
  return config;
}

// That of the weights file, which the settings and the images have to agree with, or else a new one.
ModelCard settle_card(const std::filesystem::path& weights, const TrainConfig& config,
                      const TrainingImages& images) {
  const ModelCard card = make_card(config, images.train, images.normalization, images.targets);
  if (weights.empty()) return card;
  ModelCard stored = read_card(SafetensorsFile(weights));
  if (card.model != stored.model) {
    throw ConfigError(in_quotes(weights) + " holds " + to_text(stored.model) +
                      ", the settings and data ask for " + to_text(card.model));
  }
  if (config.normalize != stored.normalization.kind) {
    throw ConfigError(in_quotes(weights) + " was trained with --normalize " +
                      std::string(name(stored.normalization.kind)) + ", not " +
                      std::string(name(config.normalize)));
  }
  return stored;
}

template <class T>
TraceSummary trace(const TraceRequest& request, const WeightsSource& weights, const TrainConfig& config,
                   Context& context) {
  const TrainingImages images = load_training_images(config);
  const ModelCard card = settle_card(weights.file, config, images);
  const ResidentDataset<T> data(context, images.train, card.normalization, card.targets);
  const Sequential model = make_model(card.model);
  ParameterStore store(context, dtype_of<T>(), model.parameters());
  if (weights.file.empty()) {
    store.initialize(config.init, *config.seed_init);
  } else {
    read_weights(SafetensorsFile(weights.file), store);
  }
  const std::unique_ptr<Loss> loss = make_loss(config);
  const std::int64_t samples = images.train.count;
  if (config.batch_size > samples) {
    throw ConfigError("--batch-size is " + std::to_string(config.batch_size) + ", but there are only " +
                      std::to_string(samples) + " training images");
  }
  BatchPass<T> pass(context, [&](Tape& tape, Value input) { return model.record(tape, store, input); },
                    data.view(), *loss, config.batch_size,
                    {.gradients = true, .fuse = false, .keep_loss_details = true});

  std::vector<std::uint32_t> order(static_cast<std::size_t>(samples));
  shuffled_order(*config.seed_data, 0, samples, order.data());
  const Buffer device_order(context.memory(), order.size() * sizeof(std::uint32_t), "order of the trace");
  const Buffer counter(context.memory(), sizeof(StepCounter), "counter of the trace");
  const Buffer metrics(context.memory(), sizeof(EpochMetrics), "metrics of the trace");
  const Buffer workspace(context.memory(), step_totals_workspace_bytes(0), "workspace of the trace");
  const EpochMetrics none;
  const StepCounter position{.step = static_cast<std::uint64_t>(request.step - 1)};
  host_to_device(context, device_order.data(), order.data(), order.size() * sizeof(std::uint32_t));
  host_to_device(context, metrics.data(), &none, sizeof(none));
  host_to_device(context, counter.data(), &position, sizeof(position));
  fill_zero(context, workspace.data(), step_totals_workspace_bytes(0));
  auto* at = counter.as<StepCounter>();
  pass.train(device_order.as<std::uint32_t>(), &at->first, &at->step);
  StepTotalsArgs<T> totals;
  totals.metrics = metrics.as<EpochMetrics>();
  totals.counter = at;
  totals.workspace = workspace.data();
  pass.total(totals);
  EpochMetrics result;
  device_to_host(context, &result, metrics.data(), sizeof(result));

  HostTensors tensors;
  Collector<T> collect(context, tensors);
  Tape& tape = pass.tape();
  const Shape outputs = tape.shape(pass.output());
  const Shape batch{config.batch_size};
  collect.add("input", tape.shape(pass.input()), tape.data(pass.input()));
  if (pass.targets() != nullptr) {
    collect.add("target", outputs, pass.targets());
  } else {
    const std::vector<std::int32_t> labels = collect.read(pass.labels(), config.batch_size);
    tensors.add("target", sizes(batch), std::vector<std::int64_t>(labels.begin(), labels.end()));
  }
  collect.add("output", outputs, tape.data(pass.output()));
  for (const LossDetail& detail : pass.details()) {
    collect.add(std::string(detail.name), outputs, detail.data);
  }
  collect.add("sample_loss", batch, pass.sample_loss());
  tensors.add("loss", {1}, std::vector<T>{static_cast<T>(result.last_loss)});
  collect.add("grad.output", outputs, tape.gradient(pass.output()));
  for (std::size_t index = 0; index < store.size(); ++index) {
    const ParameterSpec& spec = store.spec(index);
    collect.add("param." + spec.name, spec.shape, store.weights(index));
    collect.add("grad." + spec.name, spec.shape, store.gradients(index));
  }
  for (int id = 0; id < tape.value_count(); ++id) {
    const Value value{id};
    if (!tape.is_leaf(value))
      collect.add("activation." + tape.name(value), tape.shape(value), tape.data(value));
  }

  SafetensorsMetadata metadata = to_metadata(card);
  metadata["qmse.config"] = to_json(config).dump();
  const std::vector<TensorToWrite> to_write = tensors.to_write();
  write_safetensors(request.out, to_write, metadata);
  TraceSummary summary{context.device_name(), {}, result.last_loss, weights.note};
  for (const TensorToWrite& tensor : to_write) summary.tensors.push_back(tensor.name);
  return summary;
}

}  // namespace

TraceSummary write_trace(const TraceRequest& request) {
  if (request.step < 1 || request.step > std::int64_t{1} << 32) {
    throw ConfigError("--step counts a training's steps from 1 to 2^32, not " + std::to_string(request.step));
  }
  const WeightsSource weights = request.weights.empty() ? WeightsSource{} : find_weights(request.weights);
  const TrainConfig config = settle_settings(request, weights);
  const std::unique_ptr<Context> context = make_context(config);
  return with_dtype(request.dtype, [&]<class T>() { return trace<T>(request, weights, config, *context); });
}

}  // namespace qmse
