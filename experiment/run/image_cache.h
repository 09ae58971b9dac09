// The images of data sets, loaded once for all runs of a process.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "experiment/run/run_settings.h"

namespace qmse {

class ImageCache {
 public:
  // load_training_images(config) with its content's report, or what an earlier call with the same data
  // settings got. May be called from several threads. A call that throws
  // leaves nothing behind. `stop` as there.
  std::shared_ptr<const TrainingImages> get(const TrainConfig& config,
                                            const std::function<bool()>& stop = {});

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const TrainingImages>> loaded_;
};

}  // namespace qmse
