#include "experiment/run/image_cache.h"

#include "experiment/run/config_fields.h"

namespace qmse {

std::shared_ptr<const TrainingImages> ImageCache::get(const TrainConfig& config,
                                                      const std::function<bool()>& stop) {
  std::string key;
  for (const ConfigField& field : config_fields()) {
    if (field.group == ConfigGroup::data) key += qmse::get(config, field).dump() + " ";
  }
  const std::lock_guard guard(mutex_);  // those who want the same images wait for them
  std::shared_ptr<const TrainingImages>& images = loaded_[key];
  if (images) return images;
  images = std::make_shared<const TrainingImages>(load_training_images(config, stop));
  return images;
}

}  // namespace qmse
