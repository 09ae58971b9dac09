#include "analysis/landscape/network_point.h"

#include <algorithm>

#include "analysis/critical/model_loss.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/words.h"
#include "data/resident_dataset.h"
#include "data/sha256.h"
#include "experiment/run/setup.h"
#include "experiment/run/tensor_digest.h"
#include "experiment/run/weights_source.h"

namespace qmse {
namespace {

std::unique_ptr<Context> one_thread() { return std::make_unique<Context>(std::make_unique<CpuContext>(1)); }

// ConfigError where one of `options`, but for those in `used`, is not as usual.
void check_unused(const Json& settings, const std::vector<LandscapeOption>& options,
                  const std::vector<std::string>& used, const std::string& with) {
  for (const LandscapeOption& option : options) {
    if (std::find(used.begin(), used.end(), option.name) == used.end() &&
        settings.at(option.name) != option.usual)
      throw ConfigError(option_name(option.name) + " has no effect with " + with);
  }
}

// The losses a point can be looked at with: own, those of a small network, and names of losses().
enum class PointLoss { own, mse, bce, cross_entropy, qmse_expected };
constexpr std::array<Choice<PointLoss>, 5> choices(PointLoss) {
  return {{{PointLoss::own, "own"},
           {PointLoss::mse, name(MlpLoss::mse)},
           {PointLoss::bce, name(MlpLoss::bce)},
           {PointLoss::cross_entropy, "cross_entropy"},
           {PointLoss::qmse_expected, "qmse_expected"}}};
}

std::vector<LandscapeOption> small_network_options(const SmallNetwork& usual) {
  std::vector<LandscapeOption> options = problem_options("mnist-pca", 1000, 20, "class");
  LandscapeOption loss = choice_option(
      "loss",
      "own: that of the weights or the point, mse for a new network; mse, or bce of a logit; with "
      "--weights also cross_entropy or qmse_expected",
      PointLoss::own);
  for (LandscapeOption& option : trained_problem_options(usual))
    options.push_back(option.name == loss.name ? loss : std::move(option));
  return options;
}

// A new network's own loss is mse. ConfigError for a loss that it does not have.
Json with_own_loss(Json settings) {
  const auto loss = chosen<PointLoss>(settings, "loss");
  if (loss == PointLoss::own) settings["loss"] = name(PointLoss::mse);
  if (loss == PointLoss::cross_entropy || loss == PointLoss::qmse_expected)
    throw ConfigError("--loss " + std::string(name(loss)) +
                      " needs --weights; a small network has mse or bce");
  return settings;
}

}  // namespace

// Weights of `qmse train` and the images they are looked at with.
class TrainedModel {
 public:
  TrainedModel(const Json& settings, const std::string& data) {
    const std::filesystem::path path = text(settings, "weights");
    path_ = path;
    const WeightsSource source = find_weights(path);
    const SafetensorsFile file(source.file);
    card_ = read_card(file);
    check_of_images(card_, source.file);
    Json given = Json::object();
    if (!data.empty()) given["data"] = data;
    if (const auto loss = chosen<PointLoss>(settings, "loss"); loss != PointLoss::own)
      given["loss"] = name(loss);
    const Json known = settings_with_weights(path, card_, given);
    if (!known.contains("loss"))
      throw ConfigError(in_quotes(source.file) + " does not say with which loss it was trained: give --loss");
    apply_layer(config_, known);
    validate(config_);
    images_ = load_images_for(card_, source.file, config_, chosen<Split>(settings, "split"));
    const std::int64_t samples = whole(settings, "samples");
    if (samples > images_.count) {
      throw ConfigError("--samples " + std::to_string(samples) + " is more than the " +
                        std::to_string(images_.count) + " images there are");
    }
    images_ = images_.first(samples);
    weights_ = read(file);
    weights_sha256_ = weights_sha256(file);
    const auto context = one_thread();
    const ResidentDataset<double> resident(*context, images_, card_.normalization);
    exact_ = exact_form(card_.model, resident.view(), config_.loss, config_.loss_options.reduction);
    note_ = source.note;
    if (!exact_) surface();  // a loss without a Hessian is an error now
  }

  const std::vector<double>& weights() const { return weights_; }
  std::unique_ptr<LossSurface> surface() const;

  std::vector<double> other(const std::string& path) const {
    const SafetensorsFile file(find_weights(path).file);
    const ModelCard card = read_card(file);
    if (card.model != card_.model) {
      throw ConfigError(in_quotes(path) + " holds " + to_text(card.model) + ", not " + to_text(card_.model));
    }
    if (to_json_text(card.normalization) != to_json_text(card_.normalization))
      throw ConfigError(in_quotes(path) + " was trained on images that were normalised otherwise");
    return read(file);
  }
  std::vector<std::string> snapshots() const {
    std::vector<std::string> files;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(path_ / "snapshots", none)) {
      if (entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    return files;
  }
  std::vector<UnitLayer> layers() const { return unit_layers(make_model(card_.model).parameters()); }
  bool odd_units() const {
    const Activation activation = hidden_activation(card_.model);
    return activation == Activation::tanh || activation == Activation::identity;
  }

  std::string words() const {
    return card_.model.model + " of " + std::to_string(weights_.size()) + " parameters, loss " +
           config_.loss + ", the first " + std::to_string(images_.count) + " " +
           std::string(name(images_.split)) + " images of " + images_.name +
           (exact_ ? "; products by the R-operator, exact"
                   : "; products by central differences of exact gradients, wrong across kinks") +
           (note_.empty() ? "" : ". " + note_);
  }
  Json description() const {
    return {{"weights_sha256", weights_sha256_},
            {"model", parse_json(to_text(card_.model), "a model")},
            {"dataset", images_.name},
            {"split", std::string(name(images_.split))},
            {"samples", images_.count},
            {"images_sha256", sha256_of(std::span(images_.images))},
            {"loss", config_.loss},
            {"reduction", std::string(name(config_.loss_options.reduction))},
            {"products", exact_ ? "exact" : "central differences"}};
  }

 private:
  friend class ModelSurface;

  std::vector<double> read(const SafetensorsFile& file) const {
    const auto context = one_thread();
    ParameterStore store(*context, DType::f64, make_model(card_.model).parameters());
    read_weights(file, store);
    return flat_weights(store);
  }

  std::filesystem::path path_;
  ModelCard card_;
  TrainConfig config_;
  ImageDataset images_;
  std::vector<double> weights_;
  std::string weights_sha256_, note_;
  std::optional<ExactForm> exact_;
};

// A ModelLoss and all it needs.
class ModelSurface final : public LossSurface {
 public:
  explicit ModelSurface(const TrainedModel& model)
      : context_(one_thread()),
        data_(*context_, model.images_, model.card_.normalization),
        model_(make_model(model.card_.model)),
        store_(*context_, DType::f64, model_.parameters()),
        loss_(make_loss(model.config_)),
        surface_(*context_, model_, store_, data_.view(), *loss_) {}

  std::size_t parameters() const override { return surface_.parameters(); }
  double loss(std::span<const double> w) override { return surface_.loss(w); }
  double gradient(std::span<const double> w, std::span<double> gradient) override {
    return surface_.gradient(w, gradient);
  }
  void curvature_product(std::span<const double> w, std::span<const double> direction,
                         std::span<double> product, Mlp::Curvature curvature) override {
    surface_.curvature_product(w, direction, product, curvature);
  }
  bool exact() const override { return false; }

 private:
  std::unique_ptr<Context> context_;
  ResidentDataset<double> data_;
  Sequential model_;
  ParameterStore store_;
  std::unique_ptr<Loss> loss_;
  ModelLoss surface_;
};

std::unique_ptr<LossSurface> TrainedModel::surface() const {
  if (exact_) return std::make_unique<MlpSurface>(exact_->shape, MlpObjective{}, exact_->samples);
  return std::make_unique<ModelSurface>(*this);
}

std::vector<LandscapeOption> network_point_options(const SmallNetwork& usual) {
  std::vector<LandscapeOption> options = {
      {.name = "weights",
       .help = "run directory or weights file of qmse train; its data set's first --samples images",
       .usual = ""},
      choice_option("split", "of that data set", Split::train),
      {.name = "points",
       .help = "points.safetensors of an experiment, or its folder; without it and --weights a network is "
               "trained, as below",
       .usual = ""},
      {.name = "point", .help = "name of a point in it; the first, if not given", .usual = ""}};
  for (LandscapeOption& option : small_network_options(usual)) options.push_back(std::move(option));
  return options;
}

NetworkPoint::NetworkPoint(const Json& settings, const std::string& data, const SmallNetwork& usual) {
  const bool weights = !text(settings, "weights").empty(), points = !text(settings, "points").empty();
  if (weights && points) throw ConfigError("--weights and --points are two networks: give one of them");
  if (!points && !text(settings, "point").empty())
    throw ConfigError("--point needs --points: the file that it is in");
  if (!weights && chosen<Split>(settings, "split") != Split::train)
    throw ConfigError("--split needs --weights: it is about their data set");
  if (weights) {
    check_unused(settings, small_network_options(usual), {"samples", "loss"}, "--weights");
    model_ = std::make_unique<TrainedModel>(settings, data);
  } else if (points) {
    check_unused(settings, small_network_options(usual), {}, "--points");
    points_ = text(settings, "points");
    point_ = load_point(points_, text(settings, "point"));
    if (point_.objective.loss == MlpLoss::qmse)
      throw ConfigError("the loss qmse draws random numbers, so that it has no Hessian");
  } else {
    trained_ = std::make_unique<TrainedProblem>(with_own_loss(settings), data);
  }
}

NetworkPoint::~NetworkPoint() = default;

std::unique_ptr<LossSurface> NetworkPoint::surface() const {
  if (model_) return model_->surface();
  if (trained_) {
    const Mlp network = trained_->network();
    return std::make_unique<MlpSurface>(network.shape(), network.objective(), network.samples());
  }
  return std::make_unique<MlpSurface>(point_.shape, point_.objective, point_.samples);
}

std::size_t NetworkPoint::parameters() const {
  if (model_) return model_->weights().size();
  return static_cast<std::size_t>(trained_ ? trained_->network().parameters() : point_.weights.size());
}

const std::vector<double>& NetworkPoint::weights() const {
  if (model_) return model_->weights();
  return trained_ ? trained_->start() : point_.weights;
}

std::string NetworkPoint::words() const {
  if (model_) return model_->words();
  return trained_ ? trained_->problem().text : "point " + point_.name;
}

Json NetworkPoint::description() const {
  if (model_) return model_->description();
  if (trained_) return trained_->problem().description;
  return {{"point", point_.name},
          {"weights_sha256", sha256_of(std::span(point_.weights))},
          {"inputs_sha256", sha256_of(std::span(point_.samples.x))},
          {"targets_sha256", sha256_of(std::span(point_.samples.y))}};
}

std::vector<double> NetworkPoint::other(const std::string& name) const {
  if (model_) return model_->other(name);
  if (trained_) throw ConfigError("--other needs --weights or --points: what it is compared with");
  LoadedPoint point = load_point(points_, name);
  if (describe_network(point.shape, point.objective) != describe_network(point_.shape, point_.objective))
    throw ConfigError("the points " + in_quotes(point_.name) + " and " + in_quotes(name) +
                      " are of different networks");
  return std::move(point.weights);
}

std::vector<std::vector<double>> NetworkPoint::path(std::int64_t every) const {
  std::vector<std::vector<double>> path;
  if (trained_) {
    trained_->start_from(1, every, [&](const std::vector<double>& w) { path.push_back(w); });
    if (path.size() < 3)
      throw ConfigError("--every " + std::to_string(every) + " leaves " + std::to_string(path.size()) +
                        " points of the path: it takes at least 3, of --start minimum or descent");
    return path;
  }
  if (!model_) throw ConfigError("--directions path needs a network that is trained here, or --weights RUN");
  for (const std::string& snapshot : model_->snapshots()) path.push_back(model_->other(snapshot));
  // The last epoch's snapshot has the final weights.
  if (path.empty() || path.back() != weights()) path.push_back(weights());
  if (path.size() < 3)
    throw ConfigError(
        "--directions path takes a run directory with at least 2 snapshots: train with "
        "--snapshot-every 1");
  return path;
}

std::vector<UnitLayer> NetworkPoint::layers() const {
  if (model_) return model_->layers();
  return unit_layers(trained_ ? trained_->network().shape() : point_.shape);
}

bool NetworkPoint::odd_units() const {
  if (model_) return model_->odd_units();
  const HiddenActivation activation =
      trained_ ? trained_->network().shape().activation : point_.shape.activation;
  return activation == HiddenActivation::tanh || activation == HiddenActivation::identity;
}

const Samples* NetworkPoint::samples() const {
  if (model_) return nullptr;
  return trained_ ? &trained_->problem().samples : &point_.samples;
}

std::vector<SavedPoint> NetworkPoint::saved() const {
  if (model_) return {};
  if (trained_) {
    const Mlp network = trained_->network();
    return {{"point", describe_network(network.shape(), network.objective()), weights()}};
  }
  return {{"point", describe_network(point_.shape, point_.objective), weights()}};
}

}  // namespace qmse
