// Weights on disk: a safetensors file with PyTorch's names, whose metadata
// says everything needed to use them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/image_dataset.h"
#include "data/normalization.h"
#include "engine/parameters.h"
#include "engine/safetensors.h"
#include "experiment/run/model_description.h"

namespace qmse {

// Of weights files and checkpoints: "qmse.format" in the metadata. A file without one is of format 1, in
// which a checkpoint packs its numbers into two tensors.
inline constexpr int kWeightsFormat = 2;
// DataError for a format that this qmse does not know.
int read_format(const SafetensorsFile& file);

// What stands beside the weights. A function of settings and data only.
struct ModelCard {
  ModelDescription model;
  Normalization normalization;
  std::vector<std::string> class_names;
  std::string dataset;  // what it was trained on
  // Settings of its training, as in TrainConfig; empty: a file of an earlier version, which does not say.
  std::string labels = {}, loss = {}, reduction = {};
  std::optional<Normalization> targets = std::nullopt;  // of a table
};

// The card of a training with these settings on images of this kind.
ModelCard make_card(const TrainConfig& config, const ImageDataset& train, const Normalization& normalization,
                    const std::optional<Normalization>& targets = std::nullopt);

// What the card says as a layer of settings: data set, model, normalisation, loss.
Json settings_of(const ModelCard& card);

// As the metadata of a file, and back. DataError, naming the file, where it is not there or wrong.
SafetensorsMetadata to_metadata(const ModelCard& card);
ModelCard read_card(const SafetensorsFile& file);

// One flat buffer of `store` (its weights, or an optimizer's state) as f32 tensors called prefix + parameter,
// held on the host.
class HostTensors {
 public:
  void add(const ParameterStore& store, const void* flat, const std::string& prefix);
  template <class T>  // float, double or std::int64_t
  void add(const std::string& name, std::vector<std::int64_t> shape, const std::vector<T>& values);
  std::vector<TensorToWrite> to_write() const;

 private:
  struct Entry {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
  };
  std::vector<Entry> entries_;
};

// `store` has dtype f32. `step`: the steps that made these weights; beside the card in the metadata.
void write_weights(const std::filesystem::path& path, const ParameterStore& store, const ModelCard& card,
                   std::int64_t step);
// The step of a weights file; nothing where it has none, as by qmse before steps were recorded.
std::optional<std::int64_t> read_step(const SafetensorsFile& file);

// The weights of a checkpoint, as write_weights() writes them.
void write_weights_of(const SafetensorsFile& checkpoint, const std::filesystem::path& path,
                      std::int64_t step);

// The tensors of a weights file or a checkpoint that are weights, by name in the file's order.
std::vector<std::string> weight_names(const SafetensorsFile& file);

// Reads prefix + parameter for every parameter into `flat`. f32 tensors; a store of f64 gets them widened.
// DataError where one is missing or of another type, ShapeError where its shape differs.
void read_flat(const SafetensorsFile& file, ParameterStore& store, void* flat, const std::string& prefix);

// The weights of a weights file or a checkpoint, into the store. DataError too where the file holds weights
// that the store does not know.
void read_weights(const SafetensorsFile& file, ParameterStore& store);

}  // namespace qmse
