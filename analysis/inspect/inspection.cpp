#include "analysis/inspect/inspection.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include "algebra/dense.h"
#include "algebra/lanczos.h"
#include "analysis/critical/model_loss.h"
#include "analysis/inspect/jacobian.h"
#include "analysis/inspect/stationarity.h"
#include "analysis/inspect/units.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "base/stopped.h"
#include "data/resident_dataset.h"
#include "engine/batch_pass.h"
#include "experiment/run/checkpoint.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/evaluation.h"
#include "experiment/run/plain_text.h"
#include "experiment/run/setup.h"
#include "experiment/run/weights_source.h"
#include "losses/residual_loss.h"

namespace qmse {
namespace {

// D D^T of so many rows takes 128 MiB and its eigenvalues a minute or two.
constexpr std::int64_t kMaxRows = 4096;
// Of D itself, where it is asked for: 4 GiB.
constexpr std::int64_t kMostElements = std::int64_t{1} << 29;

// Each is two gradients over the images, a third of what the Jacobian takes.
constexpr std::int64_t kHessianProducts = 30;

std::string words(double value) { return significant_text(value, 3); }
std::string percent(double share) { return significant_text(100 * share, 3) + " %"; }
std::string count_of(std::int64_t count, std::int64_t all) {
  return std::to_string(count) + " of " + std::to_string(all);
}

// The settings of the training that made the weights; without a record the usual ones.
TrainConfig training_settings(const std::filesystem::path& path, const SafetensorsFile& file,
                              bool& recorded) {
  std::optional<TrainConfig> config;
  if (std::filesystem::is_directory(path)) {
    apply_layer(config.emplace(), read_config_file(path / "config.json"));
  } else {
    config = recorded_config(file);
  }
  recorded = config.has_value();
  return config.value_or(TrainConfig());
}

// MSE of the best affine function of the inputs, in closed form: what of the targets is not in the range of
// X X^T + 1, whose null space is that of the transposed matrix of inputs and a column of ones.
double best_affine_loss(std::span<const double> inputs, std::span<const double> targets, std::int64_t samples,
                        std::int64_t outputs, ThreadPool& threads) {
  const auto size = static_cast<std::int64_t>(inputs.size()) / samples;
  std::vector<double> gram = gram_matrix(inputs, samples, size, threads);
  for (double& value : gram) value += 1;
  const SymmetricEigen eigen = symmetric_eigen(gram, samples);
  double left = 0;
  for (std::int64_t k = 0; k < samples; ++k) {
    if (eigen.values[static_cast<std::size_t>(k)] > 1e-12 * eigen.values.back()) continue;
    for (std::int64_t o = 0; o < outputs; ++o) {
      double part = 0;
      for (std::int64_t n = 0; n < samples; ++n) {
        part += eigen.vectors[static_cast<std::size_t>(k * samples + n)] *
                targets[static_cast<std::size_t>(n * outputs + o)];
      }
      left += part * part;
    }
  }
  return left / (2 * static_cast<double>(samples));
}

// The spectrum of MSE's Hessian over these images. A fully connected network has exact products. Works on the
// weights in `store`, and leaves them as they were.
Json hessian_spectrum(Context& context, const ModelDescription& description, const Sequential& model,
                      ParameterStore& store, const ResidentData<double>& data,
                      const std::function<bool()>& stop) {
  const std::vector<double> w = flat_weights(store);
  const MseLoss mse;
  const std::optional<ExactForm> form = exact_form(description, data, mse.name(), Reduction::batch_mean);
  std::unique_ptr<LossSurface> surface;
  if (form) {
    surface = std::make_unique<MlpSurface>(form->shape, MlpObjective{}, form->samples);
  } else {
    surface = std::make_unique<ModelLoss>(context, model, store, data, mse);
  }
  const SymmetricProduct hessian = curvature_of(*surface, w);
  const SymmetricProduct product = [&](std::span<const double> in, std::span<double> out) {
    if (stop && stop()) throw Stopped("stopped");
    hessian(in, out);
  };
  const SpectralNodes found =
      spectral_nodes(product, static_cast<std::int64_t>(w.size()), kHessianProducts, 1, 0);
  surface->loss(w);  // where a product left other weights
  return {{"exact_products", surface->exact()},
          {"smallest", found.nodes.front()},
          {"smallest_residual", found.residuals.front()},
          {"largest", found.nodes.back()},
          {"largest_residual", found.residuals.back()},
          {"nodes", found.nodes},
          {"weights", found.weights},
          {"residuals", found.residuals}};
}

// Everything that is calculated with.
class Inspection {
 public:
  explicit Inspection(const InspectionRequest& request)
      : request_(request),
        source_(find_weights(request.weights)),
        file_(source_.file),
        card_(read_card(file_)),
        training_(training_settings(request.weights, file_, recorded_)) {
    check_of_images(card_, source_.file);
    Json given = settings_with_weights(request.weights, card_, request.given);
    if (!given.contains("loss")) given["loss"] = "mse";
    given["device"] = "cpu";
    apply_layer(config_, given);
    validate(config_);
    check_used(request.given, config_);
    if (request.given.contains("reduction") || !recorded_)
      training_.loss_options.reduction = config_.loss_options.reduction;
    context_ = make_context(config_);
    images_ = load_images_for(card_, source_.file, config_, request.split);
    samples_ = request.samples;
    const std::int64_t rows = samples_ * images_.classes();
    if (samples_ > images_.count)
      throw ConfigError("--samples is " + std::to_string(samples_) + ", but there are only " +
                        counted(images_.count, "image"));
    if (rows > kMaxRows)
      throw ConfigError("--samples " + std::to_string(samples_) + " times " +
                        counted(images_.classes(), "output") + " are " + std::to_string(rows) +
                        " rows of the Jacobian; at most " + std::to_string(kMaxRows) + " are looked at");
    unit_samples_ = std::min(images_.count, std::max(request.unit_samples, samples_));
  }

  Json run() {
    const ImageDataset used = images_.first(unit_samples_);
    const ResidentDataset<double> data(*context_, used, card_.normalization);
    const Sequential model = make_model(card_.model);
    ParameterStore store(*context_, DType::f64, model.parameters());
    read_weights(file_, store);
    const MseLoss mse;
    BatchPass<double> pass(*context_,
                           [&](Tape& tape, Value input) { return model.record(tape, store, input); },
                           data.view(), mse, samples_, {.gradients = false, .fuse = false});
    const Tape& tape = pass.tape();
    const Activation activation = hidden_activation(card_.model);
    const bool relu = activation == Activation::relu;
    UnitCounter units(tape, store, relu);
    std::vector<std::uint32_t> order(static_cast<std::size_t>(unit_samples_));
    std::iota(order.begin(), order.end(), 0u);
    // Backwards, so that the first samples are those that the pass holds in the end; the last ones overlap.
    std::vector<std::uint64_t> begins;
    for (std::int64_t first = 0; first < unit_samples_; first += samples_)
      begins.push_back(static_cast<std::uint64_t>(std::min(first, unit_samples_ - samples_)));
    for (std::size_t i = begins.size(); i-- > 0;) {
      if (request_.stop && request_.stop()) throw Stopped("stopped");
      pass.evaluate(order.data(), &begins[i]);
      units.add(samples_);
    }
    const auto values = [](const double* from, std::int64_t count) {
      return std::vector<double>(from, from + count);
    };
    const std::int64_t c = images_.classes();
    const std::vector<double> inputs =
        values(tape.data_as<double>(pass.input()), tape.shape(pass.input()).count());
    const std::vector<double> outputs = values(tape.data_as<double>(pass.output()), samples_ * c);
    std::vector<double> targets(outputs.size());
    for (std::int64_t n = 0; n < samples_; ++n)
      targets[static_cast<std::size_t>(n * c + pass.labels()[n])] = 1;
    std::vector<double> residual = targets;
    for (std::size_t i = 0; i < residual.size(); ++i) residual[i] -= outputs[i];
    if (!std::all_of(residual.begin(), residual.end(), [](double value) { return std::isfinite(value); }))
      throw NumericError(in_quotes(source_.file) + ": the network's outputs are not finite");

    ThreadPool& threads = context_->cpu()->threads();
    const JacobianRequest jacobian{&model, &store, inputs, samples_};
    if (!request_.jacobian.empty()) write_jacobian(jacobian, threads, outputs);
    const std::vector<double> gram = jacobian_gram(jacobian, threads, request_.stop);
    if (gram.empty()) throw Stopped("stopped");
    const double momentum = find_field("momentum")->applies(training_) ? training_.momentum : 0;
    const Stationarity s = stationarity({.samples = samples_,
                                         .outputs = c,
                                         .residual = residual,
                                         .gram = gram,
                                         .distribution = training_.loss_options.qmse.distribution,
                                         .scale = scale_of(training_.loss_options.reduction, c),
                                         .batch = training_.batch_size,
                                         .momentum = momentum});
    const double affine_loss = best_affine_loss(inputs, targets, samples_, c, threads);
    const bool piecewise = relu || activation == Activation::identity;
    const std::vector<LayerUnits> layers = units.counts();
    ResidentData<double> first_images = data.view();
    first_images.samples = samples_;
    Json hessian = hessian_spectrum(*context_, card_.model, model, store, first_images, request_.stop);

    Json json;
    json["weights"] = source_.file.string();
    if (const auto step = read_step(file_)) json["step"] = *step;
    json["model"] = parse_json(to_text(card_.model), "model");
    json["parameters"] = store.parameter_count();
    json["dataset"] = images_.name;
    json["split"] = name(request_.split);
    json["samples"] = samples_;
    json["outputs"] = c;
    json["training"] = {{"recorded", recorded_},
                        {"reduction", name(training_.loss_options.reduction)},
                        {"batch_size", training_.batch_size},
                        {"momentum", momentum},
                        {"v_distribution", name(training_.loss_options.qmse.distribution)}};
    if (training_.lr) json["training"]["lr"] = *training_.lr;
    json["loss"] = s.loss;
    json["residual_norm"] = s.residual_norm;
    json["jacobian_residual_norm"] = s.jacobian_residual_norm;
    json["gradient_norm"] = s.gradient_norm;
    json["jacobian"] = {{"rows", samples_ * c},
                        {"rank", s.rank},
                        {"lambda_min", s.eigenvalues.front()},
                        {"lambda_max", s.eigenvalues.back()},
                        {"smallest_kept", s.smallest_kept},
                        {"largest_dropped", s.largest_dropped},
                        {"kernel_share", s.kernel_share}};
    json["certified_loss"] = std::isfinite(s.certified_loss) ? Json(s.certified_loss) : Json();
    json["qmse"] = {{"drift_norm", s.drift_norm},
                    {"cosine", s.drift_cosine},
                    {"noise_norm", s.noise_norm},
                    {"noise_to_drift", s.noise_norm / s.drift_norm},
                    {"sampling_norm", s.drift_sampling_norm}};
    json["mse"] = {{"sampling_norm", s.sampling_norm}};
    json["curvature"] = {{"mse", s.curvature}, {"qmse", s.drift_curvature}};
    json["hessian"] = std::move(hessian);
    json["largest_step"] = {{"mse", s.step},
                            {"qmse", s.drift_step},
                            {"mse_visit", s.visit_step},
                            {"qmse_visit", s.drift_visit_step},
                            {"worst_sample", s.worst_sample}};
    json["units"] = Json::array();
    for (const LayerUnits& layer : layers) {
      Json entry = {{"layer", layer.layer}, {"units", layer.units}};
      if (relu) {
        entry["dead"] = layer.dead;
        entry["always_on"] = layer.always_on;
      }
      entry["duplicate"] = layer.duplicate;
      entry["tied"] = layer.tied;
      json["units"].push_back(std::move(entry));
    }
    json["unit_samples"] = unit_samples_;
    json["affine"] = {{"on_these_samples", piecewise ? Json(is_affine_on_batch(tape)) : Json()},
                      {"best_loss", affine_loss},
                      {"loss_above", s.loss - affine_loss}};
    json["sentences"] = sentences(s, layers, json);
    json["eigenvalues"] = s.eigenvalues;
    json["residual_sq"] = s.residual_sq;
    json["kappa"] = s.kappa;
    return json;
  }

 private:
  void write_jacobian(const JacobianRequest& jacobian, ThreadPool& threads,
                      const std::vector<double>& outputs) const {
    const ParameterStore& store = *jacobian.store;
    const std::int64_t c = images_.classes(), rows = samples_ * c, columns = store.parameter_count();
    if (rows > kMostElements / columns)
      throw ConfigError("--jacobian of " + counted(rows, "row") + " of " + std::to_string(columns) +
                        " numbers would be larger than 4 GiB; take fewer --samples");
    const std::vector<double> d = jacobian_rows(jacobian, threads);
    HostTensors tensors;
    std::vector<std::int64_t> shape = {samples_};
    const Shape& input = jacobian.model->input_shape();
    shape.insert(shape.end(), input.sizes().begin(), input.sizes().end());
    tensors.add("input", shape, std::vector<double>(jacobian.inputs.begin(), jacobian.inputs.end()));
    tensors.add("output", {samples_, c}, outputs);
    std::int64_t at = 0;
    for (std::size_t p = 0; p < store.size(); ++p) {
      const Shape& of = store.spec(p).shape;
      tensors.add("param." + store.spec(p).name, {of.sizes().begin(), of.sizes().end()},
                  store.read<double>(store.weights(), p));
      std::vector<double> part;
      for (std::int64_t row = 0; row < rows; ++row) {
        const auto from = d.begin() + row * columns + at;
        part.insert(part.end(), from, from + of.count());
      }
      shape = {samples_, c};
      shape.insert(shape.end(), of.sizes().begin(), of.sizes().end());
      tensors.add("jacobian." + store.spec(p).name, shape, part);
      at += of.count();
    }
    write_safetensors(request_.jacobian, tensors.to_write(), to_metadata(card_));
  }

  std::string place() const {
    return "the first " + counted(samples_, "image") + " of " + images_.name + "'s " +
           std::string(name(request_.split)) + " split";
  }

  std::vector<std::string> sentences(const Stationarity& s, const std::vector<LayerUnits>& layers,
                                     const Json& json) const {
    const std::int64_t rows = samples_ * images_.classes();
    std::vector<std::string> all;
    all.push_back("Over " + place() + " the MSE is " + words(s.loss) + ", ‖r‖ = " + words(s.residual_norm) +
                  ", ‖Dᵀr‖ = " + words(s.jacobian_residual_norm) + ", ‖∇L‖ = " + words(s.gradient_norm) +
                  ".");
    if (s.rank == rows) {
      all.push_back(
          "D has full rank, " + std::to_string(rows) + ", with λ_min(DDᵀ) = " + words(s.smallest_kept) +
          ": the gradient is zero only where these images are fitted, and from its norm the MSE is at "
          "most " +
          words(s.certified_loss) + ".");
    } else {
      all.push_back("D has rank " + count_of(s.rank, rows) + ": no certificate. " + percent(s.kernel_share) +
                    " of ‖r‖² lies in the kernel of Dᵀ, out of reach of any small step" +
                    (s.smallest_kept < 1e3 * s.largest_dropped
                         ? "; the rank is uncertain, its smallest eigenvalue " + words(s.smallest_kept) +
                               " stands beside " + words(s.largest_dropped)
                         : "") +
                    ".");
    }
    std::string dead, copies;
    for (const LayerUnits& layer : layers) {
      if (layer.dead > 0)
        dead += (dead.empty() ? "" : ", ") + count_of(layer.dead, layer.units) + " of " + layer.layer;
      if (layer.duplicate > 0) {
        copies += (copies.empty() ? "" : ", ") + count_of(layer.duplicate, layer.units) + " of " +
                  layer.layer + " (" + std::to_string(layer.tied) + " with their outgoing weights)";
      }
    }
    all.push_back("On the first " + counted(unit_samples_, "image") + " " +
                  (dead.empty() ? "no unit is dead" : "dead units, which no step revives: " + dead) +
                  "; copies of another unit" + (copies.empty() ? ": none" : ": " + copies) + ".");
    const Json& affine = json["affine"]["on_these_samples"];
    all.push_back(
        (affine.is_null()     ? std::string("The activation is smooth, so the network is nowhere affine")
         : affine.get<bool>() ? std::string("The network is one affine function on these images")
                              : std::string("The network is not affine on these images")) +
        "; the best affine function has the MSE " + words(json["affine"]["best_loss"].get<double>()) + ".");
    all.push_back("QMSE's expected gradient has norm " + words(s.drift_norm) + " and cosine " +
                  words(s.drift_cosine) + " with MSE's. In a batch of " +
                  std::to_string(training_.batch_size) + " the noise of v has norm " + words(s.noise_norm) +
                  " (" + words(s.noise_norm / s.drift_norm) +
                  " of the expected gradient), the choice of images " + words(s.drift_sampling_norm) + ".");
    const auto against = [&](double step) {
      return words(step) + (training_.lr ? " (the run's is " + words(*training_.lr / step) + " of it)" : "");
    };
    all.push_back("Largest eigenvalue of the Gauss–Newton matrix: MSE " + words(s.curvature) +
                  ", QMSE's expected step " + words(s.drift_curvature) +
                  "; so the largest stable learning rates of descent on these images are " + against(s.step) +
                  " and " + against(s.drift_step) + ".");
    const Json& hessian = json["hessian"];
    const auto end = [&](const std::string& which) {
      return words(hessian[which].get<double>()) + " (± " +
             significant_text(hessian[which + "_residual"].get<double>(), 2) + ")";
    };
    all.push_back("The Hessian of the MSE has eigenvalues from " + end("smallest") + " to " + end("largest") +
                  ", as far as " + counted(hessian["nodes"].size(), "product") + " with it say.");
    const auto worst = static_cast<std::size_t>(s.worst_sample);
    all.push_back("For the visit of a single image in such a batch they are " + against(s.visit_step) +
                  " and " + against(s.drift_visit_step) + "; the image that limits QMSE is number " +
                  std::to_string(s.worst_sample) + ", with ‖r‖² = " + words(s.residual_sq[worst]) +
                  " and κ = " + words(s.kappa[worst]) + ".");
    return all;
  }

  InspectionRequest request_;
  WeightsSource source_;
  SafetensorsFile file_;
  ModelCard card_;
  bool recorded_ = false;
  TrainConfig training_, config_;
  std::unique_ptr<Context> context_;
  ImageDataset images_;
  std::int64_t samples_ = 0, unit_samples_ = 0;
};

}  // namespace

Json inspect(const InspectionRequest& request) { return Inspection(request).run(); }

}  // namespace qmse
