// How the settings of a run come together: defaults, the record of a run being resumed, what the user gave,
// and what only the machine and the data can say.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <optional>
#include <string>

#include "data/content.h"
#include "data/image_dataset.h"
#include "data/normalization.h"
#include "data/registry.h"
#include "engine/context.h"
#include "engine/shape.h"
#include "experiment/run/config.h"
#include "experiment/run/run_directory.h"

namespace qmse {

// So that a record means the same from every working directory.
void make_absolute(std::string& path);

class RunSettings {
 public:
  // Checks what can be checked without files. ConfigError.
  explicit RunSettings(const Json& given);

  // Compares with what the directory holds: ConfigError for another run there, or one whose settings differ.
  // From then on a resumed run has its recorded settings where none were given.
  void settle(const RunDirectory& directory);

  // Fills in what was left open.
  void resolve_machine(Context& context);
  void set_data(const std::string& data) { config_.data = data; }
  // ConfigError where a run is made longer whose cosine schedule was made for its former length.
  void set_total_steps(std::int64_t steps_per_epoch);

  bool resuming() const { return resuming_; }
  const TrainConfig& config() const { return config_; }

 private:
  Json given_;
  TrainConfig config_;
  bool resuming_ = false;
  std::int64_t recorded_epochs_ = 0;  // of the run that is resumed
};

// ", 2 threads (no NVIDIA driver is installed)", the reason where none was asked for, to stand behind the device's name. `automatic`: the device
// was left to the program to choose.
std::string describe_machine(Context& context, bool automatic);

struct TrainingImages {
  ImageDataset train, test;
  std::optional<ImageDataset> validation;  // taken out of train
  Normalization normalization;
  std::optional<Normalization> targets;       // of a table
  Shape shape;                                // of one image, [C, H, W]
  std::string warning;                        // about the training labels; empty where all is well
  std::string data;                           // what --data has to be to find them
  std::filesystem::path directory;            // where they lie
  std::shared_future<ContentReport> content;  // what the files are; where ImageCache loaded them
};

// What load_dataset() is to be told.
DatasetOptions dataset_options(const TrainConfig& config);

// Both splits of config.dataset, the first train_limit of the training images without those for validation.
// IoError, DataError;
// ConfigError where there are not so many images. `stop` is asked often, from another thread too, and as long
// as the content is being looked at: Stopped, here or from `content`.
TrainingImages load_training_images(const TrainConfig& config, const std::function<bool()>& stop = {});

}  // namespace qmse
