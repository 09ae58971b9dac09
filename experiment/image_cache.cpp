#include "experiment/image_cache.h"

#include <future>
#include <utility>

#include "data/registry.h"
#include "experiment/config_fields.h"

namespace qmse {

std::shared_ptr<const TrainingImages> ImageCache::get(const TrainConfig& config) {
  std::string key;
  for (const ConfigField& field : config_fields()) {
    if (field.group == ConfigGroup::data) key += qmse::get(config, field).dump() + " ";
  }
  const std::lock_guard guard(mutex_);  // those who want the same images wait for them
  std::shared_ptr<const TrainingImages>& images = loaded_[key];
  if (images) return images;
  // Takes as long as loading, so that it costs little beside it.
  std::future<ContentReport> content = std::async(
      std::launch::async, [name = config.dataset, folder = find_data_directory(config.dataset, config.data)] {
        return examine_content(name, folder);
      });
  TrainingImages loaded = load_training_images(config);
  loaded.content = content.share();
  images = std::make_shared<const TrainingImages>(std::move(loaded));
  return images;
}

}  // namespace qmse
